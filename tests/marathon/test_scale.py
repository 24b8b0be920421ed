"""How large a cluster it bears."""

from __future__ import annotations

import time

import pytest

from roadstead_backends.marathon.emulator.testing import Plan, Settings, emulated


@pytest.mark.slow
def test_it_bears_a_thousand_agents_and_ten_thousand_tasks() -> None:
    """Launched, listed and idle in seconds of processor time; the benchmark has the figures."""
    settings = Settings(launch_token=10_000, max_instances_per_offer=100)
    begun = time.process_time()
    with emulated(Plan(by_hand=True, agents=1_000, settings=settings)) as running:
        for number in range(100):
            app = {"id": f"/g/a{number}", "cmd": "sleep 100", "cpus": 0.1, "mem": 16, "instances": 100}
            assert running.ask("POST", "/v2/apps", app)[0] == 201
        running.advance(10)
        _, found = running.ask("GET", "/v2/tasks")
        assert len(found["tasks"]) == 10_000
        assert {task["state"] for task in found["tasks"]} == {"TASK_RUNNING"}
        running.advance(600)
    assert time.process_time() - begun < 60
