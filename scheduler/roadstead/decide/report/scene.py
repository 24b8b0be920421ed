"""How a status is derived from the fleet, the world and the plan made of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import attrs

from roadstead.capabilities import Capabilities
from roadstead.decide.report.causes import (
    CANNOT_BE_PLACED,
    Cause,
    cause_of,
    causes,
    deployment_of,
    member_reason,
    notices,
)
from roadstead.decide.report.status import (
    Abilities,
    Amounts,
    ClusterStatus,
    Condition,
    ConditionName,
    DeploymentStatus,
    DeviceStatus,
    FleetStatus,
    GroupStatus,
    IntentStatus,
    Life,
    NodeStatus,
    Orphan,
    QuotaStatus,
    ReplicaStatus,
    RolloutState,
    Service,
)
from roadstead.decide.scaling import is_removed
from roadstead.holdings import Use, use_of
from roadstead.memory import DeploymentMemory, GroupMemory, place
from roadstead.model import Deployment, Fleet, GpuPart, Quota
from roadstead.plans import Plan
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Device, Endpoint, Group, Member, Node, Phase, Reachable, Shard, Snapshot, Unreachable, World

__all__ = ["fleet_status"]

_UNKNOWN = Amounts(cpu=None, memory=None, gpu_memory=None)


def fleet_status(fleet: Fleet, world: World, plan: Plan, now: int, service: Service) -> FleetStatus:
    """Return how the fleet is, as ``plan`` was made from ``fleet`` and ``world`` at ``now``."""
    scene = _Scene(fleet=fleet, world=world, plan=plan, now=now)
    named = set(fleet.deployments)
    return FleetStatus(
        fleet=fleet.name,
        at=now,
        service=service,
        deployments=tuple(scene.deployment(one) for _, one in sorted(fleet.deployments.items())),
        clusters=tuple(scene.cluster(name) for name in sorted(fleet.clusters)),
        quotas=tuple(scene.quota(owner, quota) for owner, quota in sorted(fleet.quotas.items())),
        orphans=tuple(
            _orphan(fleet, shard) for name, shard in sorted(world.shards.items()) if name not in named and shard.groups
        ),
        intents=(
            *(
                IntentStatus(verb="scale", deployment=one.deployment, replicas=one.replicas)
                for one in fleet.intents.scale
            ),
            *(IntentStatus(verb="delete", deployment=one.deployment, replicas=None) for one in fleet.intents.remove),
        ),
        notices=notices(fleet, plan),
    )


def _orphan(fleet: Fleet, shard: Shard) -> Orphan:
    return Orphan(
        deployment=shard.deployment,
        clusters=tuple(dict.fromkeys(cluster for cluster, _ in shard.groups)),
        replicas=sum(1 for member in shard.members if member.replica.phase is not Phase.LOST),
        removing=is_removed(fleet, shard.deployment),
    )


def _abilities(capabilities: Capabilities) -> Abilities:
    return Abilities(
        scheduling=tuple(sorted(one.value for one in capabilities.scheduling)),
        gpu=tuple(sorted(one.value for one in capabilities.gpu)),
        cpu_limit=capabilities.cpu_limit.value,
        memory_limit=capabilities.memory_limit.value,
        gpu_limit=capabilities.gpu_limit.value,
        engine=capabilities.engine.value,
        heals_alone=capabilities.heals_alone,
        exact_retire=capabilities.exact_retire,
        version=capabilities.version,
        notes=capabilities.notes,
    )


@attrs.frozen(kw_only=True, slots=False)
class _Scene:
    """What a status is derived from, with what several parts of it need computed once."""

    fleet: Fleet
    world: World
    plan: Plan
    now: int

    @cached_property
    def in_table(self) -> frozenset[tuple[str, str]]:
        return frozenset((one.cluster, one.replica) for listed in self.plan.table.endpoints.values() for one in listed)

    @cached_property
    def busy(self) -> frozenset[str]:
        return frozenset(deployment_of(step) for step in self.plan.steps)

    def memory(self, deployment: str) -> DeploymentMemory:
        return self.plan.memory.deployments.get(deployment, DeploymentMemory(at=self.now))

    def holders(self) -> Iterator[tuple[str, str, Group, Member]]:
        """Yield cluster, owner, group and member of everything that holds something."""
        for shard in self.world.shards.values():
            for member in shard.members:
                if member.replica.phase is not Phase.LOST:
                    yield member.cluster, member.group.owner, member.group, member

    # ---- one deployment ----

    def deployment(self, declared: Deployment) -> DeploymentStatus:
        shard = self.world.shards.get(declared.name, Shard(deployment=declared.name))
        replicas = tuple(self.replica(member) for member in shard.members)
        groups = tuple(self.group(declared, cluster, group, shard) for cluster, group in shard.groups)
        wanted = self.plan.wanted.get(declared.name, declared.replicas)
        why = causes(self.plan, shard, declared.name)
        state = self.state(declared, groups, shard, wanted)
        floor = self.plan.floor.get(declared.name, 0)
        serving = sum(1 for one in replicas if one.life in (Life.READY, Life.LISTED))
        first = declared.targets[0].template
        return DeploymentStatus(
            name=declared.name,
            owner=declared.owner,
            model=first.model.name,
            version=first.model.version,
            declared=declared.replicas,
            wanted=wanted,
            floor=floor,
            ready=serving,
            listed=sum(1 for one in replicas if one.life is Life.LISTED),
            state=state,
            conditions=_conditions(wanted=wanted, floor=floor, groups=groups, serving=serving, state=state, why=why),
            causes=why,
            groups=groups,
            replicas=replicas,
        )

    def group(self, declared: Deployment, cluster: str, group: Group, shard: Shard) -> GroupStatus:
        target = declared.target_on(cluster)
        learnt = self.memory(declared.name).groups.get(place(cluster, group.key), GroupMemory())
        return GroupStatus(
            cluster=cluster,
            revision=group.key.revision,
            generation=group.generation,
            version=group.template.model.version,
            target=group.target,
            ready=sum(
                1 for one in shard.members if one.cluster == cluster and one.group.key == group.key and one.ready
            ),
            current=target is not None and target.revision == group.key.revision,
            proven=learnt.proven,
            failed=learnt.failed,
        )

    def state(self, declared: Deployment, groups: tuple[GroupStatus, ...], shard: Shard, wanted: int) -> RolloutState:
        current = [one for one in groups if one.current]
        others = [one for one in groups if not one.current]
        if is_removed(self.fleet, declared.name):
            return RolloutState.REMOVING
        if any(one.failed for one in current):
            return RolloutState.ROLLED_BACK if any(one.target for one in others) else RolloutState.FAILED
        present = [one for one in shard.members if one.replica.phase is not Phase.LOST]
        complete = sum(one.target for one in current) == wanted == sum(min(one.ready, one.target) for one in current)
        if complete and len(present) == wanted and not any(one.target for one in others):
            return RolloutState.HELD if self.is_unseen(declared.name) else RolloutState.SETTLED
        moving = any(
            member.replica.phase in (Phase.STARTING, Phase.STOPPING)
            or (member.replica.phase is Phase.RUNNING and not member.ready)
            for member in present
        )
        leaving = any(place(one.cluster, one.replica.id) in self.memory(declared.name).leaving for one in present)
        held = any(one.deployment == declared.name for one in self.plan.held)
        if held and not moving and not leaving and declared.name not in self.busy:
            return RolloutState.HELD
        return RolloutState.PROGRESSING

    def is_unseen(self, name: str) -> bool:
        """Return whether a cluster of the deployment does not answer: what is known of it may not be so any more."""
        return any(one.deployment == name and one.reason.code is ReasonCode.UNREACHABLE for one in self.plan.held)

    # ---- one replica ----

    def replica(self, member: Member) -> ReplicaStatus:
        replica, resources = member.replica, member.group.template.resources
        endpoint = replica.endpoint or Endpoint(host="", grpc=None, rest=None)
        usage = self.world.usage.get(replica.id)
        reason = member_reason(member)
        return ReplicaStatus(
            id=replica.id,
            cluster=member.cluster,
            revision=member.group.key.revision,
            node=replica.node,
            life=self.life(member),
            stale=not member.reachable,
            host=endpoint.host or None,
            grpc=endpoint.grpc,
            rest=endpoint.rest,
            restarts=replica.restarts,
            age=Duration(max(0, self.now - replica.started_at)) if replica.started_at is not None else None,
            requested=Amounts(
                cpu=resources.cpu, memory=resources.memory, gpu_memory=getattr(resources.gpu, "memory", None)
            ),
            observed=Amounts(cpu=usage.cpu, memory=usage.memory, gpu_memory=usage.gpu_memory) if usage else _UNKNOWN,
            reason=cause_of(reason) if reason else None,
        )

    def life(self, member: Member) -> Life:
        replica = member.replica
        if replica.phase is not Phase.RUNNING:
            return Life(replica.phase.value)
        out = self.memory(member.group.key.deployment).leaving.get(place(member.cluster, replica.id))
        if out is not None:
            return Life.DRAINED if out >= member.group.template.stop.drain_within.ms else Life.DRAINING
        if (member.cluster, replica.id) in self.in_table:
            return Life.LISTED
        return Life.READY if member.ready else Life.STARTING

    # ---- clusters and quotas ----

    def cluster(self, name: str) -> ClusterStatus:
        spec, view = self.fleet.clusters[name], self.world.clusters.get(name)
        snapshot = view.snapshot if view is not None else None
        gone = view if isinstance(view, Unreachable) else None
        return ClusterStatus(
            name=name,
            backend=spec.backend,
            state=spec.state,
            unreachable_since=gone.since if gone else None,
            error=gone.error if gone else "" if isinstance(view, Reachable) else "not observed yet",
            abilities=_abilities(snapshot.capabilities) if snapshot else None,
            nodes=tuple(self.nodes(name, snapshot)) if snapshot else (),
            foreign_owners=tuple(sorted(snapshot.foreign_owners)) if snapshot else (),
        )

    def nodes(self, cluster: str, snapshot: Snapshot) -> Iterator[NodeStatus]:
        there: dict[str, list[Member]] = {}
        for name, _, _, member in self.holders():
            if name == cluster and member.replica.node is not None:
                there.setdefault(member.replica.node, []).append(member)
        for node in sorted(snapshot.nodes, key=lambda one: one.name):
            yield _node(node, there.get(node.name, []))

    def quota(self, owner: str, quota: Quota) -> QuotaStatus:
        held = sum((use_of(group.template.resources) for _, who, group, _ in self.holders() if who == owner), Use())
        return QuotaStatus(
            owner=owner,
            cpu=Cpus(held.cpu),
            cpu_limit=quota.cpu,
            memory=Memory(held.memory),
            memory_limit=quota.memory,
            gpu=held.gpu,
            gpu_limit=quota.gpu,
        )


def _node(node: Node, members: list[Member]) -> NodeStatus:
    given = sum((use_of(member.group.template.resources) for member in members), Use())
    return NodeStatus(
        name=node.name,
        schedulable=node.schedulable,
        replicas=len(members),
        cpu=node.cpu,
        cpu_given=Cpus(given.cpu),
        cpu_foreign=node.foreign_cpu,
        memory=node.memory,
        memory_given=Memory(given.memory),
        memory_foreign=node.foreign_memory,
        devices=tuple(_device(device, members) for device in node.devices),
    )


def _device(device: Device, members: list[Member]) -> DeviceStatus:
    given = 0
    for member in members:
        if device.id in member.replica.devices:
            gpu = member.group.template.resources.gpu
            given += gpu.share.milli if isinstance(gpu, GpuPart) else 1000
    return DeviceStatus(id=device.id, model=device.model, memory=device.memory, given=given, foreign=device.foreign)


def _conditions(
    *,
    wanted: int,
    floor: int,
    groups: tuple[GroupStatus, ...],
    serving: int,
    state: RolloutState,
    why: tuple[Cause, ...],
) -> tuple[Condition, ...]:
    current = sum(min(one.ready, one.target) for one in groups if one.current)
    blocked = next((str(cause) for cause in why if cause.code in CANNOT_BE_PLACED), "")
    return (
        Condition(
            name=ConditionName.READY,
            holds=current >= wanted,
            text=f"{current} of {wanted} ready at the wanted revision",
        ),
        Condition(name=ConditionName.PLACED, holds=not blocked, text=blocked or "everything wanted has a place"),
        Condition(name=ConditionName.PROGRESSING, holds=state is RolloutState.PROGRESSING, text=state.value),
        Condition(name=ConditionName.DEGRADED, holds=serving < floor, text=f"{serving} serving, the floor is {floor}"),
    )
