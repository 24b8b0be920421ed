"""Many nodes compared at once, against the same nodes compared one by one."""

from collections import Counter
from collections.abc import Mapping

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.capabilities import Capabilities
from roadstead.decide.fit import No, Yes, fit
from roadstead.decide.ledger import Freed, Ledger
from roadstead.decide.placement import Seat, candidate, first_of, seat
from roadstead.decide.placement.columns import columns_of
from roadstead.decide.placement.ranking import best, candidates
from roadstead.decide.rooms import Demand, demand, obstacles
from roadstead.memory import Claim, PlanMemory
from roadstead.model import (
    Constraint,
    Fleet,
    Gpu,
    GpuPart,
    GpuPartition,
    ModelSpec,
    Operator,
    PlacementSpec,
    Resources,
    Scheduling,
    Spread,
    Template,
    WholeGpus,
)
from roadstead.spi.policies import PlacementPolicy
from roadstead.units import Cpus, GpuShare, Memory
from roadstead.world import Device, Node, Snapshot, World
from roadstead_plugins.placement.plugin import BinPack
from roadstead_plugins.placement.plugin import Spread as SpreadPolicy

ABLE = Capabilities(scheduling=frozenset({Scheduling.DIRECTED}), exact_retire=True, heals_alone=False)
POLICIES: Mapping[str, PlacementPolicy] = {"spread": SpreadPolicy(), "binpack": BinPack()}

amounts = st.integers(0, 8)
_devices = st.lists(
    st.tuples(st.sampled_from(["A100", "T4"]), amounts, amounts, st.sampled_from([(), ("1g",), ("1g", "1g", "2g")])),
    max_size=3,
)


@st.composite
def many_nodes(draw: st.DrawFn) -> tuple[Node, ...]:
    """A few nodes, as many as a failing example can be read with."""
    return tuple(
        Node(
            name=name,
            cpu=Cpus(draw(amounts) * 500),
            memory=Memory(draw(amounts)),
            disk=Memory(draw(amounts)),
            foreign_cpu=Cpus(draw(st.sampled_from([0, 0, 700]))),
            foreign_memory=Memory(draw(st.sampled_from([0, 0, 3]))),
            attributes=draw(st.sampled_from([{}, {"zone": "a"}, {"zone": "b"}])),
            schedulable=draw(st.sampled_from([True, True, True, False])),
            devices=tuple(
                Device(
                    id=f"{name}-{number}",
                    model=model,
                    memory=Memory(memory),
                    foreign=Memory(min(foreign, memory) // 2),
                    partitions=partitions,
                )
                for number, (model, memory, foreign, partitions) in enumerate(draw(_devices))
            ),
        )
        for name in draw(st.permutations(["n1", "n2", "n3", "n4", "n5"]))
    )


gpus: st.SearchStrategy[Gpu | None] = st.one_of(
    st.none(),
    st.builds(WholeGpus, count=st.integers(1, 2), models=st.sampled_from([(), ("T4",)]), memory=amounts.map(Memory)),
    st.builds(
        GpuPart,
        share=st.sampled_from([300, 500, 1000]).map(GpuShare),
        memory=st.integers(0, 3).map(Memory),
        models=st.sampled_from([(), ("A100",)]),
    ),
    st.builds(GpuPartition, profile=st.sampled_from(["1g", "2g"])),
)
templates = st.builds(
    Template,
    model=st.just(ModelSpec(name="m", source="/m")),
    resources=st.builds(
        Resources,
        cpu=st.integers(0, 4).map(lambda number: Cpus(number * 250)),
        memory=st.integers(0, 2).map(Memory),
        disk=st.integers(0, 2).map(Memory),
        gpu=gpus,
    ),
    placement=st.builds(
        PlacementSpec,
        constraints=st.sampled_from([(), (), (Constraint(attribute="zone", operator=Operator.NOT_IN, values=("a",)),)]),
        spread=st.sampled_from(
            [None, None, Spread(by="zone"), Spread(by="zone", max_per=2), Spread(by="hostname", max_per=1)]
        ),
    ),
)


@attrs.frozen
class Setting:
    """A cluster, what is held of it, and what is asked for."""

    snapshot: Snapshot
    ledger: Ledger
    wish: Demand
    freed: Freed | None


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    """Some replicas stand, some room is claimed, and one replica more is asked for; the columns stood before or not."""
    snapshot = Snapshot(capabilities=ABLE, nodes=draw(many_nodes()))
    names = [node.name for node in snapshot.nodes]
    claims = {
        owner: tuple(
            Claim(
                replica=f"{owner}-{number}",
                cluster="here",
                node=draw(st.sampled_from(names)),
                devices=(),
                resources=draw(templates).resources,
            )
            for number in range(draw(st.sampled_from([0, 0, 1])))
        )
        for owner in ("mine", "other")
    }
    ledger = Ledger(Fleet(name="f", clusters={}, deployments={}), World(clusters={}), PlanMemory(claims=claims))
    if draw(st.booleans()):
        columns_of(ledger, "here", snapshot)
    standing: list[Freed] = []
    nodes: list[str] = []
    for template in draw(st.lists(templates, max_size=4)):
        wish = demand("here", snapshot, "mine", template, Counter(nodes))
        found = first_of(snapshot.nodes, ledger, wish, POLICIES["binpack"])
        if found is not None:
            ledger.place("here", found.node, found.devices, template.resources)
            nodes.append(found.node)
            standing.append(Freed(cluster="here", node=found.node, devices=found.devices, resources=template.resources))
    wish = demand("here", snapshot, "mine", draw(templates), Counter(nodes))
    freed = draw(st.sampled_from([None, *standing]))
    return Setting(snapshot, ledger, wish, freed)


@given(settings())
def test_a_node_fits_in_columns_if_it_fits_by_itself(setting: Setting) -> None:
    """Every resource, device, constraint, spread and claim, with and without a replica that would be gone."""
    columns = columns_of(setting.ledger, "here", setting.snapshot)
    fits = columns.fitting(setting.wish, setting.freed)
    expected = {
        node.name: not obstacles(node, setting.ledger, setting.wish, setting.freed) for node in setting.snapshot.nodes
    }
    assert expected == {node.name: bool(one) for node, one in zip(columns.nodes, fits, strict=True)}


@given(settings(), st.integers(1, 6))
def test_as_many_fit_in_columns_as_do_one_by_one(setting: Setting, count: int) -> None:
    """The answer about a cluster of many nodes is that of the same nodes in a small one."""
    wish = attrs.evolve(setting.wish, ahead=1)
    one_by_one = fit(setting.snapshot, setting.ledger, wish, count)
    match one_by_one:
        case Yes(count=fitting):
            room = columns_of(setting.ledger, "here", setting.snapshot).room(wish)
            assert fitting == min(count, room - wish.ahead)
        case No():
            assert columns_of(setting.ledger, "here", setting.snapshot).room(wish) <= wish.ahead


@given(settings(), st.sampled_from(sorted(POLICIES)))
def test_the_best_of_many_is_the_best_one_by_one(setting: Setting, name: str) -> None:
    """The same node and the same devices, and the same again for the next replica."""
    policy = POLICIES[name]
    for _ in range(3):
        expected = first_of(setting.snapshot.nodes, setting.ledger, setting.wish, policy)
        assert expected == best(setting.snapshot, setting.ledger, setting.wish, policy)
        if expected is None:
            return
        setting.ledger.place("here", expected.node, expected.devices, setting.wish.template.resources)


@given(settings(), st.sampled_from(sorted(POLICIES)))
def test_a_policy_says_the_same_of_all_nodes_as_of_each(setting: Setting, name: str) -> None:
    """Whoever writes both forms of a policy can be held to it."""
    policy = POLICIES[name]
    assert isinstance(policy, SpreadPolicy | BinPack)
    template = setting.wish.template
    wish = demand("here", setting.snapshot, "other", template, {})
    ledger = Ledger(Fleet(name="f", clusters={}, deployments={}), World(clusters={}), PlanMemory())
    columns = columns_of(ledger, "here", setting.snapshot)
    keys = np.stack(policy.keys(candidates(columns, slice(None), template.resources)), axis=1)
    for row in np.flatnonzero(columns.fitting(wish)):
        found = first_of([columns.nodes[row]], ledger, wish, policy)
        assert found is not None
        shown = candidate(columns.nodes[row], ledger, wish, found.devices)
        assert policy.key(shown) == tuple(keys[row].tolist())


class _Plain:
    """A policy of somebody who never heard of columns: the last name first."""

    def key(self, shown: object) -> tuple[int, ...]:
        assert hasattr(shown, "node")
        return tuple(-ord(letter) for letter in shown.node)


@pytest.mark.parametrize("policy", [SpreadPolicy(), _Plain()])
def test_ten_thousand_nodes_get_a_hundred_replicas_evenly(policy: PlacementPolicy) -> None:
    """Through the door that decisions use, with a policy of either form."""
    nodes = tuple(Node(name=f"n{number:05}", cpu=Cpus(4000), memory=Memory(2**30)) for number in range(10_000))
    snapshot = Snapshot(capabilities=ABLE, nodes=nodes)
    ledger = Ledger(Fleet(name="f", clusters={}, deployments={}), World(clusters={}), PlanMemory())
    template = Template(
        model=ModelSpec(name="m", source="/m"), resources=Resources(cpu=Cpus(4000), memory=Memory(2**20))
    )
    taken: list[str] = []
    rounds = 100 if isinstance(policy, SpreadPolicy) else 3
    for _ in range(rounds):
        found = seat(snapshot, ledger, demand("here", snapshot, "mine", template, Counter(taken)), policy)
        assert isinstance(found, Seat)
        ledger.place("here", found.node, found.devices, template.resources)
        taken.append(found.node)
    assert [1] * rounds == list(Counter(taken).values())
