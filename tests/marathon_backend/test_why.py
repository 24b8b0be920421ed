"""Why an app has not what it was asked for: pure, on what a real Marathon and Mesos said, and on made-up agents."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.model import Constraint, Operator, PlacementSpec, Resources, Spread, Template, WholeGpus
from roadstead.reasons import ChangeKind, ReasonCode
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Exit
from roadstead_backends.marathon.endings import ended_reason
from roadstead_backends.marathon.funnel import Lacking, amounts_of, waiting_reason
from roadstead_backends.marathon.mesos import Agent, Amounts
from roadstead_backends.marathon.messages import App, Deployment, OfferSummary, QueueItem, Rejection, Task
from roadstead_backends.marathon.why import Ending, Missing, missing_reason, task_reason
from tests.marathon_backend.orders import template_with

MIB = 1024**2
FUNNEL = (
    "UnfulfilledRole",
    "UnfulfilledConstraint",
    "NoCorrespondingReservationFound",
    "AgentMaintenance",
    "InsufficientCpus",
    "InsufficientMemory",
    "InsufficientDisk",
    "InsufficientGpus",
    "InsufficientPorts",
    "DeclinedScarceResources",
)
CONTAINED = template_with(
    runtime=attrs.evolve(template_with().runtime, image="registry.example/serving:2.20.0"),
    model=attrs.evolve(template_with().model, source="/models/minilm"),
)
STAGED = dt.datetime(2026, 11, 23, 3, 12, 5, tzinfo=dt.UTC)
NOW = 1_795_403_525_000  # STAGED in milliseconds


def offers(**declined: int) -> OfferSummary:
    """Return a funnel that ended like this at the last offer of each agent."""
    left, found = sum(declined.values()), []
    for name in FUNNEL:
        found.append(Rejection(reason=name, declined=declined.get(name, 0), processed=left))
        left -= declined.get(name, 0)
    return OfferSummary(processed_offers_count=24, unused_offers_count=24, reject_summary_last_offers=tuple(found))


def agent(name: str, cpu: int = 8000, memory: int = 16384, *, taken: int = 0, **more: Any) -> Agent:
    """Return an agent with so many milli-cores and MiB, of which ``taken`` milli-cores are given away."""
    attributes = {"hostname": name, **more.pop("attributes", {})}
    total = Amounts(cpu=cpu, memory=memory * MIB, disk=100_000 * MIB, gpus=more.pop("gpus", 0))
    return Agent(
        id=f"m-{name}",
        name=name,
        hostname=name,
        attributes=attributes,
        total=total,
        allocated=Amounts(cpu=taken),
        **more,
    )


def wanting(count: int = 1, **changes: Any) -> Lacking:
    """Return an app that lacks ``count`` tasks of 2 CPUs and 1Gi each."""
    placement = changes.pop("placement", PlacementSpec())
    placed = changes.pop("placed", ())
    resources = attrs.evolve(
        Resources(cpu=Cpus(2000), memory=Memory(1024 * MIB), disk=Memory(0)), **changes.pop("resources", {})
    )
    template = template_with(resources=resources, placement=placement, **changes)
    return Lacking(template=template, count=count, placed=placed)


def in_(attribute: str, *values: str) -> Constraint:
    """Return a constraint that an attribute has one of these values."""
    return Constraint(attribute=attribute, operator=Operator.IN, values=values)


# ---- the launch queue and the agents ----


def test_what_no_agent_has_room_for_says_how_much_less_would_do() -> None:
    """Marathon's funnel and Mesos' numbers together: who lacks what, and the request that fits where most is free."""
    agents = [agent("a", taken=7000), agent("b", taken=6500), agent("c", cpu=1000)]
    reason = waiting_reason(wanting(), offers(InsufficientCpus=3), agents)
    assert ReasonCode.NO_CAPACITY is reason.code
    assert "no agent has room for it: cpu (at most 1500m free, 2 asked) on 3 (of 3 agents)" == reason.detail
    assert (3, 3, "offers declined: InsufficientCpus 3") == (reason.count, reason.total, reason.raw)
    assert reason.change is not None
    assert "lower resources.cpu from 2 to 1500m" == reason.change.text
    assert (1500,) == tuple(one.value for one in reason.change.amounts)


def test_what_is_lacking_many_times_is_lowered_so_that_all_of_it_fits() -> None:
    """One that fits is not enough: three lacking ones need room for three."""
    agents = [agent("a", cpu=3000), agent("b", cpu=1900)]
    reason = waiting_reason(wanting(3), offers(InsufficientCpus=2), agents)
    assert reason.change is not None
    assert "lower resources.cpu from 2 to 1500m" == reason.change.text


def test_a_constraint_that_nobody_meets_is_named() -> None:
    """All agents are ruled out, and by which constraint is Mesos' word: Marathon only counts."""
    lacking = wanting(placement=PlacementSpec(constraints=(in_("rack", "r9"), in_("hostname", "a", "b"))))
    agents = [agent("a", attributes={"rack": "r1"}), agent("b")]
    reason = waiting_reason(lacking, offers(UnfulfilledConstraint=2), agents)
    assert ReasonCode.NO_MATCHING_NODE is reason.code
    assert "constraint rack on 2" in reason.detail
    assert reason.change is not None
    assert (ChangeKind.DROP_CONSTRAINT, "drop the constraint on rack", "placement.constraints.0") == (
        reason.change.kind,
        reason.change.text,
        reason.change.subject,
    )


def test_agents_that_offer_nothing_because_they_are_full_are_not_overlooked() -> None:
    """Marathon sees only those that do not match; by Mesos' numbers the matching one is full: it is room that lacks."""
    lacking = wanting(placement=PlacementSpec(constraints=(in_("rack", "r1"),)))
    agents = [agent("a", taken=8000, attributes={"rack": "r1"}), agent("b")]
    reason = waiting_reason(lacking, offers(UnfulfilledConstraint=1), agents)
    assert ReasonCode.NO_CAPACITY is reason.code
    assert "constraint rack on 1, cpu (at most 0 free, 2 asked) on 1" in reason.detail
    assert reason.change is not None
    assert "drop the constraint on rack" == reason.change.text


def test_where_nothing_smaller_helps_another_agent_does() -> None:
    """Less than half is another server: the way out is an agent, and how large it must be."""
    reason = waiting_reason(wanting(2), offers(InsufficientCpus=1), [agent("a", cpu=500)])
    assert reason.change is not None
    assert "add an agent with 4 CPU and 2Gi of memory free" == reason.change.text


def test_a_cap_of_the_spread_is_what_stands_against_it() -> None:
    """Where each rack has its one, another rack is needed, and Marathon calls that a constraint."""
    spread = PlacementSpec(spread=Spread(by="rack", max_per=1))
    agents = [agent("a", attributes={"rack": "r1"}), agent("b", attributes={"rack": "r1"})]
    reason = waiting_reason(wanting(placement=spread, placed=("a",)), offers(UnfulfilledConstraint=2), agents)
    assert ReasonCode.NO_MATCHING_NODE is reason.code
    assert "placement.spread on 2" in reason.detail
    assert reason.change is not None
    assert "add an agent with 2 CPU and 1Gi of memory free" == reason.change.text


def test_agents_with_gpus_are_kept_for_those_who_want_some() -> None:
    """By the numbers there is room; Marathon's word is why it is not given, and how that is changed."""
    reason = waiting_reason(wanting(), offers(DeclinedScarceResources=2), [agent("a", gpus=2), agent("b", gpus=2)])
    assert ReasonCode.NO_CAPACITY is reason.code
    assert "2 have room, and GPUs, which Marathon keeps for apps that ask for some" in reason.detail
    assert "by Mesos' numbers it would fit on a (of 2 agents)" in reason.detail
    assert reason.change is not None
    assert "set GPU_SCHEDULING_BEHAVIOR: unrestricted in backend_options.marathon.labels" in reason.change.text


def test_too_few_gpus_are_counted() -> None:
    """A whole number of GPUs that no agent has left."""
    lacking = wanting(resources={"gpu": WholeGpus(count=4)})
    reason = waiting_reason(lacking, offers(InsufficientGpus=1), [agent("a", gpus=2)])
    assert "gpu (at most 2 free, 4 asked) on 1" in reason.detail
    assert reason.change is not None
    assert reason.change.text.endswith("memory free and 4 GPUs")


def test_without_mesos_marathons_word_stands_alone() -> None:
    """Nothing is made up where the master does not answer: no counts of agents, and no change."""
    reason = waiting_reason(wanting(), offers(InsufficientMemory=2, UnfulfilledConstraint=1), [])
    assert (
        "no agent has room for it: of the 3 agents that offered something last, "
        "1 do not meet the constraints, 2 have too little memory left"
    ) == reason.detail
    assert (0, 0, None) == (reason.count, reason.total, reason.change)


def test_an_offer_that_has_not_come_yet_is_no_lack() -> None:
    """Nothing was declined and there is room: it is being started."""
    reason = waiting_reason(wanting(), offers(), [agent("a")])
    assert (ReasonCode.STARTING, None) == (reason.code, reason.change)
    assert ReasonCode.NO_CAPACITY is waiting_reason(wanting(), offers(), [agent("a", taken=8000)]).code
    assert ReasonCode.NO_MATCHING_NODE is waiting_reason(wanting(), offers(), [agent("a", closed="drained")]).code


agents_found = st.lists(
    st.builds(
        agent,
        st.sampled_from(["a", "b", "c", "d"]),
        st.integers(0, 6000),
        st.integers(0, 2048),
        taken=st.integers(0, 3000),
        attributes=st.fixed_dictionaries({"rack": st.sampled_from(["r1", "r2"])}),
    ),
    max_size=5,
    unique_by=lambda one: one.name,
)
placements = st.builds(
    PlacementSpec,
    constraints=st.lists(st.sampled_from([in_("rack", "r1"), in_("rack", "r3")]), max_size=2).map(tuple),
    spread=st.none() | st.builds(Spread, by=st.just("rack"), max_per=st.integers(1, 2)),
)


def room_for(lacking: Lacking, agents: list[Agent]) -> bool:
    """Return whether all that is lacking fits, tried one by one: the plainest way to know."""
    spread = lacking.template.placement.spread
    needs, free = lacking.needs, {one.name: one.free for one in agents}
    crowd: dict[str, int] = {}
    for _ in range(lacking.count):
        for one in agents:
            left, rack = free[one.name], one.attributes["rack"]
            meets = all(
                one.attributes.get(rule.attribute) in rule.values for rule in lacking.template.placement.constraints
            )
            capped = spread is not None and spread.max_per is not None and crowd.get(rack, 0) >= spread.max_per
            if meets and not capped and left.cpu >= needs.cpu and left.memory >= needs.memory:
                free[one.name] = left - needs
                crowd[rack] = crowd.get(rack, 0) + 1
                break
        else:
            return False
    return True


@given(agents=agents_found, placement=placements, count=st.integers(1, 3))
def test_a_change_that_is_told_is_enough(agents: list[Agent], placement: PlacementSpec, count: int) -> None:
    """With the request lowered as told, or the constraint dropped, all that was lacking has a place."""
    lacking = wanting(count, placement=placement)
    change = waiting_reason(lacking, offers(InsufficientCpus=1), agents).change
    if change is None or change.kind not in (ChangeKind.LOWER_REQUEST, ChangeKind.DROP_CONSTRAINT):
        return
    template = lacking.template
    if change.kind is ChangeKind.DROP_CONSTRAINT:
        kept = list(placement.constraints)
        del kept[int(change.subject.rpartition(".")[2])]
        changed = attrs.evolve(template, placement=attrs.evolve(placement, constraints=tuple(kept)))
    else:
        (amount,) = change.amounts
        resources = (
            attrs.evolve(template.resources, cpu=Cpus(amount.value))
            if amount.what == "cpu"
            else attrs.evolve(template.resources, memory=Memory(amount.value))
        )
        changed = attrs.evolve(template, resources=resources)
    assert room_for(attrs.evolve(lacking, template=changed), agents)


def test_the_recorded_queue_of_a_real_marathon_is_understood() -> None:
    """An app with 500 CPUs on three agents of 8, as Marathon 1.11 answered."""
    item = msgspec.json.decode(
        json.dumps(
            {
                "count": 1,
                "role": "*",
                "delay": {"timeLeftSeconds": 0, "overdue": True},
                "since": "2026-11-22T10:00:00.000Z",
                "processedOffersSummary": {
                    "processedOffersCount": 24,
                    "unusedOffersCount": 24,
                    "lastUnusedOfferAt": "2026-11-22T10:00:04.000Z",
                    "rejectSummaryLastOffers": [
                        {"reason": "UnfulfilledRole", "declined": 0, "processed": 3},
                        {"reason": "InsufficientCpus", "declined": 3, "processed": 3},
                        {"reason": "DeclinedScarceResources", "declined": 0, "processed": 0},
                    ],
                    "rejectSummaryLaunchAttempt": [{"reason": "InsufficientCpus", "declined": 24, "processed": 24}],
                },
                "app": {"id": "/big", "cpus": 500.0},
            }
        ).encode(),
        type=QueueItem,
    )
    lacking = wanting(resources={"cpu": Cpus(500_000)})
    missing = Missing(app_id="/big", lacking=lacking, item=item, read_at=NOW, agents=[agent("a")])
    reason = missing_reason(missing)
    assert ReasonCode.NO_CAPACITY is reason.code
    assert "offers declined: InsufficientCpus 3\nin the launch queue since 2026-11-22 10:00:00Z" == reason.raw
    assert reason.change is not None
    assert "add an agent with 500 CPU and 1Gi of memory free" == reason.change.text


def delayed(seconds: int) -> QueueItem:
    """Return an entry of the queue that waits."""
    return msgspec.convert({"count": 1, "delay": {"timeLeftSeconds": seconds, "overdue": False}}, QueueItem)


CRASHED = Ending(exit=Exit(at=0, code=1, detail="Command exited with status 1"), host="10.0.0.3")


def test_a_task_that_waits_after_a_crash_says_how_it_crashed_and_until_when_it_waits() -> None:
    """The queue says that it waits, the last failure says why; the moment is the same however often it is read."""
    missing = Missing(app_id="/x", lacking=wanting(), item=delayed(62), read_at=NOW, ending=CRASHED)
    reason = missing_reason(missing)
    assert (ReasonCode.CRASH, "Command exited with status 1") == (reason.code, reason.raw)
    assert (
        "its server ended with exit code 1 on 10.0.0.3; Marathon starts it again, later each time, not before 03:13:10Z"
    ) == reason.detail
    later = attrs.evolve(missing, item=delayed(57), read_at=NOW + 5_000)
    assert reason == missing_reason(later)


def test_a_delay_without_a_known_failure_is_a_back_off() -> None:
    """After a restart of ours nobody knows what failed; that something did is certain."""
    reason = missing_reason(Missing(app_id="/x", lacking=wanting(), item=delayed(8), read_at=NOW))
    assert ReasonCode.BACK_OFF is reason.code
    assert "tasks of it failed, and Marathon starts none before 03:12:20Z" == reason.detail


def test_once_the_delay_is_over_offers_are_what_is_missing() -> None:
    """A task that crashed long ago and finds no room now lacks room."""
    item = msgspec.structs.replace(
        delayed(0),
        delay=msgspec.structs.replace(delayed(0).delay, overdue=True),
        processed_offers_summary=offers(InsufficientCpus=1),
    )
    reason = missing_reason(Missing(app_id="/x", lacking=wanting(), item=item, read_at=NOW, ending=CRASHED))
    assert ReasonCode.NO_CAPACITY is reason.code


def deployment(*current: str) -> Deployment:
    """Return a deployment of ``/x`` and ``/y`` that is at these apps now."""
    return msgspec.convert(
        {
            "id": "d1",
            "affectedApps": ["/x", "/y"],
            "currentActions": [{"action": "ScaleApplication", "app": app} for app in current],
            "currentStep": 1,
            "totalSteps": 2,
        },
        Deployment,
    )


def test_an_app_that_is_not_queued_says_what_its_deployment_does_first() -> None:
    """Steps come one after the other: until its own comes, nothing is launched."""
    missing = Missing(app_id="/x", lacking=wanting(), item=None, read_at=NOW, deployments=[deployment("/y")])
    reason = missing_reason(missing)
    assert ("Marathon comes to it after step 1 of 2 of its deployment d1", "ScaleApplication /y") == (
        reason.detail,
        reason.raw,
    )
    at_it = missing_reason(attrs.evolve(missing, deployments=[deployment("/x")]))
    assert "Marathon is at step 1 of 2 of its deployment d1" == at_it.detail
    nothing = missing_reason(attrs.evolve(missing, deployments=[]))
    assert nothing.detail.startswith("Marathon has not put it into its launch queue")


def test_a_queue_that_cannot_be_read_is_no_empty_one() -> None:
    """Who may not read it is told so, and not that Marathon has forgotten the app; how a task ended is still told."""
    unread = "dc1: Marathon answered 403: Not Authorized"
    missing = Missing(app_id="/x", lacking=wanting(), item=None, read_at=0, unread=unread)
    reason = missing_reason(missing)
    assert "why it is not started is not known: Marathon's launch queue cannot be read" == reason.detail
    assert unread == reason.raw
    assert ReasonCode.CRASH is missing_reason(attrs.evolve(missing, ending=CRASHED)).code


# ---- tasks ----


def task(state: str, **more: Any) -> Task:
    """Return a task on agent 10.0.0.3 that was staged at 03:12:05."""
    return Task(id="x.instance-a._app.1", app_id="/x", state=state, host="10.0.0.3", staged_at=STAGED, **more)


def test_a_task_that_is_prepared_for_long_names_what_its_agent_has_to_get() -> None:
    """First it is only being started, then it is overdue, and the moment when Marathon gives up is told."""
    template = CONTAINED
    app = App(id="/x")
    assert ReasonCode.STARTING is getattr(task_reason(task("TASK_STAGING"), app, template, NOW + 59_000), "code", None)
    reason = task_reason(task("TASK_STAGING"), app, template, NOW + 61_000)
    assert reason is not None
    assert ReasonCode.IMAGE is reason.code
    assert (
        "agent 10.0.0.3 has been preparing it since 03:12:05Z: it needs image registry.example/serving:2.20.0; "
        "Marathon has it killed and started elsewhere at 03:17:05Z"
    ) == reason.detail
    assert reason.change is not None
    assert "let 10.0.0.3 reach the registry of the image, or look into the task's `stderr` there" == reason.change.text
    assert reason == task_reason(task("TASK_STAGING"), app, template, NOW + 299_000)
    late = task_reason(task("TASK_STAGING"), app, template, NOW + 301_000)
    assert late is not None
    assert late.detail.endswith("started elsewhere now")


def test_a_task_on_a_lost_agent_says_when_another_one_comes() -> None:
    """Waiting is enough, and the agent that would have to come back is named."""
    template = attrs.evolve(CONTAINED, health=attrs.evolve(CONTAINED.health, node_lost_after=Duration(30_000)))
    reason = task_reason(task("TASK_UNREACHABLE"), App(id="/x"), template, NOW)
    assert reason is not None
    assert (
        "unreachable: its agent 10.0.0.3 does not answer to Mesos; "
        "Marathon starts another task 30s after that, when it looks"
    ) == str(reason)
    assert reason.change is not None
    assert (ChangeKind.WAIT, "wait for that, or bring 10.0.0.3 back") == (reason.change.kind, reason.change.text)


HEALTH = {"alive": False, "consecutiveFailures": 2, "lastFailureCause": "400 Bad Request"}


@pytest.mark.parametrize(
    ("health", "detail"),
    [
        (HEALTH, "its MESOS_TCP health check on 10.0.0.3 has not passed once; the task is killed if that goes on"),
        (
            {**HEALTH, "firstSuccess": "2026-11-22T10:00:00.000Z"},
            "its MESOS_TCP health check on 10.0.0.3 fails, after it had passed; the task is killed if that goes on",
        ),
        ({**HEALTH, "consecutiveFailures": 0}, None),
        ({"alive": True, "consecutiveFailures": 0}, None),
    ],
)
def test_a_failing_health_check_is_told_before_it_kills(health: dict[str, Any], detail: str | None) -> None:
    """What it found is Marathon's word; a server that is still within its grace is only starting."""
    app = msgspec.convert({"id": "/x", "healthChecks": [{"protocol": "MESOS_TCP"}]}, App)
    running = msgspec.convert(
        {"id": "x", "state": "TASK_RUNNING", "host": "10.0.0.3", "healthCheckResults": [health]}, Task
    )
    reason = task_reason(running, app, template_with(), NOW)
    assert detail == (reason.detail if reason is not None else None)
    if reason is not None:
        assert (ReasonCode.NOT_READY, "400 Bad Request") == (reason.code, reason.raw)


# ---- ends ----


@pytest.mark.parametrize(
    ("ended", "code", "fix"),
    [
        (Exit(at=0, code=1, detail="Command exited with status 1"), ReasonCode.CRASH, None),
        (
            Exit(at=0, code=127, detail="Command exited with status 127"),
            ReasonCode.CONFIG,
            "backend_options.marathon.command",
        ),
        (
            Exit(at=0, code=126, detail="Command exited with status 126"),
            ReasonCode.CONFIG,
            "backend_options.marathon.command",
        ),
        (Exit(at=0, code=65, detail="Command exited with status 65"), ReasonCode.MODEL, "model.digest"),
        (Exit(at=0, signal=9, detail="Container exited with status 137"), ReasonCode.CRASH, "resources.memory"),
        (Exit(at=0, signal=11, detail="Command terminated with signal Segmentation fault"), ReasonCode.CRASH, None),
        (
            Exit(
                at=0, out_of_memory=True, detail="Memory limit exceeded: Requested: 64MB Maximum Used: 64MB\n\nMEMORY"
            ),
            ReasonCode.OUT_OF_MEMORY,
            "resources.memory",
        ),
        (
            Exit(
                at=0,
                detail="Failed to launch container: Failed to fetch all URIs for container 'c': exited with status 1",
            ),
            ReasonCode.MODEL,
            "model.source",
        ),
        (
            Exit(
                at=0,
                code=1,
                detail="Failed to launch container: Failed to run 'docker -H unix:///var/run/docker.sock pull nginx': "
                "exited with status 1; stderr='Error response from daemon: pull access denied'",
            ),
            ReasonCode.IMAGE,
            "runtime.image",
        ),
        (
            Exit(
                at=0,
                detail="Failed to launch container: Unexpected HTTP response '404 Not Found' "
                "when trying to get the manifest",
            ),
            ReasonCode.IMAGE,
            "runtime.image",
        ),
        (Exit(at=0, detail="Failed to launch container: No such user 'nobody2'"), ReasonCode.CONFIG, None),
        (
            Exit(at=0, detail="Task was killed since health check failed. Reason: Tcp command"),
            ReasonCode.NOT_READY,
            None,
        ),
        (Exit(at=0, detail="Agent was marked gone"), ReasonCode.LOST, None),
        (Exit(at=0, detail="Abnormal executor termination: unknown container"), ReasonCode.LOST, None),
        (Exit(at=0, detail="ended as TASK_LOST"), ReasonCode.LOST, None),
        (Exit(at=0, detail="something that no version said before"), ReasonCode.CRASH, None),
    ],
)
def test_words_about_an_end_are_understood(ended: Exit, code: ReasonCode, fix: str | None) -> None:
    """The words of Mesos' containerizers decide the code and the fix, and are kept."""
    reason = ended_reason(ended, CONTAINED, "10.0.0.3")
    assert (code, ended.detail) == (reason.code, reason.raw)
    assert fix == (reason.change.subject if reason.change is not None else None)
    assert "on 10.0.0.3" in reason.detail


@given(st.builds(Exit, at=st.just(0), code=st.none() | st.integers(0, 255), detail=st.text()))
def test_every_end_has_a_reason(ended: Exit) -> None:
    """Whatever was said, there is a code, and the words are kept as they are."""
    assert ended.detail == ended_reason(ended, template_with()).raw


@given(st.integers(1, 10**13))
def test_a_task_is_given_whole_mebibytes(amount: int) -> None:
    """As the app is written: what is not whole is rounded up."""
    given_ = amounts_of(Resources(cpu=Cpus(1), memory=Memory(amount), disk=Memory(0)))
    assert 0 <= given_.memory - amount < MIB
    assert 0 == given_.memory % MIB


def test_a_template_without_image_or_url_is_only_prepared() -> None:
    """With programs of the agents there is nothing to fetch: the master is who the agent must hear from."""
    template: Template = template_with()
    bare = attrs.evolve(
        template,
        runtime=attrs.evolve(template.runtime, image=None),
        model=attrs.evolve(template.model, source="/models/minilm"),
    )
    reason = task_reason(task("TASK_STAGING"), App(id="/x"), bare, NOW + 61_000)
    assert reason is not None
    assert ReasonCode.STARTING is reason.code
