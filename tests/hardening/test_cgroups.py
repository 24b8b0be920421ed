"""Somebody takes away a replica's control group: it gets it back, and nothing runs without its limits."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from roadstead.act.events import EventKind
from roadstead.shim.cgroup import ReplicaCgroup, missing
from roadstead.shim.files import read_json
from roadstead.shim.spec import SPEC_FILE, spec_from_json
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL
from tests.hardening.conftest import first, folder_of, pid_of, shim_of

pytestmark = pytest.mark.slow

ONE = LOCAL.replace("replicas: 2", "replicas: 1")


def _group(daemon: Daemon, replica: str) -> ReplicaCgroup:
    value = read_json(str(folder_of(daemon, replica) / SPEC_FILE))
    assert value is not None
    group = spec_from_json(value).limits.cgroup
    if group is None:
        pytest.skip("this machine gives us no control groups")
    return group


def _move_out(group: ReplicaCgroup) -> None:
    """Put every process of the group into the one above it, and remove the group."""
    for folder in map(Path, group.folders):
        above = folder.parent.parent / "cgroup.procs"
        for pid in (folder / "cgroup.procs").read_text().split():
            above.write_text(pid)
        folder.rmdir()


def _holds(group: ReplicaCgroup, pid: int) -> bool:
    return missing(group) is None and all(
        str(pid) in (Path(folder) / "cgroup.procs").read_text().split() for folder in group.folders
    )


def test_a_group_that_is_removed_under_a_running_server_is_made_again_and_holds_it(daemon: Daemon) -> None:
    """The same process serves on, in its group again, and nothing is told as a crash."""
    daemon.write(ONE)
    daemon.start()
    replica = first(daemon.until_listed(1))
    group, pid = _group(daemon, replica.id), pid_of(replica)

    _move_out(group)
    until(lambda: _holds(group, pid))

    assert pid == pid_of(first(daemon.until_listed(1)))
    assert [] == daemon.events(EventKind.CRASHED, EventKind.RESTARTED)
    assert f"the control group of {replica.id} was gone" in daemon.said()


def test_a_server_whose_group_is_gone_when_it_is_to_start_gets_it_back_and_starts(daemon: Daemon) -> None:
    """It is not started without limits, what is missing is said by name, and it serves a moment later."""
    daemon.write(ONE)
    daemon.start()
    replica = first(daemon.until_listed(1))
    group, pid, shim = _group(daemon, replica.id), pid_of(replica), shim_of(daemon, replica.id).shim
    assert shim is not None

    os.kill(shim.pid, signal.SIGSTOP)  # so that the group is empty for as long as it takes to remove it
    os.kill(pid, signal.SIGKILL)
    until(lambda: all(not (Path(folder) / "cgroup.procs").read_text() for folder in group.folders))
    for folder in group.folders:
        Path(folder).rmdir()
    os.kill(shim.pid, signal.SIGCONT)

    until(lambda: first(daemon.until_listed(1)).restarts == 1)
    assert _holds(group, pid_of(first(daemon.until_listed(1))))


@pytest.mark.nightly
def test_what_is_missing_is_named_where_no_daemon_gives_it_back(daemon: Daemon) -> None:
    """Without a daemon the server stays down, and its log says that the group is why; the next daemon mends it."""
    daemon.write(ONE)
    daemon.start()
    replica = first(daemon.until_listed(1))
    group, pid, shim = _group(daemon, replica.id), pid_of(replica), shim_of(daemon, replica.id).shim
    assert shim is not None
    daemon.kill()

    os.kill(shim.pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    until(lambda: all(not (Path(folder) / "cgroup.procs").read_text() for folder in group.folders))
    for folder in group.folders:
        Path(folder).rmdir()
    os.kill(shim.pid, signal.SIGCONT)
    failed = until(lambda: next((one for one in shim_of(daemon, replica.id).exits if one.what == "start"), None))
    assert f"control group {group.folders[0]} is gone, and nothing is started without its limits" == failed.detail

    daemon.start()
    assert _holds(group, pid_of(first(daemon.until_listed(1))))
