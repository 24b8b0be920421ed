"""How a status is derived from the fleet, the world and the plan made of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import attrs

from roadstead.decide.report.causes import (
    CANNOT_BE_PLACED,
    Cause,
    cause_of,
    causes,
    gateway_reason,
    member_reason,
    notices,
)
from roadstead.decide.report.movements import places_for, should_be_on
from roadstead.decide.report.orders import intents_of
from roadstead.decide.report.places import clusters_of, quotas_of
from roadstead.decide.report.routes import (
    AddressStatus,
    address_of,
    gateways_of,
    load_of,
    replica_load,
    shunned,
    way_of,
)
from roadstead.decide.report.scaling import scaling_of
from roadstead.decide.report.server_loads import server_load_of
from roadstead.decide.report.status import (
    Amounts,
    Condition,
    ConditionName,
    DeploymentStatus,
    FleetStatus,
    GroupStatus,
    Life,
    Orphan,
    ReplicaStatus,
    RolloutState,
    Service,
)
from roadstead.decide.scaling import is_removed
from roadstead.decide.steering import steered
from roadstead.memory import DeploymentMemory, GroupMemory, place
from roadstead.model import Deployment, Fleet
from roadstead.plans import Plan, deployment_of
from roadstead.reasons import ReasonCode
from roadstead.traffic import Seen
from roadstead.units import Duration
from roadstead.world import Endpoint, Group, Member, Phase, Shard, World

__all__ = ["fleet_status"]

_UNKNOWN = Amounts(cpu=None, memory=None, gpu_memory=None)

# What is known of the replicas may not be so any more, or requests do not get to them.
_CUT_OFF = frozenset({ReasonCode.UNREACHABLE, ReasonCode.GATEWAY})


def fleet_status(fleet: Fleet, world: World, plan: Plan, now: int, service: Service) -> FleetStatus:
    """Return how the fleet is, as ``plan`` was made from ``fleet`` and ``world`` at ``now``."""
    scene = _Scene(fleet=fleet, world=world, plan=plan, now=now)
    named = set(fleet.deployments)
    return FleetStatus(
        fleet=fleet.name,
        at=now,
        service=service,
        deployments=tuple(scene.deployment(steered(fleet, one)) for _, one in sorted(fleet.deployments.items())),
        clusters=tuple(clusters_of(fleet, world)),
        gateways=tuple(gateways_of(fleet, world)),
        quotas=tuple(quotas_of(fleet, world, plan.memory)),
        orphans=tuple(
            _orphan(fleet, world, shard)
            for name, shard in sorted(world.shards.items())
            if name not in named and shard.groups
        ),
        intents=intents_of(fleet),
        notices=notices(fleet, world, plan),
    )


def _orphan(fleet: Fleet, world: World, shard: Shard) -> Orphan:
    return Orphan(
        deployment=shard.deployment,
        clusters=tuple(dict.fromkeys(cluster for cluster, _ in shard.groups)),
        replicas=sum(1 for member in shard.members if member.replica.phase is not Phase.LOST),
        address=address_of(fleet, world, shard.deployment),
        removing=is_removed(fleet, shard.deployment),
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

    # ---- one deployment ----

    def deployment(self, declared: Deployment) -> DeploymentStatus:
        shard = self.world.shards.get(declared.name, Shard(deployment=declared.name))
        replicas = tuple(self.replica(member) for member in shard.members)
        should = should_be_on(self.fleet, self.plan, declared)
        groups = tuple(self.group(declared, cluster, group, shard, should) for cluster, group in shard.groups)
        wanted = self.plan.wanted.get(declared.name, declared.replicas)
        why = causes(self.world, self.plan, declared.name)
        address = address_of(self.fleet, self.world, declared.name)
        listed = sum(1 for one in replicas if one.life is Life.LISTED)
        ready = sum(1 for one in replicas if one.life in (Life.READY, Life.LISTED))
        serving = self.serving(declared.name, ready=ready, listed=listed)
        state = self.state(declared, groups, shard, wanted, should)
        reached = {(one.cluster, one.id) for one in replicas if one.life is Life.LISTED}
        floor = self.plan.floor.get(declared.name, 0)
        first = declared.targets[0].template
        return DeploymentStatus(
            name=declared.name,
            owner=declared.owner,
            model=first.model.name,
            version=first.model.version,
            declared=declared.replicas,
            wanted=wanted,
            scaling=scaling_of(declared, self.plan),
            floor=floor,
            ready=ready,
            listed=listed,
            serving=serving,
            address=address,
            load=load_of(self.world, declared.name),
            server_load=server_load_of(self.world, shard.members, self.now),
            strategy=declared.rollout.strategy.value,
            progress_deadline=declared.rollout.progress_deadline,
            state=state,
            conditions=(
                *_conditions(wanted=wanted, floor=floor, groups=groups, serving=serving, state=state, why=why),
                _routed(declared, address),
            ),
            causes=why,
            places=places_for(should, shard, reached),
            groups=groups,
            replicas=replicas,
        )

    def group(
        self, declared: Deployment, cluster: str, group: Group, shard: Shard, should: Mapping[str, int]
    ) -> GroupStatus:
        target = declared.target_on(cluster)
        current = target is not None and target.revision == group.key.revision and _is_wanted(cluster, should)
        learnt = self.memory(declared.name).groups.get(place(cluster, group.key), GroupMemory())
        members = [one for one in shard.members if one.cluster == cluster and one.group.key == group.key]
        version = group.template.model.version
        # Where replicas reload, verdicts are about versions, and the file's may not be the one that they are to load.
        wanted = target.template.model.version if target is not None and current else version
        return GroupStatus(
            cluster=cluster,
            revision=group.key.revision,
            generation=group.generation,
            version=version,
            target=group.target,
            ready=sum(one.ready for one in members),
            updated=sum(one.is_current for one in members) if version == wanted else 0,
            current=current,
            proven=learnt.has_proven(version) if group.reloading is not None else learnt.proven,
            failed=learnt.has_failed(wanted) if group.reloading is not None else learnt.failed,
            trying=Duration(learnt.trying_ms),
            served=tuple(one.version for one in learnt.served),
        )

    def state(
        self,
        declared: Deployment,
        groups: tuple[GroupStatus, ...],
        shard: Shard,
        wanted: int,
        should: Mapping[str, int],
    ) -> RolloutState:
        current = [one for one in groups if one.current]
        others = [one for one in groups if not one.current]
        if is_removed(self.fleet, declared.name):
            return RolloutState.REMOVING
        if any(one.deployment == declared.name and one.reason.code is ReasonCode.PAUSED for one in self.plan.held):
            return RolloutState.PAUSED
        if any(one.failed for one in current):
            older = any(one.target for one in others) or any(one.ready > one.updated for one in current)
            return RolloutState.ROLLED_BACK if older else RolloutState.FAILED
        present = [one for one in shard.members if one.replica.phase is not Phase.LOST]
        complete = sum(one.target for one in current) == wanted == sum(min(one.updated, one.target) for one in current)
        complete = complete and all(
            count == sum(one.target for one in current if one.cluster == cluster) for cluster, count in should.items()
        )
        if complete and len(present) == wanted and not any(one.target for one in others):
            return self.when_complete(declared.name, shard)
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

    def when_complete(self, name: str, shard: Shard) -> RolloutState:
        """Return the state of a deployment whose replicas are as asked: whether requests get to them is still open."""
        held = any(one.deployment == name and one.reason.code in _CUT_OFF for one in self.plan.held)
        if held or gateway_reason(self.world, name) is not None:
            return RolloutState.HELD
        return RolloutState.SETTLED if len(shard.serving) == len(shard.ready) else RolloutState.PROGRESSING

    def serving(self, name: str, *, ready: int, listed: int) -> int | None:
        gateway = self.world.data_path.via.get(name)
        if gateway is None or not ready:
            return ready
        return listed if isinstance(self.world.data_path.gateways.get(gateway), Seen) else None

    # ---- one replica ----

    def replica(self, member: Member) -> ReplicaStatus:
        replica, resources = member.replica, member.group.template.resources
        endpoint = replica.endpoint or Endpoint(host="", grpc=None, rest=None)
        usage = self.world.usage.get(replica.id)
        way = way_of(self.world, member)
        reason = member_reason(member) or shunned(way)
        return ReplicaStatus(
            id=replica.id,
            cluster=member.cluster,
            revision=member.group.key.revision,
            versions=_versions(member),
            node=replica.node,
            life=self.life(member),
            stale=not member.reachable,
            way=way,
            grace_left=self.grace_left(member),
            host=endpoint.host or None,
            grpc=endpoint.grpc,
            rest=endpoint.rest,
            restarts=replica.restarts,
            age=Duration(max(0, self.now - replica.started_at)) if replica.started_at is not None else None,
            requested=Amounts(
                cpu=resources.cpu, memory=resources.memory, gpu_memory=getattr(resources.gpu, "memory", None)
            ),
            observed=Amounts(cpu=usage.cpu, memory=usage.memory, gpu_memory=usage.gpu_memory) if usage else _UNKNOWN,
            load=replica_load(self.world, member),
            server_load=server_load_of(self.world, [member], self.now),
            reason=cause_of(reason) if reason else None,
        )

    def life(self, member: Member) -> Life:
        replica = member.replica
        if replica.phase is not Phase.RUNNING:
            return Life(replica.phase.value)
        leaves = place(member.cluster, replica.id) in self.memory(member.group.key.deployment).leaving
        if member.passage is not None:
            listed = member.passage.serving
        else:
            listed = not leaves and (member.cluster, replica.id) in self.in_table
        if listed:
            return Life.LISTED
        if leaves:
            left = self.grace_left(member)
            return Life.DRAINED if member.is_idle or (left is not None and left.ms == 0) else Life.DRAINING
        return Life.READY if member.ready else Life.STARTING

    def grace_left(self, member: Member) -> Duration | None:
        key = place(member.cluster, member.replica.id)
        out = self.memory(member.group.key.deployment).leaving.get(key)
        return Duration(max(0, member.group.template.stop.drain_within.ms - out)) if out is not None else None


def _is_wanted(cluster: str, should: Mapping[str, int]) -> bool:
    """Return whether replicas should be on a cluster, or should be if any should be anywhere."""
    return bool(should.get(cluster)) or (cluster in should and not any(should.values()))


def _versions(member: Member) -> tuple[int, ...] | None:
    """Return the model versions that a server says it serves, if it was asked since it runs."""
    model = member.model
    return model.versions if model is not None and model.incarnation == member.replica.incarnation else None


def _routed(declared: Deployment, address: AddressStatus | None) -> Condition:
    if address is None:
        missing = declared.via is not None
        text = "it has no address yet" if missing else "clients follow the list of endpoints"
        return Condition(name=ConditionName.ROUTED, holds=not missing, text=text)
    where = f"{address.authority} of gateway {address.gateway}"
    if address.problem:
        return Condition(name=ConditionName.ROUTED, holds=False, text=f"{where}: {address.problem}")
    text = where if address.served else f"{where} is being set up"
    return Condition(name=ConditionName.ROUTED, holds=address.served, text=text)


def _degraded(serving: int | None, floor: int) -> Condition:
    if serving is None:
        text = f"how many are serving is not known, the floor is {floor}"
        return Condition(name=ConditionName.DEGRADED, holds=floor > 0, text=text)
    return Condition(
        name=ConditionName.DEGRADED, holds=serving < floor, text=f"{serving} serving, the floor is {floor}"
    )


def _conditions(
    *,
    wanted: int,
    floor: int,
    groups: tuple[GroupStatus, ...],
    serving: int | None,
    state: RolloutState,
    why: tuple[Cause, ...],
) -> tuple[Condition, ...]:
    current = sum(min(one.updated, one.target) for one in groups if one.current)
    blocked = next((str(cause) for cause in why if cause.code in CANNOT_BE_PLACED), "")
    return (
        Condition(
            name=ConditionName.READY,
            holds=current >= wanted,
            text=f"{current} of {wanted} ready at the wanted revision",
        ),
        Condition(name=ConditionName.PLACED, holds=not blocked, text=blocked or "everything wanted has a place"),
        Condition(name=ConditionName.PROGRESSING, holds=state is RolloutState.PROGRESSING, text=state.value),
        _degraded(serving, floor),
    )
