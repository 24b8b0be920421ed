"""A fleet file with a thousand deployments: everything answers, and the daemon stays small."""

from __future__ import annotations

import json

import psutil
import pytest

from roadstead.act.events import EventKind
from tests.daemon.conftest import Daemon, until
from tests.hardening.conftest import run_cli

COUNT = 1_000
REPLICA = [kind for kind in EventKind if kind.value.startswith("replica-")]
HEAD = """
version: 1
fleet: shop
clusters:
  here: {backend: simulated, options: {speed: 100, nodes: 50}}
quotas: {search: {}, ads: {cpu: 400, memory: 400Gi}}
defaults:
  runtime: {name: simulated}
  resources: {cpu: 100m, memory: 128Mi}
  stop: {drain_within: 0s}
daemon: {http: "127.0.0.1:PORT", state: state}
deployments:
"""


def _fleet(first_has: int) -> str:
    """A thousand deployments, every other one with a replica; the first has so many."""
    return HEAD + "".join(
        f"  model-{number}:\n"
        "    model: {source: models/minilm}\n"
        f"    owner: {'ads' if number % 3 == 0 else 'search'}\n"
        f"    replicas: {first_has if number == 0 else number % 2}\n"
        for number in range(COUNT)
    )


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_thousand_deployments_are_validated_planned_served_and_shown(daemon: Daemon) -> None:
    """Each command knows all of them, a change of one is a change of one, and the daemon takes less than 120 MB."""
    daemon.write(_fleet(first_has=1))
    valid = run_cli(daemon, "validate")
    assert (0, True) == (valid.code, "1000 deployments" in valid.all)

    daemon.start()
    until(lambda: sum(one.listed or 0 for one in daemon.status().deployments) == COUNT // 2 + 1, within=90)
    shown = json.loads(run_cli(daemon, "status", "-o", "json").out)
    assert COUNT == len(shown["deployments"])
    why = run_cli(daemon, "why", "model-999")
    assert (0, True) == (why.code, "as asked: 1 of 1 serving" in why.all)
    planned = run_cli(daemon, "plan", "--detailed-exitcode")
    assert (0, True) == (planned.code, "nothing to do" in planned.all)

    told = max(event.seq for event in daemon.events(*REPLICA))
    daemon.write(_fleet(first_has=3))
    daemon.until_listed(3, "model-0")
    assert 0 == run_cli(daemon, "apply", "--yes").code
    assert {"model-0"} == {event.deployment for event in daemon.events(*REPLICA) if event.seq > told}
    assert daemon.process is not None
    assert psutil.Process(daemon.process.pid).memory_info().rss <= 120_000_000
    daemon.kill()  # what is simulated ends with it
    daemon.process = None
