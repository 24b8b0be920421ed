"""Several instances of one Marathon: one leads, the others pass requests on to it (``LeaderProxyFilter``)."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.http.messages import Answer, Request, html_error
from roadstead_backends.marathon.emulator.http.skin import EVENTS, Skin
from roadstead_backends.marathon.emulator.http.streaming import EventStreams
from roadstead_backends.marathon.emulator.http.system import Elections
from roadstead_backends.marathon.emulator.marathon import Marathon

__all__ = ["Ensemble"]

_VIA: Final = "x-marathon-via"
_LOOP: Final = "Detected proxying loop."
_REFUSED: Final = "Connection to leader refused."
_NO_LEADER: Final = "Could not determine the current leader"
_LOWERED: Final = frozenset({"X-Frame-Options", "X-XSS-Protection", "Marathon-Deployment-Id"})
_REASONS: Final = {500: "Server Error"}
_LONG_AGO: Final = "Wed, 01 Jan 1800 00:00:00 GMT"
_LAST_WORDS: Final = 500
"""Milliseconds that a leader goes on after it was asked to abdicate, so that it can answer."""
ELECTION: Final = 900
"""Milliseconds from the end of one leader to the next one's beginning."""


class Ensemble:
    """The instances at these addresses (``host:port``), the first of which leads first.

    What a leader keeps in memory only is lost with it: delays, what health checks found, statistics of offers, streams.
    """

    def __init__(
        self, marathon: Marathon, addresses: Sequence[str], *, started: str = "", election: int = ELECTION
    ) -> None:
        self.marathon = marathon
        self.streams = EventStreams(marathon.events, buffer=marathon.settings.event_buffer)
        self.down: set[str] = set()
        self._addresses = tuple(addresses)
        self._leader: str | None = self._addresses[0]
        self._election = election
        elections = Elections(lambda: self._leader, self.abdicate)
        self._skins = {
            address: Skin(marathon, elections, address=address, started=started) for address in self._addresses
        }

    @property
    def leader(self) -> str | None:
        """The address of the one that leads; None during an election."""
        return self._leader

    def skin(self, address: str) -> Skin:
        """What answers at an address while it leads."""
        return self._skins[address]

    def abdicate(self) -> None:
        """End the leadership; after a while the next instance leads."""
        gone = self._leader
        self.marathon.timeline.after(_LAST_WORDS, lambda: self._end(gone))

    def _end(self, gone: str | None) -> None:
        if gone is None or gone != self._leader:
            return
        self._leader = None
        self.streams.close()
        self.marathon.supervisor.change_leader()
        self.marathon.timeline.after(self._election, lambda: self._elect(gone))

    def _elect(self, gone: str) -> None:
        start = self._addresses.index(gone) + 1
        order = [*self._addresses[start:], *self._addresses[:start]]
        self._leader = next((address for address in order if address not in self.down), None)

    def lose_leader(self) -> None:
        """Let the instance that leads die, and with it every connection to it."""
        if self._leader is not None:
            self.down.add(self._leader)
            self._end(self._leader)

    def is_stream(self, address: str, request: Request) -> bool:
        """Whether a request is for the stream of events, at the instance that has it."""
        return address == self._leader and self._skins[address].is_stream(request)

    def answer(self, address: str, request: Request) -> Answer:
        """Answer a request that was sent to one instance."""
        leader = self._leader
        if leader == address:
            return self._skins[address].answer(request)
        if leader is None:
            return html_error(503, request.uri or request.path, _NO_LEADER)
        if request.path == EVENTS:
            return Answer(status=302, headers={"Location": f"http://{leader}{EVENTS}"}, content_type=None)
        via = f"1.1 {address}"
        if via in (request.header(_VIA) or "").split(","):
            return html_error(502, request.uri or request.path, _LOOP)
        if leader in self.down:
            return html_error(502, request.uri or request.path, _REFUSED)
        return _passed_on(self._skins[leader].answer(_forwarded(request, via)), via)


def _forwarded(request: Request, via: str) -> Request:
    headers = {**request.headers, _VIA: via}
    headers["x-forwarded-for"] = ",".join(filter(None, (request.header("x-forwarded-for"), request.client)))
    if request.method not in ("GET", "HEAD", "DELETE"):
        headers.setdefault("content-type", "application/json")
    return attrs.evolve(request, headers=headers)


def _passed_on(answer: Answer, via: str) -> Answer:
    """An answer of the leader as its proxy tells it: what Akka's client makes of the headers."""
    headers = {name.lower() if name in _LOWERED else name: value for name, value in answer.headers.items()}
    if headers.get("Expires") == "0":
        headers["Expires"] = _LONG_AGO
    if "Allow" in headers:
        headers["Allow"] = ", ".join(verb.strip() for verb in headers["Allow"].split(","))
    if "Last-Modified" in headers:
        headers["Last-Modified"] = headers["Last-Modified"].replace("UTC", "GMT")
    headers["X-Marathon-Via"] = via
    reason = _REASONS.get(answer.status, HTTPStatus(answer.status).phrase)
    return attrs.evolve(
        answer, headers=headers, content_type=answer.content_type or "none/none", reason=reason, varies=None
    )
