"""A server under load that is told to stop, or stands still for a while."""

from __future__ import annotations

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
