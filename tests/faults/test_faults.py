"""A part of the faults of every story, and what the machine that tries them is worth; all are in `make test-faults`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.model import Fleet
from roadstead.testing.faults.calls import EFFECTS, Fault, Kind, What, kinds_of
from roadstead.testing.faults.plans import SWARM_CALLS, singles, window
from roadstead.testing.faults.props import Props
from roadstead.testing.faults.telling import Scenario, Telling
from roadstead.testing.faults.trials import Trial, counted, sample
from roadstead.testing.faults.verdicts import verdict
from tests.faults.bugs.hunt import ROOT, killer, seed
from tests.faults.bugs.seeded import BUGS, Bug
from tests.faults.furnishing import furnished, tempers_of
from tests.faults.scenarios import SCENARIOS

SHARED_MEMORY = Path("/dev/shm")
A_FEW = 3
ROLL = next(one for one in SCENARIOS if one.name == "roll")
CREATE = next(one for one in SCENARIOS if one.name == "create")
FAIL = next(one for one in SCENARIOS if one.name == "fail and roll back")
PUT_BACK = next(one for one in SCENARIOS if one.name == "put back what others change")
DELETE = next(one for one in SCENARIOS if one.name == "delete")
RELOAD = next(one for one in SCENARIOS if one.name == "reload")
OLDER = {Kind.STALE_2, Kind.STALE_3}
"""Two versions are missed only by who was kept from looking: such lists are among the second faults of pairs."""

AN_EASY_ONE = next(one for one in BUGS if one.name == "the memory of the last turn is saved")


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """Where daemons keep their stores: in memory where that is possible, for nothing here is to survive a power cut."""
    folder = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


def trial(scenario: Scenario, temper: str, scratch: Path) -> Trial:
    """Return the trial of a story on clusters of one temper."""

    def furnish(fleet: Fleet) -> Props:
        return furnished(fleet, temper)

    return Trial(scenario=scenario, furnish=furnish, scratch=scratch)


# ---- what always holds ----


@pytest.mark.parametrize(
    ("scenario", "temper"),
    [
        pytest.param(scenario, temper, id=f"{scenario.name}, {temper}")
        for scenario in SCENARIOS
        for temper in tempers_of(scenario)
    ],
)
def test_some_faults_of_every_story_change_nothing_about_its_end(
    scenario: Scenario, temper: str, scratch: Path
) -> None:
    """A few plans of one fault each, chosen once and for all: each is really applied, and nothing comes of it."""
    told = trial(scenario, temper, scratch)
    reference = told.reference()
    plans = sample(list(singles(reference)), A_FEW, seed=len(scenario.name))

    tried = told.tried(reference, plans)

    assert set(plans) == tried.keys()
    wrong = {plan: one.verdict.violations for plan, one in tried.items() if one.verdict.violations}

    assert {} == wrong


def test_a_swarm_of_faults_changes_nothing_about_the_end(scratch: Path) -> None:
    """Faults by chance, many of them in one story: when they stop, all is as it would have been."""
    told = trial(ROLL, "directed", scratch)

    count = counted(told.swarmed(told.reference(), range(3)))

    assert () == count.examples
    assert count.applied > 3


def test_the_proven_revision_comes_back_though_its_node_and_the_memory_are_lost_at_once(scratch: Path) -> None:
    """While another revision fails, the only proof of the one before may be that it was asked for replicas."""
    told = trial(FAIL, "directed", scratch)
    reference = told.reference()
    looks = [call.number for call in reference.calls if call.what is What.OBSERVE]
    struck = Fault(looks[len(looks) // 2], Kind.NODE_AWAY)
    (after,) = (one.after for one in told.tried(reference, [(struck,)]).values())
    plan = (struck, *(Fault(call.number, Kind.MEMORY_LOST) for call in after if call.what is What.MEMORY))[:2]

    assert () == told.tried(reference, [plan])[plan].verdict.violations


# ---- what the machine is worth ----


def test_a_story_is_told_the_same_way_every_time(scratch: Path) -> None:
    """The same faults lead to the same calls, turns and end, so that a plan can be told again."""
    told = trial(ROLL, "like Kubernetes", scratch)
    plan = next(plan for plan in singles(told.reference()) if plan[0].kind is Kind.LOST_AFTER)

    assert told.told(plan) == told.told(plan)


def test_what_is_shared_among_tellings_changes_nothing_about_them(scratch: Path) -> None:
    """Told from where they part, and up to where what comes is known, plans come to what they come to alone."""
    told = trial(ROLL, "directed", scratch)
    reference = told.reference()
    plans = sample(list(singles(reference)), 8, seed=1)

    tried = told.tried(reference, plans, told.known())

    assert {plan: verdict(told.told(plan), reference) for plan in plans} == {
        plan: one.verdict for plan, one in tried.items()
    }


def test_a_plan_of_two_faults_is_told_from_where_the_first_one_struck(scratch: Path) -> None:
    """Pairs share their first fault, and come to what they come to alone."""
    told = trial(CREATE, "like Kubernetes", scratch)
    reference = told.reference()
    first = next(plan for plan in singles(reference) if plan[0].kind is Kind.CRASH_AFTER)
    after = told.tried(reference, [first])[first].after
    pairs = [(*first, Fault(call.number, kinds_of(call)[-1])) for call in after]

    tried = told.tried(reference, pairs, told.known())

    assert {pair: verdict(told.told(pair), reference) for pair in pairs} == {
        pair: one.verdict for pair, one in tried.items()
    }


def test_a_telling_that_breaks_is_no_telling_that_went_well(scratch: Path) -> None:
    """The process of one plan may end as it likes: the plan is wrong, and the others are told."""
    told = trial(CREATE, "native", scratch)
    reference = told.reference()
    within, beyond = next(singles(reference)), (Fault(100 * SWARM_CALLS, Kind.CRASH_BEFORE),)

    tried = told.tried(reference, [within, beyond])

    assert () == tried[within].verdict.violations
    assert ("only () were really applied",) == tried[beyond].verdict.violations


@pytest.fixture(scope="module")
def references(scratch: Path) -> tuple[tuple[Trial, Telling], ...]:
    """Two stories that together make every sort of call, and how they go without faults."""
    trials = (trial(ROLL, "directed", scratch), trial(RELOAD, "directed", scratch))
    return tuple((one, one.reference()) for one in trials)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in OLDER])
def test_every_kind_of_fault_is_really_applied(kind: Kind, references: tuple[tuple[Trial, Telling], ...]) -> None:
    """What is counted as applied has been: the call failed, the daemon ended, or the world was struck."""
    told, plan = next((one, plan) for one, told in references for plan in singles(told) if plan[0].kind is kind)

    assert plan == told.told(plan).applied


def test_a_list_may_be_several_versions_old_after_events_were_dropped(scratch: Path) -> None:
    """As old as the contract allows: older than what this daemon saw last, or changed and was told so, it never is."""
    told = trial(CREATE, "native", scratch)
    dropped = (plan for plan in singles(told.reference()) if plan[0].kind is Kind.DROPPED)

    oldest = max(call.older for plan in dropped for call in told.told(plan).calls)

    assert 2 <= oldest


def test_every_sort_of_call_of_a_daemon_is_an_injection_point(
    references: tuple[tuple[Trial, Telling], ...], scratch: Path
) -> None:
    """Four stories meet all of them, but for the one that only a limit or a server that hangs leads to."""
    met = {call.what for _, told in references for call in told.calls}
    more = (trial(PUT_BACK, "like Kubernetes", scratch), trial(DELETE, "like Kubernetes", scratch))
    met |= {call.what for one in more for call in one.reference().calls}

    assert {What.RESTART} == EFFECTS.keys() - met


def test_every_plan_is_counted_before_it_is_run(scratch: Path) -> None:
    """As many plans of one fault as there are points and kinds, none twice; and of two within the window after it."""
    reference = trial(CREATE, "native", scratch).reference()
    plans = list(singles(reference))

    assert sum(len(kinds_of(call)) for call in reference.calls) == len(plans) == len(set(plans))
    told = trial(CREATE, "native", scratch).told(plans[0])
    assert [1, 2, 3, 4, 5, 6, 7, 8] == [call.number for call in window(plans[0], told)]


def test_a_fault_that_is_not_applied_fails_its_plan(scratch: Path) -> None:
    """A plan for a call that is never made shows nothing, and says so."""
    told = trial(CREATE, "native", scratch)
    beyond = (Fault(100 * SWARM_CALLS, Kind.CRASH_BEFORE),)

    assert ("only () were really applied",) == verdict(told.told(beyond), told.reference()).violations


def test_every_seeded_bug_is_one_line_of_the_sources_as_they_are() -> None:
    """What was right still stands in its file, once; and no two bugs are called the same."""
    places = {bug.name: (ROOT / bug.path).read_text().count(bug.was) for bug in BUGS}

    assert dict.fromkeys((bug.name for bug in BUGS), 1) == places
    assert len(BUGS) == len(places)


def test_a_seeded_bug_is_found(tmp_path: Path) -> None:
    """With one wrong line in a copy of the sources, some plan shows something wrong."""
    seed(AN_EASY_ONE, tmp_path)

    assert "memory was not saved" in (killer(AN_EASY_ONE, tmp_path) or "")


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.found], ids=lambda bug: bug.name)
def test_every_seeded_bug_is_found(bug: Bug, tmp_path: Path) -> None:
    """The same for every one of them, but for those that are known to live."""
    seed(bug, tmp_path)

    assert killer(bug, tmp_path) is not None
