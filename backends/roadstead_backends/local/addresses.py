"""A loopback address of its own for each replica, so that every server can use the usual ports.

All of 127.0.0.0/8 belongs to this machine on Linux, without any set-up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

__all__ = ["choose_address"]

# 127.0 to 127.15 are left to others: resolvers and desktop services listen there.
_FIRST_SECOND_OCTET = 16
_TRIES = 1000


def choose_address(fleet: str, replica: str, taken: Collection[str]) -> str:
    """Return an address that no other replica of the cluster has; the same arguments give the same answer.

    Raises ``LookupError`` when a thousand candidates are all taken.

    >>> choose_address("shop", "minilm-abc-1", ())
    '127.177.152.224'
    """
    for candidate in _candidates(f"{fleet}/{replica}"):
        if candidate not in taken:
            return candidate
    raise LookupError(f"no loopback address is free for replica {replica!r}; {len(taken)} are taken")


def _candidates(seed: str) -> Iterator[str]:
    for attempt in range(_TRIES):
        digest = hashlib.sha256(f"{seed}/{attempt}".encode()).digest()
        second = _FIRST_SECOND_OCTET + digest[0] % (255 - _FIRST_SECOND_OCTET)
        # 1 to 254: neither a network's nor a broadcast's number, which some libraries refuse.
        yield f"127.{second}.{digest[1] % 254 + 1}.{digest[2] % 254 + 1}"
