"""What load decided is written down with its numbers, found again by the time, and taken once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act import journal as journal_module
from roadstead.act.decisions import KeptScaling, decision, packed, packed_scaling, unpacked, unpacked_scaling
from roadstead.act.events import EventKind, Turn
from roadstead.act.intents import scaled, still_held
from roadstead.act.journal import Journal
from roadstead.act.memory import MemoryStore
from roadstead.act.turn_events import happened
from roadstead.autoscaling import (
    Asked,
    AutoscalingSpec,
    Metric,
    MetricTarget,
    Peak,
    Scaling,
    ScalingAnswer,
    ScalingQuestion,
)
from roadstead.cli.errors import NotUnderstood
from roadstead.cli.moments import moment
from roadstead.daemon.changes import nothing_wanted
from roadstead.decide.planner import plan
from roadstead.memory import Bucket, Measured, PlanMemory, ScalingMemory, Series
from roadstead.model import Intents
from roadstead.plans import Plan, Table
from roadstead.world import World
from tests.decide.scene import deployment, fleet
from tests.decide.test_scaling import POLICIES, SCALERS, Story, load

TARGET = MetricTarget(Metric.CONCURRENCY, 4_000)
SPEC = AutoscalingSpec(min=1, max=8, metrics=(TARGET,))
NOON = datetime(2026, 3, 9, 12, 0, tzinfo=timezone(timedelta(hours=1)))


def _decision(wanted: int, *, name: str = "anchor", stable: int | None = 18_000) -> Scaling:
    question = ScalingQuestion(
        spec=SPEC, target=TARGET, stable=stable, panic=stable, ready=3, wanted=3, elapsed_ms=5_000, memory=(1, 2)
    )
    answer = ScalingAnswer(wanted=wanted, because=f"so it is: {wanted}") if stable is not None else None
    return Scaling(
        deployment=name,
        spec=SPEC,
        was=3,
        wanted=wanted,
        asked=(Asked(question=question, answer=answer, complete=stable is not None),),
        peaks=(Peak(5_000, 3), Peak(30_000, 4)),
        elapsed_ms=5_000,
        because=f"so it is: {wanted}",
    )


def _kept(at: int, wanted: int, *, name: str = "anchor") -> KeptScaling:
    return KeptScaling(turn=at // 1000, at=at, decided=_decision(wanted, name=name))


@given(stable=st.none() | st.integers(0, 10**9), wanted=st.integers(0, 100))
def test_a_decision_comes_back_from_its_bytes(stable: int | None, wanted: int) -> None:
    """All numbers survive, those that are not known too."""
    kept = KeptScaling(turn=1, at=2, decided=_decision(wanted, stable=stable))
    assert kept == unpacked_scaling(packed_scaling(kept))


def test_the_decision_in_force_at_a_time_is_found(tmp_path: Path) -> None:
    """The newest one of that deployment until then; none before the first."""
    journal = Journal.open(tmp_path / "journal.sqlite")
    journal.record((), None, (_kept(1_000, 4), _kept(2_000, 7, name="buoy"), _kept(3_000, 5)))
    found = [journal.scaling("anchor", at) for at in (999, 1_000, 2_999, 3_000, 10**15)]
    journal.close()
    assert [None, 4, 4, 5, 5] == [one.decided.wanted if one is not None else None for one in found]


def test_the_log_of_decisions_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go when there are more than are kept."""
    monkeypatch.setattr(journal_module, "SCALINGS_KEPT", 3)
    journal = Journal.open(tmp_path / "journal.sqlite")
    for number in range(1, 6):
        journal.record((), None, (_kept(number, number),))
    found = [journal.scaling("anchor", at) for at in (2, 3, 5)]
    journal.close()
    assert [None, 3, 5] == [one.decided.wanted if one is not None else None for one in found]


def test_a_change_by_load_is_an_event_with_its_numbers() -> None:
    """It says how many, how many before, and the sentence of the policy; nothing is told of a turn that was undone."""
    made = Plan(steps=(), held=(), table=Table(), memory=PlanMemory(), wanted={}, floor={}, scaled=(_decision(5),))
    turn = Turn(number=1, at=9, fleet=fleet(deployment()), world=World(clusters={}), plan=made)
    (event,) = happened(None, turn)
    assert (EventKind.SCALED, "anchor", 9) == (event.kind, event.deployment, event.at)
    assert "anchor: 3 -> 5 wanted by load: so it is: 5" == event.text
    assert () == happened(None, attrs.evolve(turn, undone="the disk is full"))


def test_a_whole_decision_by_load_is_planned_again_from_what_was_kept() -> None:
    """The arguments of the plan are kept with the load that it saw, so that the same plan comes out."""
    story = Story(SPEC)
    story.turn(load(3, rate=1.5, p99=12.5))
    memory, busy = story.memory, load(30, rate=20.25, p99=80.5)
    world = story.world(busy)
    made = story.turn(busy, after_ms=2_000)
    turn = Turn(number=2, at=story.now, fleet=story.fleet, world=world, plan=made)
    kept = unpacked(packed(decision(turn, memory)))
    assert kept.arguments is not None
    then = plan(story.fleet, kept.arguments.world(), kept.arguments.memory, kept.at, POLICIES, scalers=SCALERS)
    assert made == then
    assert (1, made.scaled) == (len(made.scaled), then.scaled)


def test_what_load_made_survives_the_process_and_a_window_alone_is_no_reason_to_write(tmp_path: Path) -> None:
    """The number is durable with its window; a turn that only measured writes nothing."""
    measured = Measured(spec=SPEC, series=(Series((Bucket(5_000, 5_000, 90_000),), (1, 2)),), because="so it is")
    memory = PlanMemory(turn=1, scaling={"anchor": ScalingMemory(wanted=5, at=10, measured=measured)})
    store = MemoryStore(tmp_path / "memory.sqlite")
    assert store.save(memory, acts=False)
    later = attrs.evolve(measured, series=(Series((Bucket(9_000, 9_000, 90_000),)),))
    quiet = attrs.evolve(memory, scaling={"anchor": ScalingMemory(wanted=5, at=20, measured=later)})
    assert not store.save(quiet, acts=False)
    store.close()
    (known,) = MemoryStore(tmp_path / "memory.sqlite").load().memory.scaling.values()
    assert (5, 10, measured) == (known.wanted, known.at, known.measured)


def test_a_number_by_command_ends_where_load_decides() -> None:
    """An intent from before is dropped with the number that it was about."""
    before = deployment(replicas=1)
    intents = scaled(Intents(), before, 4)
    assert intents == still_held(intents, fleet(before))
    assert () == still_held(intents, fleet(attrs.evolve(before, autoscaling=SPEC))).scale


def test_a_fleet_that_goes_down_wants_nothing_whatever_its_load() -> None:
    """What takes everything down takes down what load decides about, too."""
    (declared,) = nothing_wanted(fleet(attrs.evolve(deployment(), autoscaling=SPEC))).deployments.values()
    assert (0, None) == (declared.replicas, declared.autoscaling)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("11:30", "2026-03-09T10:30:59+00:00"),
        ("11:30:15", "2026-03-09T10:30:15+00:00"),
        ("12:01", "2026-03-08T11:01:59+00:00"),
        ("10:30Z", "2026-03-09T10:30:59+00:00"),
        ("2026-03-01 03:12", "2026-03-01T02:12:59+00:00"),
        ("2026-03-01T03:12:07Z", "2026-03-01T03:12:07+00:00"),
        ("90m", "2026-03-09T09:30:00+00:00"),
    ],
)
def test_a_moment_is_read_as_people_write_it(text: str, meant: str) -> None:
    """A time of day is the last one that has begun, and what is not said of it is over."""
    assert meant == datetime.fromtimestamp(moment(text, NOON) // 1000, UTC).isoformat()


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2026-13-01 00:00", "5"])
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    """The hint says how to write one."""
    with pytest.raises(NotUnderstood, match="is no moment") as caught:
        moment(text, NOON)
    assert "03:12" in str(caught.value.hint)
