"""What the next turn would do, and what would remain to be done after it, as values for people and programs."""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from roadstead.decide.report.causes import CANNOT_BE_PLACED, Cause, cause_of, causes, notices
from roadstead.decide.report.differences import FieldChange, differences
from roadstead.decide.report.foresight import FORESEEN
from roadstead.decide.report.movements import should_be_on
from roadstead.decide.report.orders import IntentStatus, intents_of
from roadstead.decide.report.quotas import QuotaChange, quota_changes
from roadstead.decide.report.rerouting import AddressChange, address_change, rerouting
from roadstead.decide.report.scaling import ScalingStatus, scaling_of
from roadstead.decide.report.steps import StepView, step_views
from roadstead.decide.scaling import is_removed
from roadstead.decide.steering import steered
from roadstead.model import Deployment, Fleet
from roadstead.plans import Bind, Plan, Step, deployment_of
from roadstead.reasons import ReasonCode
from roadstead.world import Group, Phase, Shard, World

__all__ = ["Action", "DeploymentPlan", "Moved", "Placed", "PlanView", "plan_view"]


@enum.unique
class Action(enum.Enum):
    """What happens to a deployment, on its way to what the file asks for."""

    CREATE = "create"
    REPLACE = "replace"
    RELOAD = "reload"
    SCALE = "scale"
    MOVE = "move"
    REPAIR = "repair"
    ROUTE = "route"
    DELETE = "delete"
    HELD = "held"
    NONE = "none"


@attrs.frozen(kw_only=True)
class Placed:
    """Where a replica goes; ``replica`` is empty for one that does not exist yet."""

    cluster: str
    replica: str
    node: str
    devices: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Moved:
    """How many replicas a cluster was asked for, and how many it should end with."""

    cluster: str
    was: int
    wanted: int


@attrs.frozen(kw_only=True)
class DeploymentPlan:
    """One deployment that is not as the file asks, and the way there.

    ``was`` and ``wanted`` count replicas, and ``scaling`` is how load decides that, ``None`` where it does not;
    ``floor`` is how many serving ones our own actions leave it during the change; ``pending`` counts replicas that are
    wanted, have no node, and will get none next. ``address`` is ``None`` where clients go on connecting as they do.
    ``moved`` are clusters of which some come to have more and some less, and empty where none are both. ``held`` is
    what is not done, and why.
    """

    name: str
    action: Action
    clusters: tuple[str, ...]
    revision: str
    version: int
    strategy: str
    was: int
    wanted: int
    scaling: ScalingStatus | None
    floor: int
    pending: int
    changes: tuple[FieldChange, ...]
    address: AddressChange | None
    moved: tuple[Moved, ...]
    placed: tuple[Placed, ...]
    steps: tuple[StepView, ...]
    held: tuple[Cause, ...]

    @property
    def unplaceable(self) -> bool:
        """Whether something of it cannot be placed, or is over its owner's quota."""
        return any(cause.code in CANNOT_BE_PLACED for cause in self.held)


@attrs.frozen(kw_only=True)
class PlanView:
    """What would be done now; ``at`` is in milliseconds since the epoch, ``turn`` the turn that would do it.

    ``intents`` is what commands asked for on top of the file. ``orphans`` are deployments, and ``vanished`` are
    gateways, that the file names no more: they are left as they are until somebody confirms that they go.
    """

    fleet: str
    at: int
    turn: int
    deployments: tuple[DeploymentPlan, ...]
    unchanged: int
    intents: tuple[IntentStatus, ...]
    orphans: tuple[str, ...]
    vanished: tuple[str, ...]
    quotas: tuple[QuotaChange, ...]
    notices: tuple[Cause, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do: nothing would change, and nothing is held back."""
        return not self.deployments

    @property
    def unplaceable(self) -> bool:
        """Whether anything wanted cannot be placed, or is over a quota."""
        return any(one.unplaceable for one in self.deployments)

    def count(self, action: Action) -> int:
        """Return how many deployments have this action before them."""
        return sum(1 for one in self.deployments if one.action is action)


def plan_view(fleet: Fleet, world: World, plan: Plan, now: int, then: Plan | None = None) -> PlanView:
    """Return what ``plan``, made from ``fleet`` and ``world`` at ``now``, would do.

    ``then`` is the plan for :func:`~roadstead.decide.report.foresight.grown`, with the memory of ``plan``: with it, the
    view says where replicas go that do not exist yet.
    """
    steps: dict[str, list[Step]] = {}
    for step in plan.steps:
        steps.setdefault(deployment_of(step), []).append(step)
    names = sorted({*fleet.deployments, *steps})
    foreseen = _foreseen(then) if then is not None else {}
    all_of_them = [
        _deployment(fleet, world, plan, name, steps.get(name, []), foreseen.get(name, _Foreseen())) for name in names
    ]
    changed = tuple(one for one in all_of_them if one.action is not Action.NONE)
    return PlanView(
        fleet=fleet.name,
        at=now,
        turn=plan.memory.turn,
        deployments=changed,
        unchanged=len(all_of_them) - len(changed),
        intents=intents_of(fleet),
        orphans=tuple(sorted(name for name in world.shards if _is_orphan(fleet, world, name))),
        vanished=tuple(sorted(fleet.vanished)),
        quotas=tuple(quota_changes(fleet, world, plan)),
        notices=notices(fleet, world, plan),
    )


def _is_orphan(fleet: Fleet, world: World, name: str) -> bool:
    return name not in fleet.deployments and bool(world.shards[name].groups) and not is_removed(fleet, name)


@attrs.frozen
class _Foreseen:
    """What the turn after next does for one deployment: where new replicas go, and what holds those without a place."""

    placed: tuple[Placed, ...] = ()
    held: tuple[Cause, ...] = ()


def _foreseen(then: Plan) -> dict[str, _Foreseen]:
    found: dict[str, _Foreseen] = {}
    for step in then.steps:
        if isinstance(step, Bind) and step.replica.startswith(FORESEEN):
            seen = found.setdefault(step.group.deployment, _Foreseen())
            placed = Placed(cluster=step.cluster, replica="", node=step.node, devices=step.devices)
            found[step.group.deployment] = attrs.evolve(seen, placed=(*seen.placed, placed))
    for held in then.held:
        if held.reason.code in CANNOT_BE_PLACED:
            seen = found.setdefault(held.deployment, _Foreseen())
            found[held.deployment] = attrs.evolve(seen, held=(*seen.held, cause_of(held.reason)))
    return found


def _deployment(  # one deployment's part of each
    fleet: Fleet, world: World, plan: Plan, name: str, steps: list[Step], foreseen: _Foreseen
) -> DeploymentPlan:
    shard = world.shards.get(name, Shard(deployment=name))
    declared = fleet.deployments.get(name)
    declared = steered(fleet, declared) if declared is not None else None
    tally = _tally(fleet, plan, shard, declared)
    passing = _PASSING if tally.exists else _PASSING | {ReasonCode.GATEWAY}
    held = tuple(cause for cause in causes(world, plan, name) if cause.code not in passing)
    told = {cause.code for cause in held}
    held = (*held, *(cause for cause in foreseen.held if cause.code not in told))
    placed = (
        *(
            Placed(cluster=step.cluster, replica=step.replica, node=step.node, devices=step.devices)
            for step in steps
            if isinstance(step, Bind)
        ),
        *foreseen.placed,
    )
    moved = tuple(_moved(fleet, plan, shard, declared)) if declared is not None and not tally.gone else ()
    address = address_change(fleet, world, name) if declared is not None and not tally.gone else None
    route = rerouting(world, plan, name)
    return DeploymentPlan(
        name=name,
        action=_action(tally, steps, held, moves=bool(moved), routes=address is not None or route is not None),
        clusters=tuple(dict.fromkeys([*(step.cluster for step in steps), *_places(declared, shard)])),
        revision=_revision(declared, shard),
        version=declared.targets[0].template.model.version if declared is not None else 0,
        strategy=declared.rollout.strategy.value if declared is not None else "",
        was=tally.was,
        wanted=tally.wanted,
        scaling=scaling_of(declared, plan) if declared is not None and not tally.gone else None,
        floor=plan.floor.get(name, 0),
        pending=max(0, tally.wanted - _with_a_node(declared, shard) - len(placed)),
        changes=_changes(declared, tally) if declared is not None and not tally.gone else (),
        address=address,
        moved=moved,
        placed=placed,
        steps=tuple(step_views(steps, route)),
        held=held,
    )


@attrs.frozen(kw_only=True)
class _Tally:
    """What a deployment is before the change.

    ``replaced`` is the old group with replicas, and ``halfway`` says that its successor exists already. ``reloaded`` is
    a group whose replicas are to load another version in place.
    """

    exists: bool
    gone: bool
    was: int
    wanted: int
    replaced: Group | None
    halfway: bool
    reloaded: Group | None


def _tally(fleet: Fleet, plan: Plan, shard: Shard, declared: Deployment | None) -> _Tally:
    gone = declared is None or is_removed(fleet, shard.deployment)
    old = None if gone else _replaced(shard, declared)
    return _Tally(
        exists=bool(shard.groups),
        gone=gone,
        was=sum(group.target for _, group in shard.groups),
        wanted=0 if declared is None or gone else plan.wanted.get(declared.name, declared.replicas),
        replaced=old,
        halfway=old is not None and any(_current(declared, cluster, group) for cluster, group in shard.groups),
        reloaded=None if gone else _reloaded(shard, declared),
    )


def _moved(fleet: Fleet, plan: Plan, shard: Shard, declared: Deployment) -> Iterator[Moved]:
    should = should_be_on(fleet, plan, declared)
    was = {cluster: sum(one.target for where, one in shard.groups if where == cluster) for cluster, _ in shard.groups}
    changes = {cluster: should.get(cluster, 0) - was.get(cluster, 0) for cluster in {**should, **was}}
    if min(changes.values(), default=0) < 0 < max(changes.values(), default=0):
        for cluster, change in changes.items():
            if change:
                before = was.get(cluster, 0)
                yield Moved(cluster=cluster, was=before, wanted=before + change)


def _revision(declared: Deployment | None, shard: Shard) -> str:
    if declared is not None:
        return declared.targets[0].revision
    return shard.groups[-1][1].key.revision if shard.groups else ""


def _with_a_node(declared: Deployment | None, shard: Shard) -> int:
    return sum(
        1
        for one in shard.members
        if one.replica.node is not None
        and one.replica.phase is not Phase.LOST
        and _current(declared, one.cluster, one.group)
    )


# What passes by itself and is no obstacle to a plan: a server that is being started is on its way. So is, for what does
# not exist yet, its gateway, which may not have had anything to serve.
_PASSING = frozenset({ReasonCode.STARTING, ReasonCode.NOT_READY, ReasonCode.DRAINING})


def _places(declared: Deployment | None, shard: Shard) -> list[str]:
    return (
        [target.cluster for target in declared.targets[:1]]
        if declared is not None
        else [cluster for cluster, _ in shard.groups]
    )


def _current(declared: Deployment | None, cluster: str, group: Group) -> bool:
    target = declared.target_on(cluster) if declared is not None else None
    return target is not None and target.revision == group.key.revision


def _replaced(shard: Shard, declared: Deployment | None) -> Group | None:
    """Return the newest group with replicas that the file no longer asks for, if there is one."""
    old = [
        group
        for cluster, group in shard.groups
        if not _current(declared, cluster, group)
        and (group.target or any(one.phase is not Phase.LOST for one in group.replicas))
    ]
    return max(old, key=lambda group: group.generation, default=None)


def _reloaded(shard: Shard, declared: Deployment | None) -> Group | None:
    """Return the first group of the wanted revision of which some replica does not serve the wanted version yet."""
    for cluster, group in shard.groups:
        target = declared.target_on(cluster) if declared is not None else None
        if target is not None and _current(declared, cluster, group) and group.reloading is not None:
            there = [one for one in shard.members if one.cluster == cluster and one.group.key == group.key]
            behind = any(one.ready and not one.is_current for one in there)
            if behind or group.template.model.wanted != target.template.model.wanted:
                return group
    return None


def _action(tally: _Tally, steps: list[Step], held: tuple[Cause, ...], *, moves: bool, routes: bool) -> Action:
    if tally.gone:
        return Action.DELETE if tally.exists and (steps or tally.was) else Action.NONE
    if tally.replaced is not None:
        return Action.REPLACE
    if held and not steps:
        return Action.HELD
    if tally.reloaded is not None:
        return Action.RELOAD
    if not tally.exists:
        return Action.CREATE if steps else Action.NONE
    if moves:
        return Action.MOVE
    if tally.was != tally.wanted:
        return Action.SCALE
    return Action.REPAIR if steps else Action.ROUTE if routes else Action.NONE


def _changes(declared: Deployment, tally: _Tally) -> tuple[FieldChange, ...]:
    found: tuple[FieldChange, ...] = ()
    old = tally.replaced or tally.reloaded
    if old is not None:
        found = differences(old.template, declared.targets[0].template, replaces=tally.replaced is not None)
        if old.owner != declared.owner:
            found = (*found, FieldChange(field="owner", old=old.owner, new=declared.owner, replaces=False))
    if tally.exists and tally.was != tally.wanted and not tally.halfway:
        found = (*found, FieldChange(field="replicas", old=str(tally.was), new=str(tally.wanted), replaces=False))
    return found
