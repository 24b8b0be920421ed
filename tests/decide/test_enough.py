"""What is suggested is enough by itself, and nothing cheaper is: tried out, change by change, on small clusters.

Each change of the list is applied mechanically to what a decision is made from, and the decision is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

import attrs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roadstead.assembly import assemble
from roadstead.decide.planner import plan
from roadstead.memory import PlanMemory
from roadstead.model import (
    ClusterSpec,
    Constraint,
    Deployment,
    Fleet,
    Gpu,
    GpuPart,
    Operator,
    PlacementSpec,
    Resources,
    RolloutSpec,
    Spread,
    Template,
    WholeGpus,
)
from roadstead.plans import Bind
from roadstead.reasons import Amount, Change, ChangeKind, Reason, ReasonCode
from roadstead.template import target
from roadstead.units import Cpus, GpuShare, Memory
from roadstead.world import (
    Device,
    Endpoint,
    Group,
    GroupKey,
    ModelState,
    ModelStatus,
    Node,
    Phase,
    Reachable,
    Replica,
    Snapshot,
)
from roadstead_plugins.placement.plugin import BinPack
from roadstead_plugins.placement.plugin import Spread as Spreading
from tests.decide.scene import DIRECTED, OWNER_ID, template

MIB = 2**20
FEWER = settings(max_examples=100) if settings().derandomize else settings()
"""Each example is a dozen plans; the nightly profile asks for as many as it always does."""

PLACED = frozenset({ReasonCode.NO_CAPACITY, ReasonCode.NO_MATCHING_NODE})


@attrs.frozen(kw_only=True)
class Case:
    """Replicas of one template that wait for a node, and nodes that others use in part."""

    nodes: tuple[Node, ...]
    template: Template
    replicas: int
    place: str

    def reason(self) -> Reason | None:
        """Return why not all of them are placed, by the plan that runs in production; ``None`` where they are."""
        aimed = target("here", self.template)
        declared = Deployment(name="anchor", owner="search", targets=(aimed,), replicas=self.replicas, place=self.place)
        group = Group(
            key=GroupKey("anchor", aimed.revision),
            owner="search",
            owner_id=OWNER_ID,
            generation=1,
            target=self.replicas,
            template=self.template,
            version="1",
            replicas=tuple(Replica(id=f"r{number}", phase=Phase.SLOT) for number in range(self.replicas)),
        )
        fleet = Fleet(
            name="fleet",
            clusters={"here": ClusterSpec(name="here", backend="simulated", options=None)},
            deployments={"anchor": declared},
            owner_id=OWNER_ID,
        )
        snapshot = Snapshot(capabilities=DIRECTED, nodes=self.nodes, groups=(group,))
        world = assemble(None, {"here": Reachable(snapshot)}, {})
        decided = plan(fleet, world, PlanMemory(), 0, {"spread": Spreading(), "binpack": BinPack()})
        binds = [step for step in decided.steps if isinstance(step, Bind)]
        held = [one.reason for one in decided.held if one.reason.code in PLACED]
        assert (len(binds) == self.replicas) == (not held), "what is not placed is said, and nothing else"
        return held[0] if held else None

    def with_resources(self, resources: Resources) -> Self:
        """Return the case with other requests."""
        return attrs.evolve(self, template=attrs.evolve(self.template, resources=resources))

    def with_placement(self, placement: PlacementSpec) -> Self:
        """Return the case with other conditions."""
        return attrs.evolve(self, template=attrs.evolve(self.template, placement=placement))


@attrs.frozen(kw_only=True)
class Rolling(Case):
    """Replicas of an old template, all serving, ``running`` on these nodes with these devices, and a new template."""

    old: Template
    running: tuple[tuple[str, tuple[str, ...]], ...]
    rollout: RolloutSpec

    def reason(self) -> Reason | None:
        """Return why the rollout stands still, by the plan that runs in production; ``None`` where it goes on."""
        before, aimed = target("here", self.old), target("here", self.template)
        declared = Deployment(
            name="anchor",
            owner="search",
            targets=(aimed,),
            replicas=self.replicas,
            place=self.place,
            rollout=self.rollout,
        )
        group = Group(
            key=GroupKey("anchor", before.revision),
            owner="search",
            owner_id=OWNER_ID,
            generation=1,
            target=len(self.running),
            template=self.old,
            version="1",
            replicas=tuple(
                Replica(
                    id=f"r{number}",
                    phase=Phase.RUNNING,
                    node=node,
                    devices=devices,
                    endpoint=Endpoint(host=f"10.0.0.{number}", grpc=8500, rest=8501),
                    incarnation=f"r{number}#1",
                )
                for number, (node, devices) in enumerate(self.running)
            ),
        )
        fleet = Fleet(
            name="fleet",
            clusters={"here": ClusterSpec(name="here", backend="simulated", options=None)},
            deployments={"anchor": declared},
            owner_id=OWNER_ID,
        )
        models = {
            one.id: ModelState(status=ModelStatus.AVAILABLE, incarnation=one.incarnation, versions=(1,))
            for one in group.replicas
        }
        snapshot = Snapshot(capabilities=DIRECTED, nodes=self.nodes, groups=(group,))
        world = assemble(None, {"here": Reachable(snapshot)}, models)
        decided = plan(fleet, world, PlanMemory(), 0, {"spread": Spreading(), "binpack": BinPack()})
        held = [one.reason for one in decided.held if one.reason.code is ReasonCode.ROLLOUT_HELD]
        moves = bool(decided.steps) or len(decided.table.endpoints["anchor"]) < len(self.running)
        assert moves != bool(held), "a rollout goes on, or it is said why it does not"
        return held[0] if held else None


# ---- each kind of change, applied ----


def applied(case: Case, change: Change) -> Case:
    """Return the case after ``change``, from what it says to programs."""
    amounts = {one.what: one.value for one in change.amounts}
    placement = case.template.placement
    match change.kind:
        case ChangeKind.RAISE_MAX_UNAVAILABLE:
            assert isinstance(case, Rolling)
            key = change.subject.rpartition(".")[2]
            more = {key: getattr(case.rollout, key) + amounts["more"]}
            return attrs.evolve(case, rollout=attrs.evolve(case.rollout, **more))
        case ChangeKind.LOWER_REPLICAS:
            return attrs.evolve(case, replicas=case.replicas - amounts.get("fewer", 0))
        case ChangeKind.LOWER_REQUEST:
            ((key, value),) = amounts.items()
            return case.with_resources(asking(case.template.resources, key, value))
        case ChangeKind.DROP_CONSTRAINT if change.subject == "placement.spread.max_per":
            assert placement.spread is not None
            return case.with_placement(
                attrs.evolve(placement, spread=Spread(by=placement.spread.by, max_per=amounts["max_per"]))
            )
        case ChangeKind.DROP_CONSTRAINT:
            dropped = int(change.subject.rpartition(".")[2])
            left = tuple(one for at, one in enumerate(placement.constraints) if at != dropped)
            return case.with_placement(attrs.evolve(placement, constraints=left))
        case ChangeKind.FREE_ON_NODE:
            return attrs.evolve(
                case, nodes=tuple(freed(one, amounts) if one.name == change.subject else one for one in case.nodes)
            )
        case ChangeKind.ADD_NODE:
            return attrs.evolve(case, nodes=(*case.nodes, *added(case.template, amounts["nodes"], amounts["replicas"])))
    raise AssertionError(change)


def asking(resources: Resources, key: str, value: int) -> Resources:
    """Return ``resources`` with another value for one request."""
    match key, resources.gpu:
        case "cpu", _:
            return attrs.evolve(resources, cpu=Cpus(value))
        case "memory", _:
            return attrs.evolve(resources, memory=Memory(value))
        case "gpu.count", WholeGpus() as gpu:
            return attrs.evolve(resources, gpu=attrs.evolve(gpu, count=value))
        case "gpu.share", GpuPart() as gpu:
            return attrs.evolve(resources, gpu=attrs.evolve(gpu, share=GpuShare(value)))
        case "gpu.memory", (WholeGpus() | GpuPart()) as gpu:
            return attrs.evolve(resources, gpu=attrs.evolve(gpu, memory=Memory(value)))
    raise AssertionError(key)


def freed(node: Node, amounts: dict[str, int]) -> Node:
    """Return a node on which others gave up so much."""
    assert amounts.get("cpu", 0) <= node.foreign_cpu.milli, "others do not hold as much"
    assert amounts.get("memory", 0) <= node.foreign_memory.bytes + MIB, "others do not hold as much"
    emptied = {key.removeprefix("gpu:") for key in amounts if key.startswith("gpu:")}
    assert emptied <= {one.id for one in node.devices if one.foreign.bytes}, "others do not hold these"
    return attrs.evolve(
        node,
        foreign_cpu=Cpus(node.foreign_cpu.milli - amounts.get("cpu", 0)),
        foreign_memory=Memory(max(0, node.foreign_memory.bytes - amounts.get("memory", 0))),
        devices=tuple(attrs.evolve(one, foreign=Memory(0)) if one.id in emptied else one for one in node.devices),
    )


def added(of: Template, count: int, replicas: int) -> Iterator[Node]:
    """Yield so many nodes, each made for so many replicas of a template, in zones of their own."""
    resources = of.resources
    gpus = (
        0 if resources.gpu is None else replicas * (resources.gpu.count if isinstance(resources.gpu, WholeGpus) else 1)
    )
    for number in range(count):
        zone = next((one.values[0] for one in of.placement.constraints if one.attribute == "zone"), f"new{number}")
        disk = "ssd" if any(one.attribute == "disk" for one in of.placement.constraints) else "disk"
        yield Node(
            name=f"new{number}",
            cpu=Cpus(resources.cpu.milli * replicas),
            memory=Memory(resources.memory.bytes * replicas),
            devices=tuple(Device(id=f"new{number}-{at}", model="A100", memory=Memory(8 * MIB)) for at in range(gpus)),
            attributes={"zone": zone, "disk": disk},
        )


# ---- every change that is cheaper ----


def cheaper(case: Case, kind: ChangeKind) -> Iterator[tuple[ChangeKind, Case]]:
    """Yield the case after every change of a kind that costs less than ``kind``, each as far as that kind may go."""
    for other, changed in EVERY.items():
        if other < kind:
            yield from ((other, one) for one in changed(case))


def with_fewer(case: Case) -> Iterator[Case]:
    """Yield the case with fewer replicas, but some; how many are wanted is no matter of a rollout."""
    if isinstance(case, Rolling):
        return iter(())
    return (attrs.evolve(case, replicas=count) for count in range(1, case.replicas))


def with_less_that_serve(case: Case) -> Iterator[Case]:
    """Yield a rollout that may take down more."""
    if isinstance(case, Rolling):
        for more in range(1, case.replicas + 1):
            rollout = attrs.evolve(case.rollout, max_unavailable=case.rollout.max_unavailable + more)
            yield attrs.evolve(case, rollout=rollout)


def with_less(case: Case) -> Iterator[Case]:
    """Yield the case with each request at half of what it is."""
    resources = case.template.resources
    return (case.with_resources(asking(resources, key, -(-value // 2))) for key, value in requests(resources))


def with_one_condition_less(case: Case) -> Iterator[Case]:
    """Yield the case without each of its constraints, and without its cap."""
    placement = case.template.placement
    for at in range(len(placement.constraints)):
        left = tuple(one for other, one in enumerate(placement.constraints) if other != at)
        yield case.with_placement(attrs.evolve(placement, constraints=left))
    if placement.spread is not None and placement.spread.max_per is not None:
        loose = Spread(by=placement.spread.by, max_per=99)
        yield case.with_placement(attrs.evolve(placement, spread=loose))


def with_a_node_to_itself(case: Case) -> Iterator[Case]:
    """Yield the case with each of the nodes left by all others."""
    for at, node in enumerate(case.nodes):
        devices = tuple(attrs.evolve(one, foreign=Memory(0)) for one in node.devices)
        empty = attrs.evolve(node, foreign_cpu=Cpus(0), foreign_memory=Memory(0), devices=devices)
        yield attrs.evolve(case, nodes=(*case.nodes[:at], empty, *case.nodes[at + 1 :]))


def with_more_nodes(case: Case) -> Iterator[Case]:
    """Yield the case with nodes that are each large enough for all."""
    for count in range(1, 4):
        yield attrs.evolve(case, nodes=(*case.nodes, *added(case.template, count, case.replicas)))


EVERY: dict[ChangeKind, Callable[[Case], Iterator[Case]]] = {
    ChangeKind.LOWER_REPLICAS: with_fewer,
    ChangeKind.RAISE_MAX_UNAVAILABLE: with_less_that_serve,
    ChangeKind.LOWER_REQUEST: with_less,
    ChangeKind.DROP_CONSTRAINT: with_one_condition_less,
    ChangeKind.FREE_ON_NODE: with_a_node_to_itself,
    ChangeKind.ADD_NODE: with_more_nodes,
}


def requests(resources: Resources) -> Iterator[tuple[str, int]]:
    """Yield every request that can be lowered, with its value."""
    yield from (("cpu", resources.cpu.milli), ("memory", resources.memory.bytes))
    match resources.gpu:
        case WholeGpus(count=count, memory=memory):
            yield from (("gpu.count", count), ("gpu.memory", memory.bytes))
        case GpuPart(share=share, memory=memory):
            yield from (("gpu.share", share.milli), ("gpu.memory", memory.bytes))


def less(change: Change) -> Iterator[Change]:
    """Yield the same change with less in it, one amount at a time by the smallest step."""
    for at, amount in enumerate(change.amounts):
        step = MIB if amount.what in {"memory", "gpu.memory"} else amount.value if ":" in amount.what else 1
        smaller = amount.value + step if change.kind is ChangeKind.LOWER_REQUEST else amount.value - step
        rest = (*change.amounts[:at], *change.amounts[at + 1 :])
        if change.kind is not ChangeKind.ADD_NODE:
            yield attrs.evolve(change, amounts=(*rest, Amount(amount.what, smaller)) if smaller > 0 else rest)


# ---- random clusters ----

gpus: st.SearchStrategy[Gpu | None] = st.one_of(
    st.none(),
    st.none(),
    st.builds(WholeGpus, count=st.integers(1, 3), memory=st.sampled_from([0, 4, 8]).map(lambda mib: Memory(mib * MIB))),
    st.builds(
        GpuPart,
        share=st.sampled_from([300, 500, 1000]).map(GpuShare),
        memory=st.sampled_from([0, 4, 8]).map(lambda mib: Memory(mib * MIB)),
    ),
)
constraints = st.sets(st.sampled_from([("zone", "a"), ("zone", "b"), ("disk", "ssd")]), max_size=2).map(
    lambda chosen: tuple(
        Constraint(attribute=attribute, operator=Operator.IN, values=(value,)) for attribute, value in sorted(chosen)
    )
)
templates = st.builds(
    lambda cpu, memory, gpu, constraints, spread: attrs.evolve(
        template(),
        resources=Resources(cpu=Cpus(cpu), memory=Memory(memory * MIB), gpu=gpu),
        placement=PlacementSpec(constraints=constraints, spread=spread),
    ),
    st.sampled_from([500, 999, 1_000, 2_000]),
    st.sampled_from([64, 100, 256]),
    gpus,
    constraints,
    st.none() | st.builds(Spread, by=st.just("zone"), max_per=st.none() | st.integers(1, 2)),
)


@st.composite
def some_nodes(draw: st.DrawFn) -> tuple[Node, ...]:
    """Up to three nodes, partly in the hands of others."""
    made = []
    for number in range(draw(st.integers(0, 3))):
        cpu, memory = draw(st.sampled_from([1_000, 2_000, 4_000])), draw(st.sampled_from([128, 256, 512]))
        made.append(
            Node(
                name=f"n{number}",
                cpu=Cpus(cpu),
                memory=Memory(memory * MIB),
                foreign_cpu=Cpus(draw(st.sampled_from([0, 250, 700, cpu]))),
                foreign_memory=Memory(draw(st.sampled_from([0, 0, 33, memory])) * MIB),
                devices=tuple(
                    Device(
                        id=f"n{number}-g{at}",
                        model="A100",
                        memory=Memory(draw(st.sampled_from([6, 8])) * MIB),
                        foreign=Memory(draw(st.sampled_from([0, 0, 3, 6])) * MIB),
                    )
                    for at in range(draw(st.integers(0, 2)))
                ),
                attributes={"zone": draw(st.sampled_from("ab")), "disk": draw(st.sampled_from(["ssd", "disk"]))},
                schedulable=draw(st.sampled_from([True, True, True, False])),
            )
        )
    return tuple(made)


cases = st.builds(
    Case,
    nodes=some_nodes(),
    template=templates,
    replicas=st.integers(1, 4),
    place=st.sampled_from(["spread", "binpack"]),
)


@FEWER
@given(cases)
def test_what_is_suggested_is_enough_and_nothing_cheaper_is(case: Case) -> None:
    """By the plan itself, made again after each change of the list: brute force."""
    reason = case.reason()
    if reason is None:
        return
    change = reason.change
    assert change is not None
    if change.kind is not ChangeKind.FIX_INPUT:  # nothing is enough by itself
        assert applied(case, change).reason() is None, change
    enough = [(kind, other) for kind, other in cheaper(case, change.kind) if other.reason() is None]
    assert [] == enough, change
    for smaller in less(change):
        assert applied(case, smaller).reason() is not None, (change, smaller)


@st.composite
def rollouts(draw: st.DrawFn) -> Rolling:
    """An old revision where it found room, first come, first served, and a new one that asks for other things."""
    nodes, old = draw(some_nodes()), draw(templates)
    old = attrs.evolve(old, placement=PlacementSpec())
    left = {one.name: one.cpu.milli - one.foreign_cpu.milli for one in nodes}
    memory = {one.name: one.memory.bytes - one.foreign_memory.bytes for one in nodes}
    devices = {one.name: [it.id for it in one.devices if not it.foreign.bytes] for one in nodes}
    whole = old.resources.gpu.count if isinstance(old.resources.gpu, WholeGpus) else int(old.resources.gpu is not None)
    running: list[tuple[str, tuple[str, ...]]] = []
    for node in nodes:
        while (
            len(running) < 3
            and left[node.name] >= old.resources.cpu.milli
            and memory[node.name] >= old.resources.memory.bytes
            and len(devices[node.name]) >= whole
        ):
            left[node.name] -= old.resources.cpu.milli
            memory[node.name] -= old.resources.memory.bytes
            running.append((node.name, tuple(devices[node.name][:whole])))
            devices[node.name] = devices[node.name][whole:]
    assume(running)
    same = draw(st.booleans())
    new = draw(templates)
    if same:
        new = attrs.evolve(new, resources=old.resources)
    return Rolling(
        nodes=nodes,
        template=attrs.evolve(new, model=attrs.evolve(new.model, source="/m/2")),
        replicas=len(running),
        place="spread",
        old=old,
        running=tuple(running),
        rollout=RolloutSpec(max_surge=draw(st.integers(0, 1)), max_unavailable=draw(st.integers(0, 1))),
    )


@FEWER
@given(rollouts())
def test_what_is_suggested_to_a_rollout_that_is_held_lets_it_go_on_and_nothing_cheaper_does(case: Rolling) -> None:
    """The same for what stands still: taking one down first, or room for one more."""
    reason = case.reason()
    if reason is None:
        return
    change = reason.change
    assert change is not None
    if change.kind is not ChangeKind.FIX_INPUT:  # nothing is enough by itself
        assert applied(case, change).reason() is None, change
    enough = [(kind, other) for kind, other in cheaper(case, change.kind) if other.reason() is None]
    assert [] == enough, change


def test_every_kind_of_change_is_suggested_somewhere() -> None:
    """The brute force says little about a kind that never comes up."""
    asked = Resources(cpu=Cpus(1_000), memory=Memory(64 * MIB))
    node = Node(name="n0", cpu=Cpus(1_000), memory=Memory(512 * MIB), attributes={"zone": "a", "disk": "disk"})
    plain = attrs.evolve(template(), resources=asked)
    in_b = PlacementSpec(constraints=(Constraint(attribute="zone", operator=Operator.IN, values=("b",)),))
    base = Case(nodes=(node,), template=plain, replicas=1, place="spread")
    stories = [
        attrs.evolve(base, replicas=2),
        attrs.evolve(base, nodes=(attrs.evolve(node, foreign_cpu=Cpus(300)),)),
        base.with_placement(in_b),
        attrs.evolve(base, nodes=(attrs.evolve(node, foreign_cpu=Cpus(900)),)),
        attrs.evolve(base, nodes=()),
    ]
    found = [
        reason.change.kind for one in stories if (reason := one.reason()) is not None and reason.change is not None
    ]
    assert [
        ChangeKind.LOWER_REPLICAS,
        ChangeKind.LOWER_REQUEST,
        ChangeKind.DROP_CONSTRAINT,
        ChangeKind.FREE_ON_NODE,
        ChangeKind.ADD_NODE,
    ] == found
