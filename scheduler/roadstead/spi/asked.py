"""What was asked of a cluster's API over HTTP, for whoever makes errors of what came back. Pure."""

from __future__ import annotations

import re
from typing import Final

import attrs

__all__ = ["Request", "pause_asked", "why_lost"]

_READS: Final = frozenset({"GET", "HEAD"})
_MOST_WAIT_S: Final = 300
_SERVER: Final = re.compile(r"host='([^']+)', port='?(\d+)")


@attrs.frozen(kw_only=True)
class Request:
    """What was asked, and about what: for saying so, and for knowing whether it can have changed anything."""

    cluster: str
    method: str
    path: str
    subject: str = ""

    @property
    def reads(self) -> bool:
        """Whether it can have changed nothing."""
        return self.method in _READS


def pause_asked(retry_after: str, *, otherwise: int = 0) -> int | None:
    """Return how long a server asks to be left alone, in milliseconds, if it does; at most five minutes.

    ``retry_after`` is the header's value, empty without one; a date asks for nothing. ``otherwise`` is what it says
    elsewhere, in seconds.

    >>> pause_asked("7"), pause_asked("3600"), pause_asked("", otherwise=2), pause_asked("soon"), pause_asked("0")
    (7000, 300000, 2000, None, None)
    """
    # Nine digits are more than anybody waits, and thousands of them are more than `int` reads.
    seconds = int(retry_after[:9]) if retry_after.isdecimal() else otherwise
    return min(seconds, _MOST_WAIT_S) * 1000 or None


def why_lost(error: BaseException) -> str:
    """Return in a few words why there is no answer: the server, where the error names it, and what happened.

    That is in the first of the exceptions that led to this one; those of clients only wrap it.

    >>> wrapped = OSError("HTTPPool(host='marathon.example', port=8080): Max retries exceeded")
    >>> wrapped.__cause__ = ConnectionRefusedError(111, "Connection refused")
    >>> why_lost(wrapped), why_lost(TimeoutError("timed out")), why_lost(ConnectionResetError())
    ('marathon.example:8080: Connection refused', 'timed out', 'ConnectionResetError')
    """
    first = error
    while (under := first.__cause__ or first.__context__) is not None:
        first = under
    system = first.strerror if isinstance(first, OSError) else None
    words = system or str(first) or type(first).__name__
    server = _SERVER.search(str(error))
    return f"{server[1]}:{server[2]}: {words}" if server is not None and server[0] not in words else words
