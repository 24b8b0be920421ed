"""Processes that die, stop or cannot begin: what is told of them, and what comes of it."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from roadstead.act.events import EventKind
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL
from tests.hardening.conftest import first, pid_of, run_cli, shim_of

pytestmark = pytest.mark.slow

ONE = LOCAL.replace("replicas: 2", "replicas: 1")


def test_an_address_that_somebody_else_took_is_said_with_who_and_used_once_it_is_free(daemon: Daemon) -> None:
    """`why`, the log and the events name the process; nobody else is hurt, and the server comes back by itself."""
    daemon.write(ONE)
    daemon.start()
    replica = first(daemon.until_listed(1))
    shim = shim_of(daemon, replica.id).shim
    assert shim is not None
    assert replica.host is not None
    assert replica.rest is not None

    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(shim.pid, signal.SIGSTOP)  # it would start the next server before the address could be taken
        os.kill(pid_of(replica), signal.SIGKILL)
        until(lambda: _bound(taken, (replica.host or "", replica.rest or 0)))
        taken.listen()
        os.kill(shim.pid, signal.SIGCONT)
        until(lambda: len(daemon.events(EventKind.CRASHED)) > 1)
        crashes = daemon.events(EventKind.CRASHED)
        why = run_cli(daemon, "why", "minilm")

    words = f"address {replica.host}:{replica.rest} is in use by process {os.getpid()} "
    assert f"{replica.id} was ended by signal 9" == crashes[0].text
    assert crashes[1].text.startswith(f"{replica.id} could not be started: {words}")
    assert f"config: {words}" in why.all
    daemon.until_listed(1)


def _bound(taken: socket.socket, address: tuple[str, int]) -> bool:
    try:
        taken.bind(address)
    except OSError:
        return False
    return True


def test_every_death_that_no_daemon_saw_is_told_by_the_next(daemon: Daemon) -> None:
    """Killed three times while no daemon ran: three events, each with its own time, and once each."""
    daemon.write(ONE)
    daemon.start()
    replica = first(daemon.until_listed(1))
    daemon.kill()

    for deaths in (1, 2, 3):
        server = until(lambda: shim_of(daemon, replica.id).server)
        os.kill(server.pid, signal.SIGKILL)
        until(lambda so_far=deaths: len(shim_of(daemon, replica.id).exits) == so_far)  # type: ignore[misc]
    daemon.start()
    crashes = until(lambda: told if len(told := daemon.events(EventKind.CRASHED)) >= 3 else None)

    assert [f"{replica.id} was ended by signal 9"] * 3 == [event.text for event in crashes]
    assert sorted({event.at for event in crashes}) == [event.at for event in crashes]


def test_a_server_that_hangs_is_taken_out_and_started_anew(daemon: Daemon) -> None:
    """Stopped by SIGSTOP it answers nobody: it leaves the list, and after `start_within` it is restarted, no crash."""
    daemon.write(ONE.replace("every: 500ms", "every: 200ms, start_within: 4s"))
    daemon.start()
    replica = first(daemon.until_listed(1))
    stopped = pid_of(replica)

    os.kill(stopped, signal.SIGSTOP)
    found = until(lambda: None if (now := daemon.deployment()).listed else now)
    until(lambda: daemon.deployment().listed == 1)

    assert ["not-ready: the server runs and its model is not available"] == [str(cause) for cause in found.causes]
    assert stopped != pid_of(first(daemon.deployment()))
    assert [] == daemon.events(EventKind.CRASHED)
    assert f"restart {replica.id}: it runs and was not ready for 4s" in daemon.said()
