"""What 1.8 does not know yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roadstead_backends.marathon.emulator.settings import profile_named
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated

APP = {"id": "/a", "cmd": "sleep 10", "cpus": 0.1, "mem": 16}


@pytest.fixture
def old() -> Iterator[Emulated]:
    """A Marathon 1.8."""
    with emulated(Plan(by_hand=True, settings=Settings(profile=profile_named("1.8")))) as running:
        yield running


def test_roles_and_limits_are_overlooked(old: Emulated) -> None:
    """As every field that it does not know; no answer has them."""
    status, app = old.ask("POST", "/v2/apps", {**APP, "role": "nonsense", "resourceLimits": {"cpus": "unlimited"}})
    assert (status, "role" in app, "resourceLimits" in app) == (201, False, False)
    _, queue = old.ask("GET", "/v2/queue")
    assert "role" not in queue["queue"][0]
    assert "role" not in queue["queue"][0]["app"]
    old.advance(5)
    assert "role" not in old.ask("GET", "/v2/tasks")[1]["tasks"][0]
    assert "enforceRole" not in old.ask("GET", "/v2/groups")[1]


def test_statistics_are_embedded_under_their_old_name(old: Emulated, marathon: Emulated) -> None:
    """1.11 renamed the key; both are asked for by the same word."""
    for running, key in ((old, "taskStats"), (marathon, "tasksStats")):
        running.ask("POST", "/v2/apps", APP)
        assert key in running.ask("GET", "/v2/apps?embed=apps.taskStats")[1]["apps"][0]


def test_a_group_cannot_be_patched_yet(old: Emulated) -> None:
    """PATCH came with roles."""
    old.ask("PUT", "/v2/groups/g", {"apps": []})
    assert old.ask("PATCH", "/v2/groups/g", {"enforceRole": True})[0] == 405
