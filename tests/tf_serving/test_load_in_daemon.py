"""What a daemon shows of the load of real servers that no gateway measures."""

from __future__ import annotations

import re

import psutil
import pytest

from roadstead.decide.report import ServerLoadStatus
from tests.daemon.conftest import Daemon, daemon, installed, until
from tests.tf_serving.clients import clients
from tests.tf_serving.saved_models import half_plus

pytestmark = pytest.mark.slow

__all__ = ["daemon", "installed"]  # fixtures, found by their names

FLEET = """
version: 1
fleet: shop
clusters:
  here: {backend: local, options: {cpu: 2, memory: 2Gi}}
quotas: {search: {}}
defaults:
  owner: search
  runtime: {name: tf_serving, engine: embedded}
  resources: {cpu: 500m, memory: 768Mi}
  stop: {drain_within: 0s, kill_after: 1s}
deployments:
  minilm:
    model: {source: models/minilm, name: default}
daemon: {http: "127.0.0.1:PORT", state: state, turn: 500ms}
"""


def _counted(daemon: Daemon) -> float | None:
    """Return how many requests the server counts since it started, as far as that is scraped."""
    found = re.search(r"^roadstead_server_requests_total\{.*\} (\S+)$", daemon.http("/metrics").decode(), re.MULTILINE)
    return float(found[1]) if found is not None else None


def _busy(daemon: Daemon) -> ServerLoadStatus | None:
    load = daemon.deployment().server_load
    return load if load.rate else None


def _server_at(host: str) -> psutil.Process:
    """Return the server process that listens at an address of its own."""
    (found,) = [one for one in psutil.process_iter(["cmdline"]) if f"--host={host}" in (one.info["cmdline"] or ())]
    return found


@pytest.mark.timeout(300)
def test_the_load_of_a_server_without_a_gateway_is_known(daemon: Daemon) -> None:
    """Unknown at first, then as its clients see it; a new process counts from the beginning."""
    half_plus(2, daemon.folder / "models" / "minilm" / "1")
    daemon.write(FLEET)
    daemon.start()
    (replica,) = until(lambda: daemon.until_listed(1)).replicas
    assert (None, 0) == (replica.server_load.rate, replica.server_load.replicas)
    assert replica.host is not None

    with clients(replica.host, over_grpc=2) as tally:
        load = until(lambda: _busy(daemon))
        until(lambda: (_counted(daemon) or 0) > 100)
    assert load.rate is not None
    assert load.in_flight is not None
    assert 0 < load.in_flight <= 2
    assert (1, 0.0, None) == (load.replicas, load.error_rate, daemon.deployment().load.rate)
    before = _counted(daemon)
    assert before is not None
    assert before <= len(tally.sent) + 1

    _server_at(replica.host).kill()
    until(lambda: (counted := _counted(daemon)) is not None and counted < before)
    assert (daemon.deployment().server_load.rate or 0.0) >= 0.0
