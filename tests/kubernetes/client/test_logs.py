"""What a replica prints, over interruptions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from roadstead.errors import Rejected, Unreachable
from roadstead.testing.http_faults import Cut, FaultProxy, LoseRequest, Rule
from roadstead.units import Duration
from roadstead_backends.kubernetes.logs import Log
from tests.kubernetes.client.apiserver import ApiServer, api_server
from tests.kubernetes.client.connecting import connected

_PATH = "/api/v1/namespaces/models/pods/minilm-abc-1/log"
_QUICK = Duration(1)


@attrs.define
class Scene:
    """An API server, a proxy before it, and a pod's output that is read through that."""

    server: ApiServer
    proxy: FaultProxy
    log: Log


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """All of it."""
    with api_server() as server, FaultProxy(server.url) as proxy, connected(tmp_path, proxy.url) as transport:
        yield Scene(server, proxy, Log(transport, _PATH, "server", pause=_QUICK))


def _line(at: int, text: str) -> bytes:
    return b"2030-01-01T00:00:%02d.000000000Z %s\n" % (at, text.encode())


def test_the_last_lines_are_read_and_that_is_all(scene: Scene) -> None:
    """Without the times that they were asked for with; lines stay lines."""
    scene.server.answer(_PATH, (200, _line(1, "one") + _line(2, "") + _line(2, "two words")))
    assert [b"one\n", b"\n", b"two words\n"] == list(scene.log.read(tail=3, follow=False))
    assert [{"container": "server", "timestamps": "true", "tailLines": "3"}] == [
        one.query for one in scene.server.asked
    ]


def test_what_is_followed_goes_on_after_every_end(scene: Scene) -> None:
    """A server that was started again, a connection that was cut: nothing twice, nothing missing, until it is gone."""
    scene.server.answer(
        _PATH,
        (200, _line(1, "one") + _line(2, "two")),
        (200, _line(2, "two") + _line(3, "three")),
        (400, b'{"message": "container \\"server\\" in pod \\"minilm-abc-1\\" is waiting to start: CrashLoopBackOff"}'),
        (200, _line(3, "three") + _line(4, "four")),
        (404, b"{}"),
    )
    scene.proxy.add(Rule(Cut(len(_line(1, "one")) + 5), path="log"))
    scene.proxy.add(Rule(LoseRequest(), path="log"))
    assert [b"one\n", b"two\n", b"three\n", b"four\n"] == list(scene.log.read(tail=None, follow=True))
    assert "2030-01-01T00:00:04.000000000Z" == scene.server.asked[-1].query["sinceTime"]


def test_a_server_that_has_not_printed_yet_is_waited_for(scene: Scene) -> None:
    """Where we follow; else there is nothing yet."""
    waiting = b'{"message": "container \\"server\\" in pod \\"x\\" is waiting to start: ContainerCreating"}'
    scene.server.answer(_PATH, (400, waiting), (400, waiting), (200, _line(1, "one")), (404, b"{}"))
    assert [] == list(scene.log.read(tail=None, follow=False))
    assert [b"one\n"] == list(scene.log.read(tail=None, follow=True))


def test_no_such_replica_is_an_error(scene: Scene) -> None:
    """At the beginning; where it goes away later, that is the end of its output."""
    with pytest.raises(Rejected, match="404"):
        list(scene.log.read(tail=None, follow=True))


def test_a_cluster_that_is_away_at_the_beginning_is_an_error(scene: Scene) -> None:
    """Nobody waits for output before there was any."""
    scene.proxy.add(Rule(LoseRequest(), path="log"))
    with pytest.raises(Unreachable):
        list(scene.log.read(tail=None, follow=True))
