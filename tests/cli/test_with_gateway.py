"""The commands with a real daemon, a real Envoy, and servers of a few lines on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from roadstead.cli.exits import Exit
from tests.daemon.conftest import Daemon, daemon, installed, until
from tests.daemon.fleets import ROUTED
from tests.ports import free_port

__all__ = ["daemon", "installed"]  # fixtures, found by their names

pytestmark = pytest.mark.timeout(600)


def run(place: Daemon, *arguments: str, given: str = "", expect: Exit = Exit.DONE) -> subprocess.CompletedProcess[str]:
    """Run a command on the fleet of ``place``, and hold it to its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "roadstead", *arguments],
        cwd=place.folder,
        env=place.environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def told(place: Daemon, *arguments: str) -> dict[str, Any]:
    """Return what a command tells programs."""
    found = json.loads(run(place, *arguments, "--json").stdout)
    assert isinstance(found, dict)
    return found


def test_a_person_finds_the_one_address_and_what_is_behind_it(daemon: Daemon) -> None:
    """From the plan over the first answer to the reason of everything, and to a gateway that is to go."""
    edge = free_port()
    routed = ROUTED.replace("EDGE", str(edge)).replace("drain_within: 2m", "drain_within: 1s")
    daemon.write(routed)
    before = run(daemon, "plan").stdout
    assert f"address  127.0.0.1:{edge} of gateway edge, new" in before
    assert "gateway: " not in before
    assert "edge does not run; its ports are free" in run(daemon, "check").stdout

    daemon.start()
    applied = run(daemon, "apply", "--yes")
    assert f"it answers: curl http://127.0.0.1:{edge}/v1/models/minilm" in applied.stderr

    listed = told(daemon, "endpoints", "minilm")
    assert [("edge", "127.0.0.1", edge, False)] == [
        (one["gateway"], one["host"], one["port"], one["tls"]) for one in listed["addresses"]
    ]
    replicas = [one["replica"] for one in listed["endpoints"]]
    assert 2 == len(replicas)
    text = run(daemon, "endpoints").stdout
    assert f"127.0.0.1:{edge}" in text
    assert replicas[0] not in text

    # A tiny server knows no predict request: who refused it says which way the request went.
    through = run(daemon, "predict", "minilm", given="[1]", expect=Exit.ERROR).stderr
    assert f"gateway edge at 127.0.0.1:{edge} answered 501" in through
    direct = run(daemon, "predict", "minilm", "--replica", replicas[1], given="[1]", expect=Exit.ERROR).stderr
    assert f"{replicas[1]} at 127." in direct

    why = run(daemon, "why", "minilm").stdout
    assert f"127.0.0.1:{edge} of gateway edge, gRPC and REST" in why
    assert 2 == why.count("gets new requests")
    assert [("edge", "envoy", True, ("minilm",))] == [
        (one.name, one.kind, one.settled, one.deployments) for one in daemon.status().gateways
    ]

    daemon.write(_without_gateways(routed))
    until(lambda: [one.vanished for one in daemon.status().gateways] == [True])
    assert "gateway edge is no longer in the fleet file" in run(daemon, "status").stdout
    assert "removed: gateway edge (1 deployment)" in run(daemon, "apply", "--yes").stderr
    assert [] == told(daemon, "endpoints")["addresses"]


def _without_gateways(text: str) -> str:
    """Return a fleet file without its gateways."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("gateways:", "  edge:")))


@pytest.mark.slow
def test_a_replica_that_was_stopped_with_requests_in_flight_is_told_by_why(daemon: Daemon) -> None:
    """With when, and how many; the event log knows it after the replica is gone."""
    edge = free_port()
    daemon.write(ROUTED.replace("EDGE", str(edge)).replace("drain_within: 2m", "drain_within: 1s"))
    daemon.start()
    daemon.until_listed(2)
    holding = [
        subprocess.Popen(
            [sys.executable, "-c", f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{edge}/hold')"],
            stderr=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]
    try:
        until(lambda: daemon.deployment().load.in_flight == 4)
        run(daemon, "scale", "minilm", "0")
        assert "in flight: its 1s to drain were over" in run(daemon, "why", "minilm").stdout
        # The gateway may have sent all of them to one replica.
        assert len(told(daemon, "why", "minilm")["overdue"]) in {1, 2}
    finally:
        for process in holding:
            process.kill()
            process.wait()
