"""A server under load that is told to stop, or stands still for a while."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.tf_serving.clients import REFUSED, Tally, clients
from tests.tf_serving.conftest import Running, Start, until
from tests.tf_serving.saved_models import half_plus


@pytest.fixture
def server(start: Start, tmp_path: Path) -> Running:
    """A server of one version, which is available."""
    half_plus(2, tmp_path / "model" / "1")
    running = start(f"--model_base_path={tmp_path / 'model'}")
    running.wait_for({1: "AVAILABLE"})
    return running


def _under_load(tally: Tally, answers: int) -> float:
    """Return the time once so many more answers came."""
    enough = len(tally.sent) + answers
    until(lambda: len(tally.sent) >= enough, what=f"{answers} answers under load")
    return time.monotonic()


@pytest.mark.parametrize(("over_grpc", "over_rest", "answer"), [(24, 0, (1, 4.0)), (0, 24, (0, 4.0))])
def test_sigterm_under_load_loses_no_request(
    server: Running, over_grpc: int, over_rest: int, answer: tuple[int, float]
) -> None:
    """What was sent before SIGTERM is answered; what comes later is answered, or refused so that it can be repeated."""
    with clients(server.host, over_grpc=over_grpc, over_rest=over_rest) as tally:
        told = _under_load(tally, 300)
        assert 0 == server.stop()
        _under_load(tally, 24)
    assert {answer} == set(tally.ends(until=told))
    assert {REFUSED} <= set(tally.ends(since=told)) <= {answer, REFUSED}


def test_a_server_that_stood_still_goes_on(server: Running) -> None:
    """Stopped under load and continued, it fails only requests whose time was over, and answers all new ones."""
    deadline = 4.0
    with clients(server.host, over_grpc=8, over_rest=0, deadline=deadline) as tally:
        _under_load(tally, 100)
        server.process.send_signal(signal.SIGSTOP)
        until(lambda: "DEADLINE_EXCEEDED: Deadline Exceeded" in tally.ends(), what="requests that ran out of time")
        stopped = len(tally.sent)
        until(lambda: len(tally.sent) >= stopped + 8, what="requests to a server that stands still")
        continued = time.monotonic()
        server.process.send_signal(signal.SIGCONT)
        _under_load(tally, 100)
    assert {(1, 4.0), "DEADLINE_EXCEEDED: Deadline Exceeded"} == set(tally.ends())
    failed = [one for one in tally.sent if one.end != (1, 4.0)]
    assert all(one.at < continued and one.till - one.at >= 0.9 * deadline for one in failed)
