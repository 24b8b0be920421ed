"""What `roadstead why` prints of deployments on a Marathon that do not get what they ask for, with a daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE_S = 180.0
WORDS = "Failed to launch container: Failed to fetch all URIs for container '0a1b': exited with status 1"
FLEET = """
version: 1
fleet: night
clusters:
  dc1:
    backend: marathon
    reach: none
    options: {{urls: [{url}]}}
defaults:
  runtime: {{image: "tensorflow/serving:2.20.0"}}
  resources: {{cpu: 500m, memory: 1Gi}}
deployments:
  big:
    model: {{source: /models/minilm, version: 1}}
    resources: {{cpu: 9}}
  picky:
    model: {{source: /models/minilm, version: 1}}
    placement:
      constraints: [{{attribute: rack, in: [rack-9]}}]
  away:
    model: {{source: "https://models.example/minilm.tar.gz", version: 1}}
  well:
    model: {{source: /models/minilm, version: 1}}
daemon: {{http: "127.0.0.1:{port}"}}
"""


@attrs.define
class Night:
    """An operator's screen, and the Marathon behind it."""

    marathon: Emulated
    file: Path
    environment: dict[str, str]

    def roadstead(self, *words: str) -> str:
        """Return what a command prints."""
        command = [sys.executable, "-m", "roadstead", "-f", str(self.file), *words]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=self.environment, timeout=180
        ).stdout

    def why(self, name: str, code: str) -> dict[str, Any]:
        """Return the reason with this code, once it is told; the whole explanation is printed if it never is."""
        end, found = time.monotonic() + PATIENCE_S, {}
        while time.monotonic() < end:
            found = json.loads(self.roadstead("why", name, "-o", "json"))
            for cause in found["causes"]:
                if cause["code"] == code:
                    told: dict[str, Any] = cause
                    return told
            time.sleep(0.5)
        raise AssertionError(f"{name} is never {code}: {json.dumps(found, indent=1)}")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A daemon on a Marathon with three agents of 8 CPUs."""
    folder = tmp_path_factory.mktemp("night")
    with emulated(Plan(settings=Settings(min_revive_offers_interval=100))) as marathon:
        failing = {"starting": None, "running": None, "end": 200, "final": "TASK_FAILED", "message": WORDS}
        marathon.control("set-course", app="/night/away", **failing)
        file = folder / "fleet.yaml"
        file.write_text(FLEET.format(url=marathon.url, port=free_port()))
        made = Night(marathon, file, {**os.environ, "COLUMNS": "200"})
        made.roadstead("daemon", "start", "--background")
        try:
            yield made
        finally:
            made.roadstead("daemon", "stop")


def test_what_does_not_fit_says_how_much_would(night: Night) -> None:
    """The request, what is free at most, and Marathon's own words."""
    cause = night.why("big", "no-capacity")
    assert "cpu (at most 8 free, 9 asked) on 3 (of 3 agents)" in cause["detail"]
    assert "offers declined: InsufficientCpus 3" in cause["raw"]
    assert {"cpu": 8000} == cause["remedy"]["amounts"]
    assert "enough  lower resources.cpu from 9 to 8" in night.roadstead("why", "big")


def test_a_constraint_that_nobody_meets_is_named(night: Night) -> None:
    """And that dropping it would do."""
    cause = night.why("picky", "no-matching-node")
    assert "constraint rack on 3 (of 3 agents)" in cause["detail"]
    assert "drop the constraint on rack" == cause["change"]


def test_what_cannot_be_fetched_says_from_where(night: Night) -> None:
    """The agent's words, and the key of the fleet file."""
    cause = night.why("away", "model")
    assert WORDS in cause["raw"]
    assert "correct model.source (https://models.example/minilm.tar.gz), or let the agents reach it" == cause["change"]


def test_somebody_else_who_scales_is_told_of_although_it_was_put_right(night: Night) -> None:
    """The daemon has its count again within a turn, and the operator still learns who fights it."""
    _, listed = night.marathon.ask("GET", "/v2/apps")
    app = next(one["id"] for one in listed["apps"] if one["id"].startswith("/night/well/"))
    night.marathon.ask("PUT", f"/v2/apps{app}?force=true", {"instances": 3})
    cause = night.why("well", "contested")
    assert "its instances went from 1 to 3" in cause["detail"]
    assert "leave it to one of you" in cause["change"]


def test_agents_and_what_is_used_there_are_shown(night: Night) -> None:
    """Three nodes with their amounts, and what the task that runs uses."""
    end = time.monotonic() + PATIENCE_S
    while True:
        status = json.loads(night.roadstead("status", "-o", "json"))
        (well,) = (one for one in status["deployments"] if one["name"] == "well")
        used = [one["observed"] for one in well["replicas"]]
        if used and all(one["cpu"] is not None and one["memory"] is not None for one in used):
            break
        assert time.monotonic() < end, f"what is used is never known: {well['replicas']}"
        time.sleep(1)
    (cluster,) = status["clusters"]
    assert [8000, 8000, 8000] == [node["cpu"] for node in cluster["nodes"]]
