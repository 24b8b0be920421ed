"""The daemon on this machine, with real processes: what happens to replicas when the daemon or a replica dies."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading

import psutil
import pytest

from roadstead.act.events import Event, EventKind
from roadstead.decide.report import DeploymentStatus
from tests.daemon.conftest import WAIT_S, Daemon, until
from tests.daemon.fleets import LOCAL

pytestmark = pytest.mark.slow


def _pids(found: DeploymentStatus) -> dict[str, int]:
    """Return the process behind each replica, by its own word."""
    pids = {}
    for replica in found.replicas:
        assert replica.host is not None
        assert replica.rest is not None
        connection = http.client.HTTPConnection(replica.host, replica.rest, timeout=60)
        connection.request("GET", "/")
        pids[replica.id] = int(json.loads(connection.getresponse().read())["pid"])
        connection.close()
    return pids


def test_replicas_outlive_a_killed_daemon_and_are_adopted(daemon: Daemon) -> None:
    """After kill -9 of the daemon the same processes serve on, and the next daemon restarts none of them."""
    daemon.write(LOCAL)
    daemon.start()
    before = _pids(daemon.until_listed(2))
    daemon.kill()

    alone = _pids_of(before)
    daemon.start()
    after = _pids(daemon.until_listed(2))

    assert sorted(before.values()) == alone
    assert before == after
    assert sorted(before) == sorted(event.subject for event in daemon.events(EventKind.ADOPTED))
    assert [] == daemon.events(EventKind.CRASHED, EventKind.RESTARTED, EventKind.LOST)


def _pids_of(replicas: dict[str, int]) -> list[int]:
    """Return which of these processes are alive."""
    return sorted(pid for pid in replicas.values() if os.path.exists(f"/proc/{pid}"))  # noqa: PTH110


def test_a_killed_replica_is_healed_and_the_events_tell_the_story(daemon: Daemon) -> None:
    """Kill -9 of a server: ended by signal 9, restarted, ready, each with its time, in that order."""
    daemon.write(LOCAL)
    daemon.start()
    victim, pid = min(_pids(daemon.until_listed(2)).items())
    last = max(event.seq for event in daemon.client.events(since=0, follow=False, deployment=None))

    os.kill(pid, signal.SIGKILL)

    def story_of(*kinds: EventKind) -> list[Event]:
        return [event for event in daemon.events(*kinds) if event.subject == victim and event.seq > last]

    until(lambda: story_of(EventKind.READY))
    story = story_of(EventKind.CRASHED, EventKind.RESTARTED, EventKind.READY)
    assert [EventKind.CRASHED, EventKind.RESTARTED, EventKind.READY] == [event.kind for event in story]
    assert f"{victim} was ended by signal 9" == story[0].text
    assert story[0].at <= story[1].at <= story[2].at


def test_a_replica_that_ran_out_of_memory_while_no_daemon_ran_is_told_of_afterwards(daemon: Daemon) -> None:
    """The shim saw it; the next daemon writes it down with the time when it happened, and `why` says it."""
    daemon.write(LOCAL)
    daemon.start()
    found = daemon.until_listed(2)
    victim = min(found.replicas, key=lambda replica: replica.id)
    pid = _pids(found)[victim.id]
    daemon.kill()
    assert victim.host is not None
    assert victim.rest is not None
    connection = http.client.HTTPConnection(victim.host, victim.rest, timeout=60)
    connection.request("GET", "/hoard")
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()
    until(lambda: not os.path.exists(f"/proc/{pid}"))  # noqa: PTH110

    daemon.start()
    (event,) = until(lambda: daemon.events(EventKind.OUT_OF_MEMORY))

    assert f"{victim.id} ran out of memory: its limit is 64Mi" == event.text
    assert any(end.out_of_memory for end in daemon.client.why("minilm").exits)


def test_logs_are_what_a_server_prints_and_can_be_followed(daemon: Daemon) -> None:
    """What was printed so far, and with follow what is printed from then on, until the daemon ends."""
    daemon.write(LOCAL)
    daemon.start()
    found = daemon.until_listed(2)
    replica = found.replicas[0].id

    so_far = b"".join(daemon.client.logs(replica, tail=None, follow=False))
    assert so_far.startswith(b"tiny server begins\n")
    following = daemon.client.logs(replica, tail=1, follow=True)
    first = next(following)
    later = next(following)

    assert first.count(b"\n") >= 1
    assert b"asked /" in later
    assert 0 == daemon.terminate()
    assert all(b"asked /" in chunk for chunk in following)
    daemon.start()


def test_sigterm_leaves_replicas_serving(daemon: Daemon) -> None:
    """A daemon that is asked to end ends cleanly, and nothing that serves is touched."""
    daemon.write(LOCAL)
    daemon.start()
    before = _pids(daemon.until_listed(2))

    assert 0 == daemon.terminate()
    assert sorted(before.values()) == _pids_of(before)
    assert not daemon.state.socket.exists()
    daemon.start()
    assert before == _pids(daemon.until_listed(2))


def test_stopping_with_replicas_takes_them_down_first(daemon: Daemon) -> None:
    """When the daemon is gone no process of its replicas is left, and the next start brings the fleet up again."""
    daemon.write(LOCAL)
    daemon.start()
    before = _pids(daemon.until_listed(2))

    daemon.client.stop(stop_replicas=True)
    assert daemon.process is not None
    assert 0 == daemon.process.wait(WAIT_S)

    assert [] == _pids_of(before)
    daemon.start()
    daemon.until_listed(2)


def test_a_daemon_killed_at_any_moment_of_bringing_a_fleet_up_leaves_nothing_behind(daemon: Daemon) -> None:
    """Killed again and again, the fleet still comes to its declared number, and no server is left over besides."""
    daemon.write(LOCAL.replace("replicas: 2", "replicas: 3"))
    for hundredths in range(0, 25, 5):
        daemon.start()
        threading.Event().wait(hundredths / 100)  # the moment of death is what varies, nothing is waited for
        daemon.kill()

    daemon.start()
    pids = _pids(daemon.until_listed(3))

    assert sorted(pids.values()) == sorted(_servers_of(daemon))


def _servers_of(daemon: Daemon) -> list[int]:
    """Return every process of a tiny server whose folder is below this daemon's state."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        is_server = any("tiny_server.py" in word for word in process.info["cmdline"] or ())
        if is_server and str(daemon.folder) in (process.info["cwd"] or ""):
            found.append(process.pid)
    return found
