"""A part of the faults of every story; ``make test-faults`` tries all of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from roadstead.model import Fleet
from roadstead.testing.faults.plans import singles
from roadstead.testing.faults.stage import Props
from roadstead.testing.faults.telling import Scenario
from roadstead.testing.faults.trials import Trial, sample
from roadstead.testing.faults.verdicts import verdict
from tests.faults.furnishing import TEMPERS, furnished
from tests.faults.scenarios import SCENARIOS

SHARED_MEMORY = Path("/dev/shm")
A_FEW = 6


def trial(scenario: Scenario, temper: str, scratch: Path) -> Trial:
    """Return the trial of a story on clusters of one temper."""

    def furnish(fleet: Fleet) -> Props:
        return furnished(fleet, temper)

    return Trial(scenario=scenario, furnish=furnish, scratch=scratch)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where daemons keep their stores: in memory where that is possible, for nothing here is to survive a power cut."""
    return Path(tempfile.mkdtemp(dir=SHARED_MEMORY)) if SHARED_MEMORY.is_dir() else tmp_path


@pytest.mark.parametrize(
    ("scenario", "temper"),
    [
        pytest.param(scenario, temper, id=f"{scenario.name}, {temper}")
        for scenario in SCENARIOS
        for temper in TEMPERS
        if not scenario.tempers or temper in scenario.tempers
    ],
)
def test_some_faults_of_every_story_change_nothing_about_its_end(
    scenario: Scenario, temper: str, scratch: Path
) -> None:
    """A few plans of one fault each, chosen once and for all: each is really applied, and nothing comes of it."""
    told = trial(scenario, temper, scratch)
    reference = told.reference()
    plans = sample(list(singles(reference)), A_FEW, seed=len(scenario.name))

    wrong = {plan: found.violations for plan in plans if (found := verdict(told.told(plan), reference)).violations}

    assert {} == wrong
