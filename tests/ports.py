"""TCP ports for what a test starts: none that the kernel gives away by itself, so that nobody has it in between."""

from __future__ import annotations

import random
import socket
from typing import Final

__all__ = ["free_port", "free_ports"]

_FIRST: Final = 21_000
_LAST: Final = 32_000
"""Below those that clients' own ends of connections get."""


def free_ports(count: int) -> int:
    """Return the first of so many neighbouring TCP ports that were free a moment ago."""
    for _ in range(100):
        first = random.SystemRandom().randrange(_FIRST, _LAST)  # others look for some at the same time
        probes = [socket.socket() for _ in range(count)]
        try:
            for number, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + number))
        except OSError:
            continue
        else:
            return first
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no free ports")


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    return free_ports(1)
