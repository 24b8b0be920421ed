"""Real processes: what they find on their agent, and what becomes of them when it is lost."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated
from tests.daemon.conftest import until

APP = {
    "id": "/web",
    "cmd": "sleep 1000",
    "cpus": 0.1,
    "mem": 16,
    "unreachableStrategy": {"inactiveAfterSeconds": 1, "expungeAfterSeconds": 1},
}


def until_states(marathon: Emulated, states: list[str], *, step: float = 0.05) -> str:
    """Let emulated time pass, and a little of ours, until tasks have these states; return where the first is.

    A ``step`` of emulated seconds is so short that a process of ours has started long before Marathon gives it up.
    """
    tasks: list[dict[str, object]] = []
    for _ in range(4_000):
        marathon.advance(step)
        tasks = marathon.ask("GET", "/v2/tasks")[1]["tasks"]
        if [task["state"] for task in tasks] == states:
            return str(tasks[0]["slaveId"])
        threading.Event().wait(0.01)  # a process takes time of ours to start
    raise AssertionError(f"not {states}: {tasks}")


def test_a_process_that_dies_with_its_agent_is_missed_only_when_mesos_misses_the_agent(tmp_path: Path) -> None:
    """Nobody is there to tell of its end: it is unreachable then, given up, and replaced elsewhere."""
    settings = Settings(task_lost_expunge_initial_delay=500, task_lost_expunge_interval=500)
    plan = Plan(settings=settings, processes=tmp_path, prefix="127.79", by_hand=True)
    with emulated(plan) as marathon:
        marathon.ask("POST", "/v2/apps", APP)
        lost = until_states(marathon, ["TASK_RUNNING"])
        marathon.control("lose-agent", agent=lost)
        assert lost == until_states(marathon, ["TASK_UNREACHABLE"], step=1)
        assert lost != until_states(marathon, ["TASK_RUNNING"])


def test_a_task_finds_the_python_of_the_emulator_s_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an app that names `python3` has the packages that are installed beside the emulator."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    app = {**APP, "cmd": "python3 -c 'import sys; print(sys.prefix, flush=True)' && exec sleep 1000"}
    with emulated(Plan(processes=tmp_path, prefix="127.78", by_hand=True)) as marathon:
        marathon.ask("POST", "/v2/apps", app)
        until_states(marathon, ["TASK_RUNNING"])
        (sandbox,) = tmp_path.iterdir()
        until(lambda: (sandbox / "stdout").read_text().endswith("\n"))
    assert sys.prefix == (sandbox / "stdout").read_text().strip()
