"""The backend on an emulated Marathon: what each call comes down to, what is never touched, and what is noticed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.errors import Conflict, OutcomeUnknown, Rejected, Retryable
from roadstead.model import Reach, Secret
from roadstead.reasons import ReasonCode
from roadstead.spi.backend import ABSENT, Evicts, Expect, KeepsLogs, Reverts
from roadstead.testing.conformance.asking import (
    GRACE,
    an_order,
    apply,
    create,
    delete,
    gone,
    group_of,
    growing,
    run,
    settled,
)
from roadstead.testing.http_faults import FaultProxy, LoseReply, LoseRequest, Rule, Silence
from roadstead.testing.subject import OWNER_ID, expectation, found, group_order, small_template
from roadstead.world import GroupKey, Phase, Replica, Snapshot
from roadstead_backends.marathon import writing
from roadstead_backends.marathon.connect import connect
from roadstead_backends.marathon.emulator.testing import Emulated
from tests.marathon_backend.clusters import MarathonSubject, context_of, running, subject_of


@pytest.fixture(scope="module")
def marathon() -> Iterator[Emulated]:
    """One Marathon for all tests of this module, each of which leaves nothing on it."""
    with running("1.11") as emulated:
        yield emulated


@pytest.fixture
def subject(marathon: Emulated, tmp_path: Path) -> Iterator[MarathonSubject]:
    """A Marathon with nothing of ours on it."""
    with FaultProxy(marathon.url) as proxy:
        made = subject_of(marathon, proxy, tmp_path)
        yield made
        made.backend.close()
        for group in ("tests", "others"):
            marathon.ask("DELETE", f"/v2/groups/{group}?force=true")
        marathon.advance(10)


def writes(subject: MarathonSubject) -> list[str]:
    """Return what was asked of Marathon that changes something, ids of apps shortened."""
    asked = [one for one in subject.proxy.exchanges if one.method != "GET"]
    return [f"{one.method} {one.target.replace('false', 'no').replace('true', 'yes')}" for one in asked]


def unlocked(subject: MarathonSubject) -> None:
    """Let Marathon finish what it is doing."""
    subject.until(lambda _: subject.marathon.ask("GET", "/v2/deployments") == (200, []))


def app_of(subject: MarathonSubject, key: GroupKey) -> dict[str, Any]:
    """Return the app of a group as Marathon shows it."""
    status, answer = subject.marathon.ask("GET", f"/v2/apps/tests/{key.deployment}/{key.revision}")
    assert 200 == status
    shown: dict[str, Any] = answer["app"]
    return shown


def replicas_of(seen: Snapshot, key: GroupKey) -> tuple[Replica, ...]:
    """Return the replicas of a group; none of one that is not there."""
    group = found(seen, key)
    return group.replicas if group is not None else ()


def put_back(subject: MarathonSubject, key: GroupKey) -> None:
    """Put a group back by one write, and wait until nothing of it is otherwise."""
    backend, before = subject.backend, len(writes(subject))
    assert isinstance(backend, Reverts)
    backend.revert(key, expect=expectation(backend, key))
    assert 1 == len(writes(subject)) - before
    unlocked(subject)
    assert () == group_of(subject, key).drift
    backend.revert(key, expect=expectation(backend, key))
    assert 1 == len(writes(subject)) - before


# ---- what a call comes down to ----


def test_each_order_is_one_request_and_nothing_else_is_written(subject: MarathonSubject) -> None:
    """A group is made by one, grows by one, shrinks by one, whoever is named, and goes by one once it is empty."""
    order = an_order(subject)
    replicas = run(subject, order, 2)
    unlocked(subject)
    app_id = f"/tests/minilm/{order.key.revision}"
    apply(subject, order, 3)
    settled(subject, order.key, 3)
    unlocked(subject)
    apply(subject, order, 2, retire=(replicas[1].id,))
    left = settled(subject, order.key, 2)
    assert replicas[1].id not in {one.id for one in left}
    unlocked(subject)
    apply(subject, order, 2)
    delete(subject, order.key)
    gone(subject, order.key)
    assert [
        "POST /v2/apps?force=no",
        f"PUT /v2/apps{app_id}?force=no",
        "POST /v2/tasks/delete?scale=yes&force=no",
        f"PUT /v2/apps{app_id}?force=no",
        f"DELETE /v2/apps{app_id}?force=no",
    ] == writes(subject)


def test_nothing_is_written_at_rest(subject: MarathonSubject) -> None:
    """However often it is looked at, or asked for what is there."""
    order = an_order(subject)
    run(subject, order, 2)
    unlocked(subject)
    before = len(writes(subject))
    for _ in range(6):
        subject.backend.observe()
        subject.backend.apply(order, 2, expect=expectation(subject.backend, order.key))
        subject.marathon.advance(60)
    assert before == len(writes(subject))


def test_owner_and_generation_are_never_written_to_an_app_that_exists(subject: MarathonSubject) -> None:
    """They are labels, and another label would restart every server."""
    order = an_order(subject)
    before = run(subject, order, 1)
    unlocked(subject)
    count = len(writes(subject))
    apply(subject, attrs.evolve(order, owner="ads", generation=7), 1)
    assert count == len(writes(subject))
    group = group_of(subject, order.key)
    assert (order.owner, 1, before) == (group.owner, group.generation, group.replicas)


def test_what_cannot_be_expressed_is_refused_before_anything_is_asked(subject: MarathonSubject) -> None:
    """A secret would be readable by everybody who can see the app."""
    template = attrs.evolve(small_template(subject), secrets=(Secret(name="TOKEN", ref="file:/t"),))
    with pytest.raises(Rejected, match="TOKEN cannot be kept secret"):
        subject.backend.apply(group_order(template, launch=subject.launch), 1, expect=ABSENT)
    assert [] == writes(subject)


# ---- locks ----


def test_what_only_we_began_gives_way(subject: MarathonSubject) -> None:
    """An app that finds no room locks itself for ever, and can be made larger, smaller and be removed all the same."""
    order = an_order(subject, cpu=10**6)
    create(subject, order, 1)
    apply(subject, order, 2)
    apply(subject, order, 1)
    assert 1 == len(growing(subject, order.key, 1).replicas)
    delete(subject, order.key)
    gone(subject, order.key)


def test_nobody_who_runs_is_ended_in_the_place_of_one_that_waits(subject: MarathonSubject) -> None:
    """Marathon would, as who waits has no name there: what is too many is given up once it runs."""
    order = an_order(subject, cpu=8_000)  # all that an agent has
    running = {one.id for one in run(subject, order, 3)}
    unlocked(subject)
    apply(subject, order, 4)
    subject.until(lambda seen: Phase.SLOT in {one.phase for one in replicas_of(seen, order.key)})
    with pytest.raises(Retryable, match="wait for an offer"):
        subject.backend.apply(order, 3, expect=expectation(subject.backend, order.key))
    subject.marathon.advance(10)
    assert running == {one.id for one in group_of(subject, order.key).replicas if one.phase is Phase.RUNNING}
    delete(subject, order.key)
    gone(subject, order.key)


def test_a_deployment_of_others_is_never_cancelled(subject: MarathonSubject) -> None:
    """It holds the lock, and is named; what we wanted waits until it has ended."""
    order = an_order(subject)
    run(subject, order, 1)
    unlocked(subject)
    app = app_of(subject, order.key)
    stuck = {"id": "/others/stuck", "cmd": "sleep 9", "cpus": 900, "mem": 16}
    _, begun = subject.marathon.ask("PUT", "/v2/apps", [stuck, {"id": app["id"], "cpus": 0.2}])
    expect = expectation(subject.backend, order.key)
    with pytest.raises(Conflict, match="locked"):
        subject.backend.apply(order, 2, expect=expect)
    with pytest.raises(Conflict, match="locked"):
        subject.backend.delete(order.key, grace=GRACE, expect=expect)
    assert [begun["deploymentId"]] == [one["id"] for one in subject.marathon.ask("GET", "/v2/deployments")[1]]
    subject.marathon.ask("DELETE", f"/v2/deployments/{begun['deploymentId']}?force=true")


def test_no_more_deployments_are_begun_than_leave_room_for_others(
    subject: MarathonSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Growth waits its turn; what makes room, or takes the place of one that runs, does not."""
    monkeypatch.setattr(writing, "MOST_DEPLOYMENTS", 2)
    stuck = [an_order(subject, name, cpu=10**6) for name in ("anchor", "buoy", "cable")]
    for order in stuck[:2]:
        create(subject, order, 1)
    with pytest.raises(Retryable, match="2 deployments of ours"):
        subject.backend.apply(stuck[2], 1, expect=ABSENT)
    apply(subject, stuck[0], 2)
    apply(subject, stuck[1], 0)
    subject.until(lambda seen: not replicas_of(seen, stuck[1].key))
    create(subject, stuck[2], 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "target"),
    [
        (Rule(LoseReply(), method="POST", path="tasks/delete"), 1),
        (Rule(LoseRequest(), method="PUT", path="force=false"), 1),
        (Rule(LoseReply(), method="PUT", path="force=true"), 2),
    ],
    ids=["the first is lost after", "the second is lost before", "the second is lost after"],
)
def test_an_eviction_that_is_half_heard_is_made_good_by_the_next_plan(
    subject: MarathonSubject, rule: Rule, target: int
) -> None:
    """It is two writes. Between them the count is one less, and whoever compares it with what is wanted asks again."""
    order = an_order(subject)
    first, second = run(subject, order, 2)
    unlocked(subject)
    backend = subject.backend
    assert isinstance(backend, Evicts)
    subject.proxy.add(rule)
    with pytest.raises(OutcomeUnknown):
        backend.evict(first.id, grace=GRACE, reason="a test")
    assert target == group_of(subject, order.key).target
    apply(subject, order, 2)

    def is_made_good(seen: Snapshot) -> bool:
        there = {one.id for one in replicas_of(seen, order.key) if one.phase is Phase.RUNNING}
        return len(there) == 2 and second.id in there and first.id not in there

    subject.until(is_made_good)
    unlocked(subject)
    assert 2 == app_of(subject, order.key)["instances"]


# ---- preconditions and others ----


def test_what_others_did_in_between_is_found_just_before_a_change(subject: MarathonSubject) -> None:
    """Nobody has observed since; the app is read again, and is not what was decided on."""
    order = an_order(subject)
    run(subject, order, 2)
    unlocked(subject)
    expect = Expect(group_of(subject, order.key).version)
    subject.marathon.ask("PUT", f"/v2/apps{app_of(subject, order.key)['id']}", {"instances": 3})
    with pytest.raises(Conflict, match="somebody changed it"):
        subject.backend.apply(order, 1, expect=expect)
    assert 3 == app_of(subject, order.key)["instances"]


def test_an_app_that_only_has_our_name_is_left_alone(subject: MarathonSubject) -> None:
    """Somebody made it by hand: it is neither shown nor taken for a group, and the name is taken."""
    order = an_order(subject)
    app_id = f"/tests/minilm/{order.key.revision}"
    subject.marathon.ask("POST", "/v2/apps", {"id": app_id, "cmd": "sleep 9", "cpus": 0.1, "mem": 16})
    assert () == subject.backend.observe().groups
    with pytest.raises(Conflict, match="not ours"):
        subject.backend.apply(order, 1, expect=ABSENT)
    subject.backend.delete(order.key, grace=GRACE, expect=Expect("1"))
    assert "sleep 9" == app_of(subject, order.key)["cmd"]
    subject.marathon.ask("DELETE", f"/v2/apps{app_id}?force=true")


def test_a_change_by_others_is_shown_and_put_back_in_one_request(subject: MarathonSubject) -> None:
    """Marathon replaces the servers both times, one more first; the count stays as it is."""
    order = an_order(subject)
    run(subject, order, 2)
    unlocked(subject)
    assert () == group_of(subject, order.key).drift
    before = app_of(subject, order.key)
    labels = {**before["labels"], "team": "x"}
    others = {"mem": 128, "labels": labels, "killSelection": "OLDEST_FIRST"}
    subject.marathon.ask("PUT", f"/v2/apps{before['id']}", others)
    unlocked(subject)
    group = group_of(subject, order.key)
    assert {
        ("mem", "64", "128"),
        ("labels.team", "nothing", "x"),
        ("killSelection", "nothing", "OLDEST_FIRST"),
    } == {(one.field, one.ours, one.theirs) for one in group.drift}
    put_back(subject, order.key)
    changing = ("version", "versionInfo", "tasks", "deployments")
    assert {name: one for name, one in before.items() if name not in changing} == {
        name: one for name, one in app_of(subject, order.key).items() if name not in changing
    }


def test_an_app_whose_labels_somebody_took_away_is_still_ours(subject: MarathonSubject) -> None:
    """As long as anybody remembers: it is shown as changed, and gets them back."""
    order = an_order(subject)
    run(subject, order, 1)
    unlocked(subject)
    before = app_of(subject, order.key)
    subject.marathon.ask("PUT", f"/v2/apps{before['id']}", {"labels": {}})
    unlocked(subject)
    group = group_of(subject, order.key)
    assert {f"labels[{name}]" for name in before["labels"]} == {one.field for one in group.drift}
    put_back(subject, order.key)
    assert before["labels"] == app_of(subject, order.key)["labels"]


# ---- noticing ----


def test_who_asks_for_what_a_server_prints_gets_it_from_its_task(subject: MarathonSubject) -> None:
    """Whichever task a replica is now; one that waits to be started is known, and has printed nothing."""
    order = an_order(subject)
    (replica,) = run(subject, order, 1)
    backend = subject.backend
    assert isinstance(backend, KeepsLogs)
    unlocked(subject)
    assert f"Starting task {replica.incarnation}\n".encode() == b"".join(backend.logs(replica.id, tail=1, follow=False))
    subject.crash(replica.id)
    again = subject.until(lambda seen: _restarts(seen, order.key) == 1)
    (restarted,) = next(group for group in again.groups if group.key == order.key).replicas
    assert replica.id == restarted.id
    now = restarted.incarnation.encode()
    assert b"Starting task " + now + b"\n" == b"".join(backend.logs(replica.id, tail=None, follow=False))


def test_only_what_changed_is_read_and_made_anew(subject: MarathonSubject) -> None:
    """An event says which app; the other one is not even asked for, and is the same object."""
    order, other = an_order(subject), an_order(subject, "other")
    run(subject, order, 1)
    run(subject, other, 1)
    unlocked(subject)
    backend, woken = subject.backend, threading.Event()
    backend.watch(woken.set)  # type: ignore[attr-defined]  # it watches
    assert woken.wait(20)
    subject.until(lambda _: _listens(subject))
    subject.backend.observe()
    before, asked = group_of(subject, other.key), len(subject.proxy.exchanges)
    woken.clear()
    subject.crash(group_of(subject, order.key).replicas[0].id)
    assert woken.wait(20)
    seen = subject.until(lambda now: _restarts(now, order.key) == 1)
    assert before is found(seen, other.key)
    assert not any(
        "/tests/other/" in one.target or one.target.startswith("/v2/apps?") for one in subject.proxy.exchanges[asked:]
    )


def test_a_stream_that_only_looks_alive_is_not_believed(subject: MarathonSubject) -> None:
    """Until something comes over it, everything is read each time."""
    order = an_order(subject)
    run(subject, order, 1)
    subject.proxy.add(Rule(Silence(after=0), path="/v2/events"))
    subject.backend.watch(lambda: None)  # type: ignore[attr-defined]  # it watches
    subject.until(lambda _: any("/v2/events" in one for one in subject.proxy.under_way))
    before = group_of(subject, order.key).replicas[0]
    subject.crash(before.id)
    seen = subject.until(lambda now: _restarts(now, order.key) == 1)
    assert seen.groups


def test_a_lost_agent_s_servers_are_given_up_after_as_long_as_was_said(subject: MarathonSubject) -> None:
    """Until then they are shown as unreachable; another instance comes in their place."""
    order = an_order(subject)
    (before,) = run(subject, order, 1)
    unlocked(subject)
    (task,) = app_of(subject, order.key)["tasks"]
    subject.marathon.control("lose-agent", agent=task["slaveId"], partition=True)
    try:
        subject.marathon.advance(80)
        seen = subject.until(lambda now: _reason(now, order.key) is ReasonCode.UNREACHABLE)
        unseen = replicas_of(seen, order.key)[0]
        assert (before.id, before.incarnation, Phase.RUNNING) == (unseen.id, unseen.incarnation, unseen.phase)
        subject.marathon.advance(400)
        (after,) = settled(subject, order.key, 1)
        assert before.id != after.id
        assert before.node != after.node
    finally:
        subject.marathon.control("return-agent", agent=task["slaveId"])


@pytest.mark.slow
@pytest.mark.parametrize("edited", [False, True])
def test_who_is_named_and_too_many_is_given_up_though_the_count_stays(
    subject: MarathonSubject, *, edited: bool
) -> None:
    """Marathon has made up for a lost agent, or begun to for somebody's change, and forgets it only minutes later."""
    order = an_order(subject)
    run(subject, order, 2)
    unlocked(subject)
    app = app_of(subject, order.key)
    agent = app["tasks"][0]["slaveId"]
    before = frozenset(task["id"].partition("._app")[0] for task in app["tasks"] if task["slaveId"] == agent)
    subject.marathon.control("lose-agent", agent=agent, partition=True)
    try:
        if edited:
            subject.marathon.ask("PUT", f"/v2/apps{app['id']}", {"cpus": 0.2})
        subject.marathon.advance(80)

        def is_made_up_for(seen: Snapshot) -> bool:
            lost = _unreachable(seen, order.key)
            return len(replicas_of(seen, order.key)) > 2 and (lost == before or (edited and bool(lost)))

        seen = _later(subject, is_made_up_for)
        surplus, lost = len(replicas_of(seen, order.key)) - 2, _unreachable(seen, order.key)
        apply(subject, order, 2, retire=tuple(lost))
        left = {one.id for one in replicas_of(subject.backend.observe(), order.key)}
        assert surplus == len(lost - left)
    finally:
        subject.marathon.control("return-agent", agent=agent)


def test_what_marathon_is_replacing_is_left_to_it(subject: MarathonSubject) -> None:
    """One more comes first: whoever is named then would only be replaced again."""
    order = an_order(subject)
    run(subject, order, 2)
    unlocked(subject)
    app = app_of(subject, order.key)
    subject.marathon.ask("PUT", f"/v2/apps{app['id']}", {"cpus": 0.2})
    seen = subject.until(lambda now: len(replicas_of(now, order.key)) > 2)
    asked = len(writes(subject))
    apply(subject, order, 2, retire=(replicas_of(seen, order.key)[-1].id,))
    assert asked == len(writes(subject))
    unlocked(subject)


def test_where_nobody_reaches_servers_marathons_word_about_them_is_told(
    marathon: Emulated, subject: MarathonSubject, tmp_path: Path
) -> None:
    """Ready is whom its check finds well; there is no address, and more time to end."""
    far = connect(context_of(OWNER_ID, subject.proxy.url, tmp_path, reach=Reach.NONE))
    try:
        order = an_order(subject)
        far.apply(order, 1, expect=ABSENT)
        words: list[bool | None] = []
        for _ in range(40):
            for one in (one for group in far.observe().groups for one in group.replicas if one.phase is Phase.RUNNING):
                words.append(one.ready)
                assert one.endpoint is None
            marathon.advance(0.05)
        assert [False, True] == sorted({word for word in words if word is not None})
        assert words[-1] is True
    finally:
        far.close()


def _listens(subject: MarathonSubject) -> bool:
    return any("/v2/events" in one for one in subject.proxy.under_way)


def _restarts(seen: Snapshot, key: GroupKey) -> int:
    return max((one.restarts for one in replicas_of(seen, key) if one.phase is Phase.RUNNING), default=0)


def _reason(seen: Snapshot, key: GroupKey) -> ReasonCode | None:
    return next((one.reason.code for one in replicas_of(seen, key) if one.reason is not None), None)


def _later(subject: MarathonSubject, holds: Callable[[Snapshot], bool]) -> Snapshot:
    """Let time pass, more of it than is looked at, until it is so."""
    for _ in range(80):
        if holds(seen := subject.backend.observe()):
            return seen
        subject.marathon.advance(5)
    raise AssertionError(f"not within ten minutes; last seen: {subject.backend.observe().groups}")


def _unreachable(seen: Snapshot, key: GroupKey) -> frozenset[str]:
    found = ((one.id, one.reason) for one in replicas_of(seen, key) if one.reason is not None)
    return frozenset(name for name, reason in found if reason.code is ReasonCode.UNREACHABLE)
