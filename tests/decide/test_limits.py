"""Requested, allocated and observed: three numbers, never one for another, and what owners hold of what they may."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from roadstead.decide.report import FleetLimits, Measure, fleet_limits
from roadstead.model import GpuPart, Quota, RolloutSpec, WholeGpus
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.world import Device, Node, Usage
from tests.decide.scene import NATIVE, Scene, deployment, fleet, nodes, template, with_source

_MIB = 2**20


def limits(scene: Scene) -> FleetLimits:
    """Return what is shown of a scene as its loop sees it now."""
    world = scene.drive.observe()
    return fleet_limits(scene.fleet, world, scene.drive.decide(world), scene.clock.now())


def gpu_node(foreign: int = 0) -> tuple[Node, ...]:
    """Return one node with one device of 100Mi, of which ``foreign`` are in other hands."""
    device = Device(id="g0", model="A100", memory=Memory(100 * _MIB), foreign=Memory(foreign * _MIB))
    return (attrs.evolve(nodes(1)[0], devices=(device,)),)


def wants_gpu(gpu: GpuPart | WholeGpus, replicas: int = 1) -> Scene:
    """Return a scene of one deployment that asks for a GPU, on a node without foreign use, before its first turn."""
    one = template()
    made = attrs.evolve(one, resources=attrs.evolve(one.resources, gpu=gpu))
    return Scene(fleet(deployment(of=made, replicas=replicas)), {"here": gpu_node()}, thorough=True)


# ---- the three numbers ----


def test_what_was_never_measured_is_unknown_and_what_was_is_told_beside_the_others() -> None:
    """One replica is measured, the other is not; both have what they asked for."""
    scene = Scene(fleet(deployment()), {"here": nodes(1)})
    scene.settle()
    first, second = (member.replica for member in scene.members())
    scene.use = {first.id: Usage(cpu=Cpus(250), memory=Memory(3 * _MIB)), second.id: Usage()}
    (one,) = limits(scene).deployments
    asked = Measure(cpu=Cpus(1_000), memory=Memory(_MIB), gpu=0, gpu_memory=Memory(0))
    assert [(asked, asked)] * 2 == [(replica.requested, replica.allocated) for replica in one.replicas]
    assert {
        first.id: Measure(cpu=Cpus(250), memory=Memory(3 * _MIB), gpu=None, gpu_memory=None),
        second.id: Measure(cpu=None, memory=None, gpu=None, gpu_memory=None),
    } == {replica.id: replica.observed for replica in one.replicas}


def test_a_node_is_not_said_to_use_what_only_some_of_its_replicas_were_seen_to() -> None:
    """The sum is unknown as long as one that runs there is not measured."""
    scene = Scene(fleet(deployment()), {"here": nodes(1)})
    scene.settle()
    (node,) = limits(scene).nodes
    assert (Cpus(2_000), Cpus(1_000)) == (node.allocated.cpu, node.observed.cpu)
    scene.use = {scene.members()[0].replica.id: Usage(cpu=Cpus(250))}
    (node,) = limits(scene).nodes
    assert (Cpus(750), None) == (node.observed.cpu, node.observed.memory)


def test_nothing_is_allocated_to_a_replica_without_a_node() -> None:
    """A slot asks for all of it, and has nothing yet."""
    scene = Scene(fleet(deployment()), {"here": nodes(1, 1_000)})
    scene.turns(5)
    waiting = [replica for replica in limits(scene).deployments[0].replicas if replica.node is None]
    assert [(Cpus(1_000), Cpus(0))] == [(one.requested.cpu, one.allocated.cpu) for one in waiting]


def test_a_whole_device_comes_with_all_of_its_memory_and_a_share_with_what_it_asked_for() -> None:
    """The device tells how much of it is given, in thousandths and in bytes."""
    whole = wants_gpu(WholeGpus(count=1))
    whole.settle()
    (replica,) = limits(whole).deployments[0].replicas
    assert (None, Memory(100 * _MIB)) == (replica.requested.gpu_memory, replica.allocated.gpu_memory)
    part = wants_gpu(GpuPart(share=GpuShare(500), memory=Memory(30 * _MIB)))
    part.settle()
    (device,) = limits(part).nodes[0].devices
    assert (500, Memory(30 * _MIB)) == (device.allocated, device.memory_allocated)


# ---- foreign use of GPUs ----


def test_foreign_memory_of_a_device_is_not_given_away_and_is_shown() -> None:
    """With 80 of 100Mi in other hands 30Mi do not fit, and the reason is about the device."""
    scene = wants_gpu(GpuPart(share=GpuShare(500), memory=Memory(30 * _MIB)))
    scene.clusters["here"].set_node(gpu_node(foreign=80)[0])
    decided = scene.turns(5)
    assert {ReasonCode.NO_CAPACITY} == {held.reason.code for held in decided.held}
    (node,) = limits(scene).nodes
    assert (Memory(80 * _MIB), 0) == (node.devices[0].foreign, node.devices[0].allocated)
    assert Memory(80 * _MIB) == node.foreign.gpu_memory
    scene.clusters["here"].set_node(gpu_node(foreign=70)[0])
    scene.settle()
    assert {("here", "/m/1"): 1} == scene.serving()
    assert [] == scene.wrong


@given(foreign=st.integers(0, 100), asked=st.integers(1, 100))
def test_a_share_fits_where_what_others_hold_leaves_enough_and_nowhere_else(foreign: int, asked: int) -> None:
    """To the byte: it is bound exactly if it and the foreign memory are no more than the device has."""
    scene = wants_gpu(GpuPart(share=GpuShare(100), memory=Memory(asked * _MIB)))
    scene.clusters["here"].set_node(gpu_node(foreign)[0])
    scene.turns(3)
    assert (asked + foreign <= 100) == any(one.node is not None for one in scene.replicas())
    assert [] == scene.wrong


# ---- owners ----


def test_an_owner_holds_surge_stopping_and_unreachable_replicas_too() -> None:
    """In the middle of a rollout three count against a quota of four, and with their cluster away they still do."""
    rollout = RolloutSpec(max_surge=1, progress_deadline=Duration(60_000))
    declared = deployment(rollout=rollout)
    scene = Scene(fleet(declared, search=Quota(cpu=Cpus(4_000))), {"here": nodes(1)}, thorough=True)
    scene.settle()
    before = next(one for one in limits(scene).owners if one.owner == "search")
    assert (Cpus(2_000), Cpus(2_000), 2, 0) == (before.held.cpu, before.left.cpu, before.replicas, before.surge)
    scene.declare(with_source(declared, "/m/2"))
    scene.turns(2)
    during = next(one for one in limits(scene).owners if one.owner == "search")
    assert (Cpus(3_000), Cpus(1_000), 3, 1) == (during.held.cpu, during.left.cpu, during.replicas, during.surge)
    scene.clusters["here"].faults.partitioned = True
    away = next(one for one in limits(scene).owners if one.owner == "search")
    assert (Cpus(3_000), 3) == (away.held.cpu, away.unreachable)


def test_an_owner_without_a_limit_has_nothing_left_to_name() -> None:
    """No limit is no number, and on a cluster that was never seen nobody knows what is held."""
    scene = Scene(fleet(deployment()), {"here": nodes(1)}, {"here": NATIVE})
    scene.clusters["here"].faults.partitioned = True
    owner = next(one for one in limits(scene).owners if one.owner == "search")
    assert (None, None, False) == (owner.quota.cpu, owner.left.cpu, owner.complete)
