"""One connection to the stream of events, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from roadstead.testing.http_faults import FaultProxy, Rule, Silence
from roadstead.units import Duration
from roadstead_backends.marathon.emulator.testing import Emulated, emulated
from roadstead_backends.marathon.listening import Listening, listen
from roadstead_backends.marathon.stream import Event, EventReader
from roadstead_backends.marathon.transport import Missed, Refused


@pytest.fixture(scope="module")
def marathon() -> Iterator[Emulated]:
    """One Marathon for all tests of this module."""
    with emulated() as running:
        yield running


def listening(url: str, path: str = "/v2/events", *, idle: Duration = Duration(20_000)) -> Listening:
    """Ask for the stream."""
    return listen(url, path, auth=None, verify=True, certificate=None, connect=Duration(2_000), idle=idle)


def events(stream: Listening) -> Iterator[Event]:
    """Yield what the stream tells."""
    reader = EventReader()
    for piece in stream.pieces():
        yield from reader.fed(piece)


def test_events_are_handed_over_as_they_happen(marathon: Emulated) -> None:
    """The stream has no chunks and no end; still nothing waits for more."""
    stream = listening(marathon.url)
    found = events(stream)
    assert "event_stream_attached" == next(found).kind
    marathon.ask("POST", "/v2/apps", {"id": "/web", "cmd": "sleep 9", "cpus": 0.1, "mem": 16})
    marathon.advance(5)
    assert "deployment_success" in (event.kind for event in found)
    stream.close()


def test_a_stream_that_is_silent_for_too_long_counts_as_dead(marathon: Emulated) -> None:
    """The connection only looks alive: not even a heartbeat comes."""
    with FaultProxy(marathon.url, [Rule(Silence(after=0), path="/v2/events")]) as proxy, pytest.raises(Missed):
        list(listening(proxy.url, idle=Duration(500)).pieces())


def test_whoever_waits_for_events_is_released_by_hanging_up(marathon: Emulated) -> None:
    """From another thread, without an event."""
    stream = listening(marathon.url)
    found, first = [], threading.Event()

    def follow() -> None:
        try:
            for piece in stream.pieces():
                found.append(piece)
                first.set()
        except Missed:
            pass

    waiting = threading.Thread(target=follow)
    waiting.start()
    assert first.wait(60)
    stream.close()
    waiting.join(60)
    assert not waiting.is_alive()


def test_what_is_no_stream_is_refused(marathon: Emulated) -> None:
    """With its status; and nobody there is missed."""
    with pytest.raises(Refused) as caught:
        listening(marathon.url, "/v2/apps")
    assert 406 == caught.value.answer.status
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Missed):
        listening(f"http://127.0.0.1:{port}")
