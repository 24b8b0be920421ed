"""Where the API server is and who we are there: found, loaded, and loaded again when it changed.

Tokens, certificates and authorities are rotated under a running daemon. So the files that they come from are looked at
now and then, a program is run again before what it gave expires, and whoever is refused may ask for that at once.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.utils.keepalive import tcp_keepalive_socket_options

from roadstead.units import Duration
from roadstead_backends.kubernetes.exec_plugin import Issued, run_plugin
from roadstead_backends.kubernetes.kubeconfig import Entry, Material, Unusable, read_kubeconfig
from roadstead_backends.kubernetes.options import KubernetesOptions

__all__ = ["Access", "FromFiles", "FromPod", "Login", "Source", "find_source"]

_LOG = logging.getLogger(__name__)
_Stamp = tuple[int, int, int] | None

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECTIONS: Final = 16
LOOKED_AT_EVERY: Final = Duration(10_000)
RENEWED_BEFORE: Final = Duration(60_000)
PLUGIN_TIMEOUT: Final = Duration(30_000)
_NOTHING_ISSUED: Final = Issued(token=None, certificate=None, key=None, expires=None)


# ---- where it is found ----


@attrs.frozen(kw_only=True)
class FromPod:
    """The service account of the pod that we run in; ``environ`` has the address of the API server."""

    folder: Path = SERVICE_ACCOUNT
    environ: Mapping[str, str] = attrs.field(factory=lambda: dict(os.environ), repr=False)


@attrs.frozen(kw_only=True)
class FromFiles:
    """One context of kubeconfig files; its current one for ``None``."""

    paths: tuple[Path, ...]
    context: str | None = None
    allow_exec: bool = False


Source = FromPod | FromFiles


def find_source(options: KubernetesOptions, environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Source:
    """Return where credentials come from: what is named counts, else the pod that we run in, else the user's files."""
    files = FromFiles(paths=(), context=options.context, allow_exec=options.allow_exec)
    if options.kubeconfig is not None:
        return attrs.evolve(files, paths=(options.kubeconfig,))
    if options.context is None and environ.get("KUBERNETES_SERVICE_HOST") and (folder / "token").exists():
        return FromPod(folder=folder, environ=environ)
    named = tuple(Path(path).expanduser() for path in environ.get("KUBECONFIG", "").split(os.pathsep) if path)
    return attrs.evolve(files, paths=named or (Path("~/.kube/config").expanduser(),))


# ---- what it is ----


class _InMemory:
    """A file that is in memory only: TLS wants names of files, and keys are not for disks."""

    def __init__(self, content: bytes) -> None:
        descriptor = os.memfd_create("roadstead")
        weakref.finalize(self, os.close, descriptor)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        self.name = f"/proc/self/fd/{descriptor}"


@attrs.frozen(kw_only=True)
class Access:
    """How to reach the API server now: an address, TLS and connections in ``configuration``, and who we say we are.

    ``expires`` is in seconds since the epoch. ``stamps`` tell whether what it was read from is still the same.
    """

    entry: Entry
    issued: Issued
    authorization: str | None = attrs.field(repr=False)
    configuration: Configuration = attrs.field(repr=False)
    stamps: Mapping[Path, _Stamp]
    expires: float | None = None
    files: tuple[_InMemory, ...] = ()

    def says_the_same(self, other: Access) -> bool:
        """Return whether the server would see no difference."""
        return (self.entry, self.issued, self.authorization) == (other.entry, other.issued, other.authorization)


class Login:
    """What one transport needs to know of credentials; safe to use from any thread.

    Raises :class:`Unusable` where they must not be used. Later, those that cannot be read again are kept as they were.
    """

    def __init__(self, source: Source, *, plugin_timeout: Duration = PLUGIN_TIMEOUT) -> None:
        self._source = source
        self._plugin_timeout = plugin_timeout
        self._lock = threading.Lock()
        self._entry = _read(source)  # what must not be used is refused at once; no program has run yet
        self._access: Access | None = None
        self._failed: Unusable | None = None
        self._loaded_at = self._looked_at = -math.inf

    @property
    def namespace(self) -> str:
        """The namespace of the context, or of the service account."""
        return self._entry.namespace or "default"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about these credentials."""
        return self._entry.notes

    def current(self) -> Access:
        """Return the credentials to use now; raises :class:`Unusable` where there never were any."""
        with self._lock:
            if self._access is None:
                return self._load_first()
            if self._is_time_to_look(self._access) and _is_old(self._access):
                self._load_again(self._access)
            return self._access

    def renew(self, refused: Access) -> bool:
        """Load them again because the server does not accept ``refused``; return whether there are others now."""
        with self._lock:
            if self._access is refused and time.monotonic() - self._loaded_at >= LOOKED_AT_EVERY.seconds:
                self._load_again(refused)
            return self._access is not None and not self._access.says_the_same(refused)

    def _is_time_to_look(self, access: Access) -> bool:
        now = time.monotonic()
        if now - self._looked_at < LOOKED_AT_EVERY.seconds and not _is_expired(access):
            return False
        self._looked_at = now
        return True

    def _load_first(self) -> Access:
        if self._failed is not None and time.monotonic() - self._loaded_at < LOOKED_AT_EVERY.seconds:
            raise self._failed  # everybody who waits would run the same program, one after the other
        try:
            self._access, self._failed = self._load(), None
        except Unusable as error:
            self._failed = error
            raise
        return self._access

    def _load_again(self, before: Access) -> None:
        try:
            self._access = self._load()
        except Unusable as error:
            # Half a file, or a program that failed: what there is may hold for some time yet, and the server knows.
            _LOG.warning("credentials cannot be read again, and are used as they were: %s", error)
            later = None if before.expires is None else time.time() + 2 * RENEWED_BEFORE.seconds
            self._access = attrs.evolve(before, stamps=_stamps(frozenset(before.stamps)), expires=later)

    def _load(self) -> Access:
        self._loaded_at = self._looked_at = time.monotonic()
        entry = _read(self._source)
        access = _access(entry, self._plugin_timeout)
        self._entry = entry
        return access


def _is_expired(access: Access) -> bool:
    return access.expires is not None and time.time() > access.expires - RENEWED_BEFORE.seconds


def _is_old(access: Access) -> bool:
    return _is_expired(access) or _stamps(frozenset(access.stamps)) != access.stamps


# ---- how it is loaded ----


def _read(source: Source) -> Entry:
    if isinstance(source, FromFiles):
        return read_kubeconfig(source.paths, source.context, allow_exec=source.allow_exec)
    return _read_pod(source)


def _read_pod(source: FromPod) -> Entry:
    token, authority, namespace = (source.folder / name for name in ("token", "ca.crt", "namespace"))
    loaded = Configuration()
    loader = InClusterConfigLoader(str(token), str(authority), try_refresh_token=False, environ=source.environ)  # type: ignore[no-untyped-call]
    try:
        loader.load_and_set(loaded)  # type: ignore[no-untyped-call]
        said = namespace.read_text().strip() if namespace.exists() else ""
    except (ConfigException, OSError) as error:
        raise Unusable(f"the pod's service account cannot be used: {error}", hint=_POD_HINT) from error
    return Entry(
        context="the pod's service account",
        server=loaded.host,
        namespace=said or None,
        authority=authority,
        token_file=token,
        read_from=frozenset({token, authority}),
    )


_POD_HINT: Final = "see `automountServiceAccountToken` of the pod that the daemon runs in"


def _access(entry: Entry, plugin_timeout: Duration) -> Access:
    stamps = _stamps(entry.read_from)  # before reading: what changes meanwhile is read again
    issued = run_plugin(entry.plugin, timeout=plugin_timeout) if entry.plugin is not None else _NOTHING_ISSUED
    certificate = _named(issued.certificate or entry.certificate)
    key = _named(issued.key or entry.key)
    return Access(
        entry=entry,
        issued=issued,
        authorization=_authorization(entry, issued),
        configuration=_configuration(entry, certificate, key),
        stamps=stamps,
        expires=issued.expires.timestamp() if issued.expires is not None else None,
        files=tuple(one for one in (certificate, key) if isinstance(one, _InMemory)),
    )


def _authorization(entry: Entry, issued: Issued) -> str | None:
    token = issued.token or entry.token
    if entry.token_file is not None:
        try:
            token = entry.token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise Unusable(f"the token in {entry.token_file} cannot be read: {error}", hint="write it anew") from error
    if token:
        return f"Bearer {token}"
    if entry.basic is not None:
        return str(urllib3.util.make_headers(basic_auth=":".join(entry.basic))["authorization"])
    return None


def _named(material: Material | None) -> Path | _InMemory | None:
    return _InMemory(material) if isinstance(material, bytes) else material


def _configuration(entry: Entry, certificate: Path | _InMemory | None, key: Path | _InMemory | None) -> Configuration:
    """Return what the official client makes its connections from."""
    made = Configuration()
    made.host = entry.server
    made.verify_ssl = entry.verify
    made.tls_server_name = entry.server_name
    if isinstance(entry.authority, bytes):
        made.ca_cert_data = entry.authority.decode("ascii")
    elif entry.authority is not None:
        made.ssl_ca_cert = str(entry.authority)
    made.cert_file = _name(certificate)
    made.key_file = _name(key)
    if entry.proxy is not None:
        made.proxy = entry.proxy
    made.retries = False  # whoever asks knows whether asking again is right; the connection does not
    made.connection_pool_maxsize = CONNECTIONS
    made.socket_options = tcp_keepalive_socket_options(idle=30, interval=10, count=3)
    return made


def _name(file: Path | _InMemory | None) -> str | None:
    match file:
        case None:
            return None
        case _InMemory():
            return file.name
        case _:
            return str(file)


def _stamps(paths: frozenset[Path]) -> Mapping[Path, _Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> _Stamp:
    """Return what changes when a file does: a Secret's files are links, and are changed by changing the link."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size
