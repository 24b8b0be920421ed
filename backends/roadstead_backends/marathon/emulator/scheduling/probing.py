"""What checks ask of an instance, and what came of it; who really asks is passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

__all__ = ["HttpAnswer", "Outcome", "Prober", "Target", "connection_refused", "idle_timeout"]


@attrs.frozen(kw_only=True)
class Target:
    """Where and how to ask: ``scheme`` is ``http``, ``https`` or ``tcp``; times in seconds."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    timeout: float = 20.0


@attrs.frozen(kw_only=True)
class HttpAnswer:
    """An answer over HTTP."""

    status: int
    reason: str = ""
    content_type: str = ""
    body: str = ""


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of asking: an answer, a connection, or why neither."""

    answer: HttpAnswer | None = None
    connected: bool = False
    failure: str | None = None


class Prober(Protocol):
    """Who asks."""

    def probe(self, target: Target, done: Callable[[Outcome], None]) -> None:
        """Ask once, and call ``done`` with what came of it, now or later."""


def connection_refused(target: Target) -> str:
    """What Marathon's HTTP client says of a connection that nobody took."""
    return (
        f"Tcp command [Connect({target.host}/<unresolved>:{target.port},None,List(),Some(10 seconds),true)] failed"
        " because of java.net.ConnectException: Connection refused"
    )


def idle_timeout(target: Target) -> str:
    """What Marathon's HTTP client says of a connection on which nothing came."""
    seconds = int(target.timeout)
    unit = "second" if seconds == 1 else "seconds"
    return (
        f"TCP idle-timeout encountered on connection to [{target.host}/<unresolved>:{target.port}],"
        f" no bytes passed in the last {seconds} {unit}"
    )
