"""A gateway that is stopped, or not installed: what is said of it, and what goes on meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from roadstead.act.events import EventKind
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import ROUTED
from tests.daemon.test_gateway import Address, envoy, routed
from tests.hardening.conftest import run_cli
from tests.ports import free_port


@pytest.mark.nightly
def test_a_gateway_that_is_stopped_is_said_with_what_lets_it_go_on(daemon: Daemon) -> None:
    """Replicas are added meanwhile and none is stopped; when it goes on, the same process serves what is asked then."""
    address = routed(daemon)
    process = envoy(daemon)

    os.kill(process.pid, signal.SIGSTOP)
    try:
        until(lambda: [True] == [one.unseen_since is not None for one in daemon.status().gateways])
        daemon.client.scale("minilm", 3)
        until(lambda: daemon.deployment().ready == 3)
        daemon.client.scale("minilm", 1)
        said = [run_cli(daemon, "status"), run_cli(daemon, "why", "minilm"), run_cli(daemon, "check")]
        assert 3 == len(daemon.deployment().replicas)
        assert [] == daemon.events(EventKind.STOPPING, EventKind.STOPPED)
    finally:
        os.kill(process.pid, signal.SIGCONT)

    words = f"envoy (process {process.pid}) is stopped and answers nobody; `kill -CONT {process.pid}` lets it go on"
    assert [(0, True), (0, True), (1, True)] == [(one.code, words in one.all) for one in said]
    until(lambda: len(daemon.deployment().replicas) == 1)
    assert 200 == address.status()
    assert process == envoy(daemon)
    told = [event.text for event in daemon.events(EventKind.GATEWAY_LOST, EventKind.GATEWAY_BACK)]
    assert [f"gateway edge does not answer: {words}", "gateway edge answers"] == told[-2:]


@pytest.mark.nightly
def test_a_gateway_that_is_not_installed_is_said_with_what_to_install(daemon: Daemon, tmp_path: Path) -> None:
    """The replicas run meanwhile; the next daemon, which finds Envoy, puts them behind their address."""
    address = Address(free_port())
    without = tmp_path / "without"
    (without / "envoy").mkdir(parents=True)
    (without / "envoy" / "__init__.py").touch()  # found before Envoy's own package, and has no Envoy in it
    with_envoy = daemon.environment
    daemon.environment = {**with_envoy, "PYTHONPATH": f"{without}:{with_envoy['PYTHONPATH']}"}
    daemon.write(ROUTED.replace("EDGE", str(address.port)))
    daemon.start()

    until(lambda: daemon.deployment().ready == 2)
    said = [run_cli(daemon, "status"), run_cli(daemon, "check")]

    words = "there is no Envoy in this environment"
    assert [True] * 2 == [words in one.all and "install roadstead[gateway]" in one.all for one in said]
    assert None is address.status()
    assert 0 == daemon.terminate()
    daemon.environment = with_envoy
    daemon.start()
    address.answering(2)
