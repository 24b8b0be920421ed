"""What to look at when no server answers before the first request."""

from __future__ import annotations

from typing import Final

__all__ = ["hint_for"]

_DISTRUST: Final = ("certificate", "hostname verification")
"""Words of the TLS libraries, which say nothing else that a program could go by."""


PORTS: Final = "`roadstead endpoints` lists gRPC and REST ports; which is this?"


def hint_for(told: str, otherwise: str = PORTS) -> str:
    """Return where to look after servers refused with these words: whom we trust, or ``otherwise``.

    >>> hint_for("Tls handshake failed: CERTIFICATE_VERIFY_FAILED: self signed certificate")
    '--ca names who signed its certificate, --server-name the name in it'
    """
    if any(words in told.lower() for words in _DISTRUST):
        return "--ca names who signed its certificate, --server-name the name in it"
    return otherwise
