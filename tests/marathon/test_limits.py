"""Real tasks that are held to their CPUs and memory, as an agent of Mesos does that isolates by control groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roadstead_backends.marathon.emulator.serving.limits import Isolation, IsolationError
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, emulated
from tests.daemon.conftest import until

pytestmark = pytest.mark.slow

_HIERARCHIES = Path("/sys/fs/cgroup")
_APP = {"cpus": 0.1, "mem": 16}


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Emulated]:
    """An emulator whose tasks are held to what they asked for."""
    try:
        Isolation("emulated-mesos-probe").close()
    except IsolationError as error:
        pytest.skip(f"limits need control groups: {error}")
    with emulated(Plan(processes=tmp_path, limits=True, prefix="127.76")) as running:
        yield running


def _failure(marathon: Emulated, app: str) -> dict[str, Any] | None:
    found: dict[str, Any] = marathon.ask("GET", f"/v2/apps{app}?embed=app.lastTaskFailure")[1]["app"]
    return found.get("lastTaskFailure")


def _groups(marathon: Emulated, app: str) -> list[Path]:
    tasks = marathon.ask("GET", f"/v2/apps{app}/tasks")[1]["tasks"]
    return [path for task in tasks for path in _HIERARCHIES.glob(f"**/{task['id']}/cpu.stat")]


def _throttled(stat: Path) -> bool:
    counted = dict(line.split() for line in stat.read_text().splitlines())
    return int(counted["nr_throttled"]) > 0


def test_a_task_that_takes_more_memory_than_it_asked_for_fails(limited: Emulated) -> None:
    """In Mesos' words: what was allowed, 32 MB for the executor included, and what was used."""
    eats = "exec python3 -c 'x = bytes(1) * (256 << 20)'"
    limited.ask("POST", "/v2/apps", {**_APP, "id": "/eats", "cmd": eats})
    failure = until(lambda: _failure(limited, "/eats"))
    assert "TASK_FAILED" == failure["state"]
    assert "Memory limit exceeded: Requested: 48MB Maximum Used: 48MB" == failure["message"].split("\n")[0]


def test_a_limit_of_its_own_allows_a_task_more(limited: Emulated) -> None:
    """As `resourceLimits` are for."""
    eats = "python3 -c 'x = bytes(1) * (256 << 20)' && echo eaten && exit 3"
    app = {**_APP, "id": "/eats", "cmd": eats, "resourceLimits": {"mem": "unlimited", "cpus": 2}}
    assert 201 == limited.ask("POST", "/v2/apps", app)[0]
    failure = until(lambda: _failure(limited, "/eats"))
    assert "Command exited with status 3" == failure["message"]


def test_a_task_that_spins_is_throttled_and_its_group_goes_with_it(limited: Emulated) -> None:
    """To its CPUs, and the tenth that the executor has."""
    limited.ask("POST", "/v2/apps", {**_APP, "id": "/spins", "cmd": "while :; do :; done"})
    (stat,) = until(lambda: _groups(limited, "/spins") or None)
    until(lambda: _throttled(stat))
    limited.ask("DELETE", "/v2/apps/spins")
    until(lambda: not stat.exists())
