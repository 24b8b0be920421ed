"""A daemon in which load decides: what it does, tells, refuses and takes again."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from roadstead.act.events import EventKind
from roadstead.cli.errors import Refused
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import SIMULATED

pytestmark = pytest.mark.slow

# Each simulated server uses half of its CPU, 250m: more than the 150m that it should, so that there are never enough.
BUSY = SIMULATED.replace(
    "replicas: 2",
    "autoscaling: {min: 1, max: 3, metrics: [{cpu: 150m}], window: {stable: 2s, panic: 1s, scale_down_after: 1s}}",
)


@pytest.fixture
def busy(daemon: Daemon) -> Daemon:
    """A daemon whose only deployment has grown to its max, by load."""
    daemon.write(BUSY)
    daemon.start()
    daemon.until_listed(3)
    return daemon


def said(daemon: Daemon, *arguments: str, expect: int = 0) -> str:
    """Run `roadstead`, hold it to its exit code, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "roadstead", *arguments],
        cwd=daemon.folder,
        env=daemon.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert expect == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_load_makes_replicas_and_every_surface_says_how_many_and_why(busy: Daemon) -> None:
    """Status and why have bounds and numbers, each change is an event, and the metrics have what was measured."""
    # On a machine that is too busy to measure for a moment, that is what is said then.
    until(lambda: re.search(r"cpu 0\.\d+ over 2s", " ".join(said(busy, "why", "minilm").split())))
    scaling = until(lambda: (now := busy.deployment().scaling) and "max is 3" in now.because and now)
    assert (1, 3, 3, "cpu") == (scaling.min, scaling.max, scaling.wanted, scaling.metrics[0].metric)
    assert "3/3 (1..3)" in said(busy, "status")
    first, *_ = busy.events(EventKind.SCALED)
    assert first.text.startswith("minilm: 1 -> 2 wanted by load: cpu 0.25 over 2s")
    stable = rb'roadstead_scaling_average{deployment="minilm",metric="cpu",window="stable"} 0\.\d+'
    until(lambda: re.search(stable, busy.http("/metrics")))


def test_a_past_decision_is_found_by_its_time_and_taken_again(busy: Daemon) -> None:
    """With a daemon and without one; before the first there is none."""
    told = said(busy, "why", "minilm", "--at", "0s")
    assert ("3 wanted since" in told, "the same questions have the same answers today" in told) == (True, True)
    first, *_ = busy.events(EventKind.SCALED)
    assert 2 == busy.client.scaling("minilm", first.at).decided.wanted
    with pytest.raises(Refused, match="load changed nothing of 'minilm' until then"):
        busy.client.scaling("minilm", first.at - 1)
    busy.terminate()
    assert "the same questions have the same answers today" in said(busy, "why", "minilm", "--at", "0s")


def test_a_number_by_command_is_refused_where_load_decides(busy: Daemon) -> None:
    """The error says who decides, and what to change instead."""
    refused = said(busy, "scale", "minilm", "2", expect=64)
    assert "load decides how many replicas 'minilm' has, from 1 to 3" in refused
    assert "autoscaling.max" in refused


def test_what_load_made_is_kept_over_a_killed_daemon_and_left_by_the_owners_word(busy: Daemon) -> None:
    """The next daemon goes on with three; a number in the file instead is that number."""
    busy.kill()
    busy.start()
    until(lambda: busy.deployment().scaling is not None)
    assert 3 == busy.deployment().wanted
    busy.write(SIMULATED)
    until(lambda: busy.deployment().wanted == 2 and busy.deployment().scaling is None)
    busy.until_listed(2)
