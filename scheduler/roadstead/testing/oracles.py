"""What must always hold, as functions from what happened to what was wrong about it; empty means nothing was.

They are written from the design and from nothing else: they share no arithmetic with what they judge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

from roadstead.model import (
    Constraint,
    Fleet,
    GpuPart,
    GpuPartition,
    Operator,
    Resources,
    Strategy,
    Template,
    WholeGpus,
)
from roadstead.plans import Bind, Delete, Evict, Grow, Plan, Restart, Settle, Shrink, Step, deployment_of
from roadstead.world import Group, Node, Phase, Reachable, Shard, World

__all__ = [
    "crowding",
    "disturbable",
    "floor_broken",
    "interfering",
    "last_proven_deleted",
    "quota_broken",
    "trespasses",
    "unguarded",
    "unsettled",
    "used",
]


# ---- 1: nodes and devices ----


def crowding(world: World, decided: Plan) -> tuple[str, ...]:
    """Return every node and device that the plan's binds would put over what it has, given what was observed."""
    binds: defaultdict[tuple[str, str], list[Bind]] = defaultdict(list)
    for step in decided.steps:
        if isinstance(step, Bind):
            binds[step.cluster, step.node].append(step)
    return tuple(
        f"{cluster}/{node}: {wrong}"
        for (cluster, node), bound in binds.items()
        for wrong in _wrong_on_node(world, cluster, node, bound)
    )


def _wrong_on_node(world: World, cluster: str, name: str, binds: list[Bind]) -> Iterator[str]:
    snapshot = world.clusters[cluster].snapshot
    node = next((node for node in snapshot.nodes if node.name == name), None) if snapshot is not None else None
    if snapshot is None or node is None:
        yield "a bind to a node that was not seen"
        return
    templates = {group.key: group.template for group in snapshot.groups}
    there = [
        (group.template, replica.devices)
        for group in snapshot.groups
        for replica in group.replicas
        if replica.node == name and replica.phase is not Phase.LOST
    ]
    new = [(templates[bind.group], bind.devices) for bind in binds]
    if not node.schedulable:
        yield "it takes nobody new"
    for template, _ in new:
        if not all(_holds(constraint, node) for constraint in template.placement.constraints):
            yield "a constraint does not hold there"
    needs = [template.resources for template, _ in (*there, *new)]
    if sum(need.cpu.milli for need in needs) > node.cpu.milli - node.foreign_cpu.milli:
        yield "over its cpu"
    if sum(need.memory.bytes for need in needs) > node.memory.bytes - node.foreign_memory.bytes:
        yield "over its memory"
    if sum(need.disk.bytes for need in needs) > node.disk.bytes:
        yield "over its disk"
    yield from _wrong_on_devices(node, there, new)


def _wrong_on_devices(
    node: Node, there: list[tuple[Template, tuple[str, ...]]], new: list[tuple[Template, tuple[str, ...]]]
) -> Iterator[str]:
    for template, devices in new:
        if len(devices) != _device_count(template.resources) or len(set(devices)) != len(devices):
            yield f"{devices} are not the devices asked for"
    milli: Counter[str] = Counter()
    for template, devices in (*there, *new):
        for device in devices:
            milli[device] += _device_milli(template.resources)
    touched = {device for _, devices in new for device in devices}
    known = {device.id for device in node.devices}
    yield from (f"device {device} is not there" for device in sorted(touched - known))
    yield from (f"device {device} over 1000 milli" for device in sorted(touched) if milli[device] > 1000)


def _holds(constraint: Constraint, node: Node) -> bool:
    value = node.attributes.get(constraint.attribute)
    if constraint.operator is Operator.NOT_IN:
        return value not in constraint.values
    return value is not None and (constraint.operator is not Operator.IN or value in constraint.values)


def _device_count(needs: Resources) -> int:
    if needs.gpu is None:
        return 0
    return needs.gpu.count if isinstance(needs.gpu, WholeGpus) else 1


def _device_milli(needs: Resources) -> int:
    if isinstance(needs.gpu, GpuPart):
        return needs.gpu.share.milli
    return 0 if isinstance(needs.gpu, GpuPartition) else 1000


# ---- 2: quotas ----


def used(fleet: Fleet, truth: World) -> Mapping[str, Counter[str]]:
    """Return what each owner really holds over all clusters: what groups were asked for, and what is still stopping.

    A deployment's owner is who the file says; the owner that a group was created with counts where the file is silent.
    """
    holds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, snapshot in truth.snapshots():
        for group in snapshot.groups:
            count = _held_count(group)
            needs = group.template.resources
            gpu = _device_count(needs) * _device_milli(needs)
            declared = fleet.deployments.get(group.key.deployment)
            holds[declared.owner if declared is not None else group.owner].update(
                {"cpu": needs.cpu.milli * count, "memory": needs.memory.bytes * count, "gpu": gpu * count}
            )
    return holds


def _held_count(group: Group) -> int:
    phases = Counter(replica.phase for replica in group.replicas)
    counting = len(group.replicas) - phases[Phase.STOPPING] - phases[Phase.LOST]
    return max(group.target, counting) + phases[Phase.STOPPING]


def quota_broken(fleet: Fleet, before: World, after: World) -> tuple[str, ...]:
    """Return the owners whose use one call raised over their quota."""
    held, holds = used(fleet, before), used(fleet, after)
    return tuple(
        f"{owner} holds {holds[owner][what]} {what} of {limit}, and held {held[owner][what] if owner in held else 0}"
        for owner in holds
        for what, limit in _limits(fleet, owner).items()
        if holds[owner][what] > limit and holds[owner][what] > (held[owner][what] if owner in held else 0)
    )


def _limits(fleet: Fleet, owner: str) -> Mapping[str, int]:
    quota = fleet.quotas.get(owner)
    if quota is None:
        return {}
    limits = {
        "cpu": quota.cpu.milli if quota.cpu is not None else None,
        "memory": quota.memory.bytes if quota.memory is not None else None,
        "gpu": quota.gpu,
    }
    return {what: limit for what, limit in limits.items() if limit is not None}


# ---- 3: the floor, and what it rests on ----


def floor_broken(
    decided: Plan, step: Step, before: World, after: World, *, unheard: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the deployments of which one call stopped serving replicas although fewer than the floor are left.

    ``unheard`` are those that are ready by now and have told nobody: nobody was sent to them, so they do not serve.
    Where ``before`` and ``after`` have gateways, serving is who gets requests. There a cluster that picks whom it gives
    up may pick one of them in the place of the one that was named, and nobody can know.
    """
    found = []
    if isinstance(step, Shrink) and _is_picked(step, before):
        return ()
    for name, shard in before.shards.items():
        served = sum(member.replica.id not in unheard for member in shard.serving)
        left = after.shards.get(name, Shard(deployment=name))
        serves = sum(member.replica.id not in unheard for member in left.serving)
        floor = decided.floor.get(name)
        if serves < served and (floor is None or serves < floor):
            found.append(f"{type(step).__name__} took {name} from {served} to {serves} serving; the floor is {floor}")
    return tuple(found)


def _is_picked(step: Shrink, before: World) -> bool:
    snapshot = before.clusters[step.cluster].snapshot
    fronted = any(member.passage is not None for member in before.shards[step.group.deployment].members)
    return fronted and snapshot is not None and not snapshot.capabilities.exact_retire


def last_proven_deleted(decided: Plan, step: Step, before: World) -> tuple[str, ...]:
    """Return what is wrong about deleting a group that is the only one that the plan knows to be proven."""
    if not isinstance(step, Delete) or step.group.deployment not in decided.floor:
        return ()
    known = decided.memory.deployments.get(step.group.deployment)
    if known is None or not decided.wanted[step.group.deployment]:
        return ()
    existing = {
        f"{name}/{group.key}"
        for name, snapshot in before.snapshots()
        for group in snapshot.groups
        if group.key.deployment == step.group.deployment
    }
    proven = {key for key, group in known.groups.items() if group.proven and key in existing}
    return (f"{step.group} is the last proven revision",) if proven == {f"{step.cluster}/{step.group}"} else ()


def unguarded(world: World, decided: Plan) -> tuple[str, ...]:
    """Return the destructive steps that go on whatever became of what they rest on."""
    found = []
    for step in decided.steps:
        if isinstance(step, Shrink | Delete) and not step.version:
            found.append(f"{type(step).__name__} of {step.group} expects nothing")
        if isinstance(step, Shrink):
            shard = world.shards.get(step.group.deployment, Shard(deployment=step.group.deployment))
            ready = {member.replica.id for member in shard.ready}
            standing = {standing.replica for standing in step.standing}
            floor = decided.floor.get(step.group.deployment, 0)
            if ready & set(step.retire) and (len(standing & ready) < floor or standing & set(step.retire)):
                found.append(f"Shrink of {step.group} rests on {len(standing)} of the {floor} that must serve")
        if isinstance(step, Restart | Evict):
            found.extend(_wrong_with_ending(step, world, decided))
    return tuple(found)


def _wrong_with_ending(step: Restart | Evict, world: World, decided: Plan) -> Iterator[str]:
    seen = {member.replica.id: member.replica.incarnation for member in world.shards[step.deployment].members}
    if step.incarnation != seen.get(step.replica):
        yield f"{type(step).__name__} of {step.replica} of another incarnation than was seen"
    ready = {member.replica.id for member in world.shards[step.deployment].ready}
    standing = {standing.replica for standing in step.standing} & ready
    floor = decided.floor.get(step.deployment, 0)
    if step.replica in ready and (len(standing) < floor or step.replica in standing):
        yield f"{type(step).__name__} of {step.replica} rests on {len(standing)} of the {floor} that must serve"


# ---- what stands for a deployment as a whole ----


def disturbable(world: World, decided: Plan) -> tuple[str, ...]:
    """Return where the plan leaves so few replicas, or so high a floor, that an administrator could disturb none.

    One that the cluster refused to change before, and that waits for its next try, is nobody's fault.
    """
    found = []
    for name, snapshot in world.snapshots():
        floors = dict(snapshot.settled)
        asked: Counter[str] = Counter()
        for group in snapshot.groups:
            asked[group.key.deployment] += group.target
        for step in decided.steps:
            if step.cluster == name and isinstance(step, Settle):
                floors[step.deployment] = step.floor or 0
            if step.cluster == name and isinstance(step, Grow | Shrink):
                asked[step.group.deployment] += step.target - step.was
        found += [
            f"{floors[one]} of the {asked[one]} of {one} on {name} are to be disturbed by nobody"
            for one in decided.wanted
            if isinstance(world.clusters[name], Reachable) and not snapshot.foreign_owners
            if floors.get(one, 0) > max(0, asked[one] - 1) and f"{name}/objects of {one}" not in decided.memory.back_off
        ]
    return tuple(found)


def unsettled(fleet: Fleet, truth: World, decided: Plan) -> tuple[str, ...]:
    """Return where something else stands for a deployment than should, when all is at rest as it is wanted."""
    found = []
    for name, snapshot in truth.snapshots():
        groups = {group.key.deployment for group in snapshot.groups}
        if not snapshot.capabilities.settles or snapshot.foreign_owners:
            continue
        found += [f"{one} stands on {name} with no group" for one in snapshot.settled.keys() - groups]
        for one in groups & decided.wanted.keys() & fleet.deployments.keys():
            here = sum(group.target for group in snapshot.groups if group.key.deployment == one)
            spare = fleet.deployments[one].rollout.max_unavailable
            recreates = fleet.deployments[one].rollout.strategy is Strategy.RECREATE
            alone = here == decided.wanted[one]
            right = max(0, here - max(1, spare)) if not recreates else 0
            stands = snapshot.settled.get(one)
            if stands is None or stands > max(0, here - 1) or (alone and stands != right):
                found.append(f"{stands} of the {here} of {one} on {name} may not be disturbed, not {right}")
    return tuple(found)


# ---- 4: what is not ours ----


def trespasses(fleet: Fleet, world: World, decided: Plan) -> tuple[str, ...]:
    """Return the steps on what is not ours to change: contested or silent clusters, deployments nobody gave up.

    What stands for a deployment of which no group is left may go, whoever gave it up.
    """
    going = {intent.deployment for intent in fleet.intents.remove}
    return tuple(
        f"{type(step).__name__} on {step.cluster}: {wrong}"
        for step in decided.steps
        for wrong in _wrong_with(step, world.clusters[step.cluster], fleet, going, decided)
        if not _is_left_over(step, world)
    )


def interfering(fleet: Fleet, world: World, decided: Plan) -> tuple[str, ...]:
    """Return the steps on deployments of which somebody else decides how many replicas there are.

    A server that hangs may be restarted: as many are there as before.
    """
    going = {intent.deployment for intent in fleet.intents.remove}
    others = {
        group.key.deployment for _, snapshot in world.snapshots() for group in snapshot.groups if group.scaled_by
    } - going
    return tuple(
        f"{type(step).__name__} on {step.cluster}: others decide how many {deployment_of(step)} has"
        for step in decided.steps
        if deployment_of(step) in others and not isinstance(step, Settle | Bind | Restart)
    )


def _is_left_over(step: Step, world: World) -> bool:
    view = world.clusters[step.cluster]
    return (
        isinstance(step, Settle)
        and step.floor is None
        and isinstance(view, Reachable)
        and not view.snapshot.foreign_owners
        and all(group.key.deployment != step.deployment for group in view.snapshot.groups)
    )


def _wrong_with(step: Step, view: object, fleet: Fleet, going: set[str], decided: Plan) -> Iterator[str]:
    if not isinstance(view, Reachable):
        yield "it does not answer"
    elif view.snapshot.foreign_owners:
        yield "somebody else's objects have our names there"
    name = deployment_of(step)
    if name not in fleet.deployments and name not in going:
        yield f"{name} is nobody's to change"
    if name not in decided.wanted:
        yield f"{name} was not decided about"
    if isinstance(step, Grow) and step.target < 0:
        yield "a negative count"
