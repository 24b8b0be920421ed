"""Files and folders that somebody removes, damages or replaces while what they are about runs."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from roadstead.act.events import EventKind
from roadstead.shim.state import STATE_FILE
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL
from tests.hardening.conftest import first, folder_of, pid_of, run_cli, shim_of

ONE = LOCAL.replace("replicas: 2", "replicas: 1")


@pytest.mark.nightly
def test_a_damaged_state_file_of_a_shim_is_written_anew_for_the_next_daemon(daemon: Daemon) -> None:
    """Neither a second shim nor a second server is started: the one that runs says again what it knows."""
    daemon.write(ONE)
    daemon.start()
    replica = first(daemon.until_listed(1))
    pid, shim = pid_of(replica), shim_of(daemon, replica.id).shim
    daemon.kill()
    (folder_of(daemon, replica.id) / STATE_FILE).write_text("{")

    daemon.start()

    assert pid == pid_of(first(daemon.until_listed(1)))
    assert shim == shim_of(daemon, replica.id).shim
    assert [] == daemon.events(EventKind.CRASHED, EventKind.RESTARTED)


def test_the_folder_of_a_replica_that_is_removed_comes_back_and_the_server_serves_on(daemon: Daemon) -> None:
    """Its record, what its shim was told and what the shim knows are written again; its log goes on."""
    daemon.write(ONE)
    daemon.start()
    replica = first(daemon.until_listed(1))
    pid, folder = pid_of(replica), folder_of(daemon, replica.id)

    shutil.rmtree(folder.rename(daemon.folder / "removed"))  # all at once: what is written meanwhile is not in the way
    until(lambda: (folder / STATE_FILE).exists() and (folder / "replica.json").exists())

    assert pid == pid_of(first(daemon.until_listed(1)))
    until(lambda: "asked /" in run_cli(daemon, "logs", replica.id).out)
    assert 0 == daemon.terminate()
    daemon.start()
    assert pid == pid_of(first(daemon.until_listed(1)))


@pytest.mark.nightly
def test_a_shim_that_cannot_read_what_it_is_told_is_said_as_the_reason(daemon: Daemon) -> None:
    """A replica does not stay "starting" without a word: the last line of what its shim said is shown."""
    daemon.write(ONE)
    daemon.start()
    replica = first(daemon.until_listed(1))
    shim = shim_of(daemon, replica.id).shim
    assert shim is not None
    daemon.kill()
    spec = folder_of(daemon, replica.id) / "spec.json"
    good = spec.read_text()
    spec.write_text(good.replace('"format":1', '"format":99'))
    os.kill(shim.pid, signal.SIGKILL)

    daemon.start()
    until(lambda: "spec has format 99, not 1" in run_cli(daemon, "status").all)
    spec.write_text(good)
    daemon.until_listed(1)
