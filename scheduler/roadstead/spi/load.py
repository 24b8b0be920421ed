"""How the servers of a runtime are put under load: an optional part of what a runtime is.

``roadstead load`` decides when a request is sent, counts what becomes of it, and measures how long that takes. A
runtime that is also a :class:`Loads` brings what knows the engine: how a request is written, sent, read and judged.
Everything below a :class:`Caller` runs in one asyncio loop, which its methods must not block: what they do between two
awaits is time that the next request is late.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

import attrs

from roadstead.errors import RoadsteadError

__all__ = [
    "OK",
    "Caller",
    "Destination",
    "Encryption",
    "Judgement",
    "Loads",
    "NotConnected",
    "Reply",
    "Unfit",
    "Wire",
    "Work",
]

OK: Final = "OK"
"""The code of a reply that is an answer; whether it is a right one is another question."""


class NotConnected(RoadsteadError):
    """No server answered before the first request was sent."""

    code = "RS047"
    exit_code = 69


class Unfit(RoadsteadError):
    """The server does not have the model, or a request or a reference answer is not what the model takes or gives."""

    code = "RS048"
    exit_code = 65


@enum.unique
class Wire(enum.Enum):
    """What requests are sent over."""

    GRPC = "grpc"
    REST = "rest"


@attrs.frozen(kw_only=True)
class Encryption:
    """Whose certificates are trusted (PEM; ``None``: whom this machine trusts) and the name that must be in them.

    Without a name it is the address that was connected to.
    """

    authority: bytes | None = None
    server_name: str | None = None


@attrs.frozen(kw_only=True)
class Destination:
    """Where requests go: ``connections`` in all, over the ``addresses`` (HOST:PORT) in turn, with TLS or without."""

    wire: Wire
    addresses: tuple[str, ...] = attrs.field(validator=attrs.validators.min_len(1))
    connections: int = attrs.field(validator=attrs.validators.ge(1))
    encryption: Encryption | None = None


@attrs.frozen(kw_only=True)
class Work:
    """What is asked of ``model``, and what a right answer is.

    ``requests`` and the answers in ``expected`` are documents as ``roadstead predict`` takes and prints them.
    ``expected`` is empty, or has for each request its answer by version; a number may differ by ``tolerance``.
    ``versions`` are those that may answer, empty for any.
    """

    model: str
    requests: tuple[Mapping[str, Any], ...] = attrs.field(validator=attrs.validators.min_len(1))
    expected: tuple[Mapping[int, Any], ...] = ()
    versions: frozenset[int] = frozenset()
    tolerance: float = 1e-4

    def __attrs_post_init__(self) -> None:
        if self.expected and len(self.expected) != len(self.requests):
            raise ValueError(f"{len(self.requests)} requests have {len(self.expected)} expected answers")


@attrs.frozen(kw_only=True)
class Reply:
    """What came back: ``code`` is :data:`OK`, or which failure it is in a word or two; ``detail`` says more of it.

    A failure that is the same in every protocol has gRPC's name for it: ``UNAVAILABLE``, ``DEADLINE_EXCEEDED``.
    """

    code: str
    detail: str = ""
    body: bytes = b""


@attrs.frozen(kw_only=True)
class Judgement:
    """What an answer is: the version that gave it, where that is known, and what is wrong with it, or nothing."""

    version: int | None = None
    wrong: str = ""


class Caller(Protocol):
    """Open connections over which requests are sent, each by its index in :attr:`Work.requests`."""

    async def connect(self, *, within: float) -> None:
        """Open every connection and write every request, so that nothing but sending is left for later.

        One server that answers is enough; ``within`` is in seconds. Raises :class:`NotConnected` or :class:`Unfit`.
        """

    async def call(self, request: int, *, within: float) -> Reply:
        """Send one request at once, never a second time, and return what came back ``within`` that many seconds.

        Never raises for what a server or a network may do. May be cancelled.
        """

    def judge(self, request: int, reply: Reply) -> Judgement:
        """Return what an answer to this request is; called for replies with the code :data:`OK` only."""

    async def close(self) -> None:
        """Close every connection."""


@runtime_checkable
class Loads(Protocol):
    """A runtime whose servers can be put under load."""

    def caller(self, destination: Destination, work: Work) -> Caller:
        """Return a caller that is not connected yet. Raises :class:`Unfit`."""
