"""A certificate authority of the test's own, so that a test can also try a wrong one, or a wrong name."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Credentials", "key_pair", "kubeconfig"]

_VALID: Final = dt.timedelta(days=7)
_EARLIER: Final = dt.timedelta(hours=1)


@attrs.frozen
class Credentials:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write ``NAME.crt`` and ``NAME.key`` and return where they are."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.certificate)
        _write_private(key, self.key)
        return certificate, key


@attrs.frozen
class Authority:
    """Who signs the certificates of one cluster."""

    _certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, name: str, now: dt.datetime) -> Authority:
        """Make an authority that signs itself, valid from an hour before ``now`` for a week."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _EARLIER)
            .not_valid_after(now + _VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def certificate(self) -> bytes:
        """Its own certificate, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        common_name: str,
        *,
        organizations: Sequence[str] = (),
        names: Sequence[str] = (),
        addresses: Sequence[IPv4Address] = (),
    ) -> Credentials:
        """Return a certificate for a client, or, with names or addresses, for a server as well.

        Kubernetes takes the common name of a client as the user, and its organizations as the groups.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = x509.CertificateBuilder(
            self._certificate.subject,
            x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, common_name)]),
            key.public_key(),
            x509.random_serial_number(),
            self._certificate.not_valid_before_utc,
            self._certificate.not_valid_after_utc,
        )
        if names or addresses:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
            known_as = [*(x509.DNSName(name) for name in names), *(x509.IPAddress(each) for each in addresses)]
            builder = builder.add_extension(x509.SubjectAlternativeName(known_as), critical=False)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Credentials(certificate.public_bytes(serialization.Encoding.PEM), _private(key))


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a key pair that signs tokens, and return where the private and the public one are."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    _write_private(private, _private(key))
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def kubeconfig(
    server: str,
    authority: bytes,
    *,
    credentials: Credentials | None = None,
    token: str | None = None,
    namespace: str = "default",
) -> str:
    """Return a kubeconfig with everything in it; its format, YAML, includes JSON."""
    user: dict[str, str] = {}
    if credentials is not None:
        user["client-certificate-data"] = base64.b64encode(credentials.certificate).decode()
        user["client-key-data"] = base64.b64encode(credentials.key).decode()
    if token is not None:
        user["token"] = token
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "current-context": "test",
    }
    return json.dumps(document, indent=1) + "\n"


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
