"""What is shown of apps, whatever is told of them and in whatever order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from roadstead.world import Group, Phase, Snapshot
from roadstead_backends.marathon import names
from roadstead_backends.marathon.abilities import capabilities
from roadstead_backends.marathon.messages import App, LastFailure, Task
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.reading import instance_of
from roadstead_backends.marathon.translate import app, stored
from roadstead_backends.marathon.view import View
from tests.marathon_backend.orders import order_of, template_with

OPTIONS = MarathonOptions(urls=("http://h",))
ABLE = capabilities(OPTIONS, None)
ORDER = order_of(template_with())
OURS = ORDER.owner_id
THEN = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
STATES = {
    "TASK_STAGING": Phase.STARTING,
    "TASK_STARTING": Phase.STARTING,
    "TASK_RUNNING": Phase.RUNNING,
    "TASK_UNREACHABLE": Phase.RUNNING,
    "TASK_KILLING": Phase.STOPPING,
    "TASK_FAILED": Phase.SLOT,
    "TASK_KILLED": Phase.SLOT,
    "TASK_NOBODY_KNOWS": Phase.SLOT,
}
LABELS = {f"/shop/{name}/r": app(ORDER, 1, OPTIONS)["labels"] | {names.DEPLOYMENT: name} for name in "abc"}


def _task(path: str, number: int, incarnation: int, state: str) -> Task:
    return Task(
        id=f"{path.strip('/').replace('/', '_')}.instance-{number}._app.{incarnation}",
        state=state,
        host=f"h{number}",
        slave_id=f"S{number}",
        ports=(31000 + number, 32000 + number),
        staged_at=THEN + dt.timedelta(seconds=number),
        started_at=THEN if state in ("TASK_RUNNING", "TASK_KILLING", "TASK_UNREACHABLE") else None,
    )


@st.composite
def apps(draw: st.DrawFn) -> App:
    """Any app of ours, of others, or of another owner."""
    path = draw(st.sampled_from([*LABELS, "/others/web"]))
    labels: Mapping[str, str] = LABELS.get(path, {})
    if draw(st.integers(0, 5)) == 0:
        labels = {**labels, names.OWNER_ID: "somebody"} if labels else {}
    numbers = draw(st.lists(st.integers(0, 4), unique=True, max_size=4))
    tasks = tuple(
        _task(path, number, draw(st.integers(1, 3)), draw(st.sampled_from(sorted(STATES)))) for number in numbers
    )
    fails = draw(st.booleans())
    failed = draw(st.sampled_from(tasks)) if tasks and fails else None
    return App(
        id=path,
        instances=draw(st.integers(0, 4)),
        labels=dict(labels),
        version=draw(st.sampled_from(["v1", "v2"])),
        tasks=tasks,
        last_task_failure=LastFailure(task_id=failed.id, message="Command exited with status 3") if failed else None,
    )


def view() -> View:
    """Return one that was told nothing yet."""
    return View(OURS, ABLE, stored)


def groups_of(seen: Snapshot) -> dict[str, Group]:
    """Return what is shown, by deployment."""
    return {group.key.deployment: group for group in seen.groups}


@given(st.lists(apps(), max_size=12))
def test_being_told_bit_by_bit_shows_what_being_told_all_at_once_does(told: list[App]) -> None:
    """But for how instances ended, which only who was there remembers."""
    bit_by_bit, at_once = view(), view()
    last: dict[str, App] = {}
    for one in told:
        last[one.id] = one
        bit_by_bit.put(one.id, None)
        bit_by_bit.put(one.id, one)
        bit_by_bit.snapshot()
    at_once.put_all(last.values())
    mine, other = bit_by_bit.snapshot(), at_once.snapshot()
    assert mine.foreign_owners == other.foreign_owners
    assert groups_of(mine).keys() == groups_of(other).keys()
    for name, group in groups_of(mine).items():
        assert group.version == groups_of(other)[name].version
        assert [one.id for one in group.replicas] == [one.id for one in groups_of(other)[name].replicas]
    assert list(mine.groups) == sorted(mine.groups, key=lambda group: group.key)


@given(st.lists(apps(), min_size=1, max_size=8))
def test_what_did_not_change_is_the_same_object(told: list[App]) -> None:
    """The whole of it when the same is told again; the others' groups when one app changes."""
    known = view()
    last = {one.id: one for one in told}
    known.put_all(last.values())
    before = known.snapshot()
    known.put_all(msgspec.json.decode(msgspec.json.encode(list(last.values())), type=list[App]))
    assert before is known.snapshot()
    changed = told[0].id
    known.put(changed, None)
    after = groups_of(known.snapshot())
    for group in before.groups:
        if group.key.deployment in after:
            assert after[group.key.deployment] is group


@given(apps())
def test_an_app_shows_as_many_as_it_was_asked_for_and_whoever_still_stops(told: App) -> None:
    """Each instance once, by its task's state; what it lacks as slots, none of which has a node."""
    known = view()
    known.put(told.id, told)
    for group in known.snapshot().groups:
        ids = [one.id for one in group.replicas]
        assert len(ids) == len(set(ids))
        assert told.instances == group.target <= group.standing or told.instances == 0
        shown = {one.id: one for one in group.replicas}
        for task in told.tasks or ():
            instance, number = instance_of(task.id)
            expected = STATES[task.state]
            if told.instances == 0 and expected is not Phase.SLOT:
                expected = Phase.STOPPING
            assert (expected, number - 1) == (shown[instance].phase, shown[instance].restarts)
            assert (shown[instance].last_exit is not None) == (number > 1 or expected is Phase.SLOT)
        assert all(one.node is None and not one.incarnation for one in group.replicas if one.phase is Phase.SLOT)


@given(apps())
def test_whoever_was_told_to_end_is_stopping_before_marathon_shows_it(told: App) -> None:
    """And counts as running again if it was never done."""
    known = view()
    known.put(told.id, told)
    before = known.snapshot().groups
    going = frozenset(task.id for task in told.tasks or () if task.state == "TASK_RUNNING")
    known.put_going(going)
    for group in known.snapshot().groups:
        running = [one for one in group.replicas if one.phase is Phase.RUNNING]
        assert not any(one.incarnation in going for one in running)
    known.put_going(frozenset())
    assert before == known.snapshot().groups


@given(apps())
def test_labels_that_somebody_took_away_do_not_make_an_app_somebody_else_s(told: App) -> None:
    """As long as it was there."""
    known = view()
    known.put(told.id, told)
    before = groups_of(known.snapshot())
    known.put(told.id, msgspec.structs.replace(told, labels={}, version="v3"))
    assert before.keys() == groups_of(known.snapshot()).keys()
