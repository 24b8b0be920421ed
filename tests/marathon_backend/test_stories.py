"""Stories told by the daemon's own loop on an emulated Marathon while its API does wrong.

A sample: `python -m benchmarks.http_faults --cluster marathon` tries every fault of every call.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roadstead.testing.live_faults.calls import Kind, Plan, Point, Sort
from roadstead.testing.live_faults.stories import STORIES
from roadstead.testing.live_faults.trials import Telling, Trial, judged
from tests.marathon_backend.live import Ground, ground

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CREATE = next(one for one in STORIES if one.name == "create")
FAULTS = (
    Plan(Point("POST apps", 0, Sort.WRITE), Kind.LOST_AFTER),
    Plan(Point("POST apps", 0, Sort.WRITE), Kind.CONFLICT),
    Plan(Point("POST apps", 0, Sort.WRITE), Kind.FAILS_AFTER),
    Plan(Point("GET deployments", 1, Sort.READ), Kind.CUT),
    Plan(Point("GET app", 0, Sort.READ), Kind.DELAYED),
    Plan(Point("watch events", 1, Sort.WATCHED), Kind.SILENT),
    Plan(Point("watch events", 1, Sort.WATCHED), Kind.STALE),
    Plan(Point("leader", 1, Sort.LEADER), Kind.DEPOSED),
)


@pytest.fixture(scope="module")
def marathon() -> Iterator[Ground]:
    """A Marathon of two instances."""
    with ground("1.11") as made:
        yield made


@pytest.fixture(scope="module")
def created(marathon: Ground) -> Telling:
    """What comes of the first story without faults."""
    told = Trial(story=CREATE, furnish=marathon.cluster).told()
    assert () == told.wrong
    return told


@pytest.mark.parametrize("plan", FAULTS, ids=str)
def test_a_fault_of_one_call_changes_nothing_about_the_end(marathon: Ground, created: Telling, plan: Plan) -> None:
    """No replica is lost, duplicated or orphaned, the floor holds, and nothing is written at rest."""
    told = Trial(story=CREATE, furnish=marathon.cluster).planned(plan, created)
    assert told.applied
    assert () == judged(str(plan), told, created).violations
