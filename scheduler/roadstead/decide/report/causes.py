"""Reasons as they are shown: equal ones counted together, the most telling first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from roadstead.decide.passing import wrong_with
from roadstead.model import Fleet
from roadstead.plans import Plan
from roadstead.reasons import Change, Reason, ReasonCode
from roadstead.traffic import Seen
from roadstead.world import Member, ModelStatus, Phase, Shard, World

__all__ = [
    "CANNOT_BE_PLACED",
    "Cause",
    "Remedy",
    "cause_of",
    "causes",
    "gateway_reason",
    "member_reason",
    "notices",
    "remedy_of",
    "smallest",
]

CANNOT_BE_PLACED = frozenset(
    {
        ReasonCode.NO_CAPACITY,
        ReasonCode.NO_MATCHING_NODE,
        ReasonCode.UNSUPPORTED,
        ReasonCode.QUOTA,
        ReasonCode.DISABLED,
        ReasonCode.ROLLOUT_HELD,
    }
)
"""Reasons that waiting does not take away: somebody has to make room, or ask for less."""

# What explains other reasons stands before what follows from them: a replica is not ready *because* it ran out of
# memory.
_ORDER: Mapping[ReasonCode, int] = MappingProxyType(
    {
        code: place
        for place, code in enumerate(
            (
                ReasonCode.UNREACHABLE,
                ReasonCode.FOREIGN_OWNER,
                ReasonCode.CONTESTED,
                ReasonCode.DRIFT,
                ReasonCode.DISABLED,
                ReasonCode.UNSUPPORTED,
                ReasonCode.CONFIG,
                ReasonCode.IMAGE,
                ReasonCode.OUT_OF_MEMORY,
                ReasonCode.MODEL,
                ReasonCode.CRASH,
                ReasonCode.LOST,
                ReasonCode.QUOTA,
                ReasonCode.NO_MATCHING_NODE,
                ReasonCode.NO_CAPACITY,
                ReasonCode.PAUSED,
                ReasonCode.ROLLOUT_FAILED,
                ReasonCode.ROLLOUT_HELD,
                ReasonCode.REFUSED,
                ReasonCode.BACK_OFF,
                ReasonCode.GATEWAY,
                ReasonCode.GATED,
                ReasonCode.OVER_LIMIT,
                ReasonCode.UNMEASURED,
                ReasonCode.ORPHANED,
                ReasonCode.DRAINING,
                ReasonCode.NOT_READY,
                ReasonCode.STARTING,
            )
        )
    }
)


@attrs.frozen(kw_only=True)
class Remedy:
    """A change that would be enough by itself, for programs.

    ``subject`` is what is changed: a key of the deployment, a node, a cluster, an owner's quota. ``amounts`` are by
    name, in the smallest unit (milli-cores, bytes, thousandths of a GPU): the values to set, how many ``fewer`` or
    ``more``, and for a node what has to become free there.
    """

    kind: str
    subject: str
    amounts: Mapping[str, int]
    text: str


def remedy_of(change: Change) -> Remedy:
    """Return a change as programs are told it."""
    return Remedy(
        kind=change.kind.name.lower().replace("_", "-"),
        subject=change.subject,
        amounts=MappingProxyType({one.what: one.value for one in change.amounts}),
        text=change.text,
    )


@attrs.frozen(kw_only=True)
class Cause:
    """One reason as a person reads it.

    ``count`` of ``total`` things are concerned, both 0 where nothing was counted. ``raw`` is what the orchestrator,
    the kernel or the server said, ``change`` the smallest change that would be enough by itself; both are empty where
    there is none. ``remedy`` is that change for programs.
    """

    code: ReasonCode
    detail: str
    count: int
    total: int
    raw: str
    change: str
    remedy: Remedy | None

    def __str__(self) -> str:
        counted = f" ({self.count}/{self.total})" if self.total else ""
        return f"{self.code.value}{counted}: {self.detail}"


def member_reason(member: Member) -> Reason | None:
    """Return why this replica does not serve as it should, or ``None`` if it does or nobody can tell."""
    replica, model = member.replica, member.model
    if model is not None and model.incarnation == replica.incarnation and model.status is ModelStatus.FAILED:
        kept = " version that it was told to, and serves what it has" if member.ready else ""
        detail = f"the server cannot load the{kept or ' model'}"
        return Reason(code=ReasonCode.MODEL, detail=detail, raw=model.error)
    if replica.reason is not None:
        return replica.reason
    if replica.phase is Phase.RUNNING and not member.ready:
        if model is not None and model.status is ModelStatus.LOADING:
            return Reason(code=ReasonCode.STARTING, detail="the server is loading the model")
        return Reason(
            code=ReasonCode.NOT_READY,
            detail="the server runs and its model is not available",
            raw=model.error if model else "",
        )
    if replica.phase is Phase.STARTING:
        return Reason(code=ReasonCode.STARTING, detail="the server is being started")
    return None


def causes(world: World, plan: Plan, deployment: str) -> tuple[Cause, ...]:
    """Return everything that stands between a deployment and what was asked for, the most telling first."""
    return _merged(_all_reasons(world, plan, deployment))


def smallest(world: World, plan: Plan, deployment: str) -> Change | None:
    """Return the cheapest of the changes that would be enough by themselves, or ``None`` where none is known."""
    changes = [reason.change for reason in _all_reasons(world, plan, deployment) if reason.change is not None]
    return min(changes, default=None)


def notices(fleet: Fleet, world: World, plan: Plan) -> tuple[Cause, ...]:
    """Return what is held for no deployment of the fleet.

    Orphans are told elsewhere. What is wrong with gateways is no news before there is anything behind one.
    """
    untold = {ReasonCode.ORPHANED}
    if not any(name in world.shards and world.shards[name].members for name in world.data_path.via):
        untold.add(ReasonCode.GATEWAY)
    return tuple(
        cause_of(held.reason)
        for held in plan.held
        if held.deployment not in fleet.deployments and held.reason.code not in untold
    )


def gateway_reason(world: World, deployment: str) -> Reason | None:
    """Return what is wrong with the whole gateway of a deployment, as far as it concerns that one.

    A gateway that answers may have a problem with another deployment, or with a newer table than the one in force: that
    concerns nobody whose ready replicas all get requests.
    """
    name = world.data_path.via.get(deployment)
    state = world.data_path.gateways.get(name) if name is not None else None
    if name is None or state is None:
        return None
    route, shard = world.data_path.routes(name).get(deployment), world.shards.get(deployment)
    if isinstance(state, Seen) and route is not None:
        complete = shard is None or len(shard.serving) == len(shard.ready)
        if route.problem or complete:
            return None
    return wrong_with(name, state)


def _all_reasons(world: World, plan: Plan, deployment: str) -> list[Reason]:
    shard = world.shards.get(deployment, Shard(deployment=deployment))
    found = [held.reason for held in plan.held if held.deployment == deployment]
    gateway = gateway_reason(world, deployment) if shard.members else None
    # What is held because of the whole gateway says already what is wrong with it.
    if gateway is not None and all((one.code, one.raw) != (gateway.code, gateway.raw) for one in found):
        found.append(gateway)
    found += [group.reason for _, group in shard.groups if group.reason is not None]
    found += [reason for member in shard.members if (reason := member_reason(member)) is not None]
    return found


def cause_of(reason: Reason) -> Cause:
    """Return one reason as it is shown."""
    return Cause(
        code=reason.code,
        detail=reason.detail,
        count=reason.count,
        total=reason.total,
        raw=reason.raw,
        change=reason.change.text if reason.change else "",
        remedy=remedy_of(reason.change) if reason.change else None,
    )


def _merged(reasons: Iterable[Reason]) -> tuple[Cause, ...]:
    """Return the reasons without repetition: those that differ in nothing but their raw text count as one."""
    merged: dict[tuple[ReasonCode, str], Cause] = {}
    times: dict[tuple[ReasonCode, str], int] = {}
    for reason in reasons:
        key = (reason.code, reason.detail)
        seen = merged.setdefault(key, cause_of(reason))
        times[key] = times.get(key, 0) + 1
        raw = seen.raw if reason.raw in seen.raw else f"{seen.raw}\n{reason.raw}".strip()
        merged[key] = attrs.evolve(seen, raw=raw)
    counted = [
        cause if cause.total or times[key] == 1 else attrs.evolve(cause, count=times[key], total=times[key])
        for key, cause in merged.items()
    ]
    return tuple(sorted(counted, key=lambda cause: (_ORDER[cause.code], cause.detail)))
