"""Two daemons for one fleet: one of them runs, and the other one says who that is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.daemon.conftest import Daemon
from tests.daemon.fleets import SIMULATED
from tests.hardening.conftest import run_cli


@pytest.mark.nightly
def test_of_daemons_that_start_at_the_same_time_one_runs(daemon: Daemon) -> None:
    """Whoever comes second is told who was first, or that it runs; nobody is left half started."""
    daemon.write(SIMULATED)
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: run_cli(daemon, "daemon", "start", "--background"), range(4)))
    pid = daemon.status().service.daemon

    assert pid is not None
    assert 1 == sum(one.code == 0 and f"runs: process {pid}" in one.all for one in said)
    refused = [one for one in said if one.code != 0]
    assert all(f"is in use by `roadstead daemon` (process {pid})" in one.all for one in refused)
    daemons = [one for one in psutil.process_iter(["cmdline"]) if str(daemon.file) in (one.info["cmdline"] or [])]
    assert [pid] == [one.pid for one in daemons]
    run_cli(daemon, "daemon", "stop")
