"""A plain app on a Marathon does the work that a comparison asks for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.bench.comparison.contest import revised
from roadstead.model import HealthSpec, ModelSpec, Resources, RuntimeSpec, StopSpec, Template
from roadstead.spi.comparison import Work
from roadstead.spi.runtime import Launch, Program
from roadstead.units import Cpus, Duration, Memory
from roadstead_backends.marathon.rival import plain_app, upgrade_strategy
from tests.cluster.waiting import until
from tests.marathon_backend.clusters import context_of, python3_is_ours, running

LAUNCH = Launch(program=Program(module="roadstead.testing.server"), args=("$(HOST)", "$(REST_PORT)"), rest_port=8501)


def work(folder: Path, number: int) -> Work:
    """Return two small servers of a template with a number."""
    template = Template(
        model=ModelSpec(name="m", source=str(folder)),
        runtime=RuntimeSpec(name="test", batching=None),
        resources=Resources(cpu=Cpus(50), memory=Memory(64 * 1024**2)),
        health=HealthSpec(every=Duration(1_000)),
        stop=StopSpec(drain_within=Duration(0), kill_after=Duration(2_000)),
    )
    return Work(name="m", replicas=2, template=revised(template, number), launch=LAUNCH)


@given(st.integers(1, 500), st.data())
def test_shares_are_the_numbers_that_they_stand_for(replicas: int, data: st.DataObject) -> None:
    """As Marathon rounds them: up for who must be well, down for who may be more."""
    surge, unavailable = data.draw(st.integers(0, replicas)), data.draw(st.integers(0, replicas))
    strategy = upgrade_strategy(replicas, surge=surge, unavailable=unavailable)
    assert replicas - unavailable == math.ceil(replicas * strategy["minimumHealthCapacity"])
    assert replicas + surge == math.floor(replicas * (1 + strategy["maximumOverCapacity"]))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_starts_rolls_heals_and_goes(tmp_path: Path) -> None:
    """As Marathon does all of it, with real servers, and nothing is left."""
    with python3_is_ours(), running("1.11", processes=tmp_path / "tasks") as marathon:
        rival = plain_app(context_of("0f1e2d", marathon.url, tmp_path / "root"))
        try:
            rival.ask(work(tmp_path, 1))
            until(lambda: len(rival.standing().current) == 2)
            first = rival.standing()
            assert (2, 0) == (first.ready, first.others)

            rival.ask(work(tmp_path, 2))
            until(lambda: len(rival.standing().current) == 2 and not rival.standing().others)
            assert rival.standing().current.isdisjoint(first.current)

            lost = rival.lose()
            until(lambda: len(rival.standing().current) == 2 and lost not in rival.standing().current)

            until(rival.end)
            assert not rival.standing().ready
        finally:
            rival.close()
