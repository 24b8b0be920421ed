"""The certificate that clients see: tried before Envoy is told of it, and told of however it was renewed."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from roadstead.model import Tls

__all__ = ["Certificate"]

_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """The files of one certificate and its key; they are looked at again only when either was replaced or changed."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._stamp: _Stamp | None = None
        self.digest = ""
        """Of the newest certificate that can be used with its key."""
        self.problem = ""
        """Why what is there now cannot be used, or nothing."""

    def refresh(self) -> None:
        """Look whether there is another certificate, and try it."""
        try:
            # Before anything is read: what changes after that is another stamp.
            stamp = tuple(_stamp(Path(path)) for path in (self._tls.certificate, self._tls.key))
            if stamp != self._stamp:
                self.digest = self._tried()
                self._stamp = stamp
            self.problem = ""
        except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
            self._stamp = None
            self.problem = (
                f"certificate {self._tls.certificate} with key {self._tls.key} cannot be used: {error}; "
                "clients go on with the one before, where there is one"
            )

    def _tried(self) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._tls.certificate, self._tls.key, password=_no_password)
        return hashlib.sha256(Path(self._tls.certificate).read_bytes()).hexdigest()[:12]


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a password, readable by its owner only")
