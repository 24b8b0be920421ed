"""What a fleet file can say about a Marathon cluster."""

from __future__ import annotations

import enum
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from roadstead_backends.marathon.names import is_path

__all__ = ["Containers", "MarathonOptions", "is_private"]


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@enum.unique
class Containers(enum.Enum):
    """What agents start servers with."""

    MESOS = "mesos"
    DOCKER = "docker"
    NONE = "none"


def is_private(url: str) -> bool:
    """Return whether nobody on the way can read what is sent to ``url``: TLS, or this very machine.

    >>> is_private("https://dc1.example:8443"), is_private("http://127.0.0.1:8080"), is_private("http://dc1.example")
    (True, True, False)
    """
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def _addresses(_instance: object, _attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    if not value:
        raise ValueError("urls is empty; name at least one address of Marathon, such as https://marathon.example:8443")
    for url in value:
        _an_address(url)


def _perhaps_an_address(_instance: object, _attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None:
        _an_address(value)


def _an_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # reading it is the check
    except ValueError as error:
        raise ValueError(f"{url!r} is no address: {error}; write it like https://marathon.example:8443") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address; write it like https://marathon.example:8443")
    if parts.username is not None:
        raise ValueError(f"the address of {parts.hostname} has a password in it; use user and password_file")


def _a_path(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    """Refuse what is no path of a group: it becomes part of the name of everything that we create."""
    if not is_path(value):
        raise ValueError(
            f"{value!r} is no path of a Marathon group; write it like /models, in lower-case letters, digits and -"
        )


@attrs.frozen(kw_only=True)
class MarathonOptions:
    """Where Marathon is, who we are there, and under which path our apps are."""

    urls: tuple[str, ...] = attrs.field(
        validator=_addresses,
        metadata=_doc("addresses of Marathon, all of one ensemble; the first that answers is used"),
    )
    path: str = attrs.field(default="/", validator=_a_path, metadata=_doc("the group under which our apps are"))
    token_file: Path | None = attrs.field(
        default=None,
        metadata=_doc("file with the token that is sent with every request; read again when it is refused"),
    )
    user: str | None = attrs.field(default=None, metadata=_doc("name for basic authentication"))
    password_file: Path | None = attrs.field(default=None, metadata=_doc("file with the password of `user`"))
    ca: Path | None = attrs.field(
        default=None, metadata=_doc("file with the authorities that servers are verified with; default: the usual ones")
    )
    client_certificate: Path | None = attrs.field(
        default=None, metadata=_doc("file with our certificate, where servers ask for one")
    )
    client_key: Path | None = attrs.field(default=None, metadata=_doc("file with the certificate's private key"))
    mesos: str | None = attrs.field(
        default=None,
        validator=_perhaps_an_address,
        metadata=_doc("address of a Mesos master; default: the one that Marathon names"),
    )
    containers: Containers = attrs.field(
        default=Containers.MESOS,
        metadata=_doc("what agents start servers with; `none`: programs of the agents themselves, without an image"),
    )
    model_roots: tuple[str, ...] = attrs.field(
        default=(),
        metadata=_doc("models that are paths lie on the agents, and only under these folders; default: anywhere there"),
    )
    gpu_attribute: str | None = attrs.field(
        default=None,
        metadata=_doc("the attribute of agents that names the model of their GPUs; default: there is none"),
    )

    def __attrs_post_init__(self) -> None:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together; set both or neither")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key belong together; set both or neither")
        if self.user is not None and self.token_file is not None:
            raise ValueError("token_file and user are two ways to sign in; keep one of them")
        if self.signs_in:
            for url in (*self.urls, *([self.mesos] if self.mesos is not None else [])):
                if not is_private(url):
                    raise ValueError(f"{url} is not https, and whoever listens would learn the credentials; use https")

    @property
    def signs_in(self) -> bool:
        """Whether requests carry a token or a password."""
        return self.token_file is not None or self.user is not None
