"""Why a deployment is as it is, and what would be enough to change it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from roadstead.decide.report.causes import Cause, Remedy, causes, remedy_of, smallest
from roadstead.decide.report.orders import IntentStatus
from roadstead.decide.report.routes import AddressStatus, LoadStatus, Way
from roadstead.decide.report.scaling import ScalingStatus
from roadstead.decide.report.status import DeploymentStatus, Life, ReplicaStatus, RolloutState
from roadstead.plans import Plan
from roadstead.units import Duration, Memory
from roadstead.world import Member, Shard, World

__all__ = ["AtLimit", "Explanation", "LastExit", "Overdue", "Passing", "Waiting", "explanation"]

_NEARLY = 95
"""From how many hundredths of a limit on a replica counts as being at it: enforcement holds it a little below."""


@attrs.frozen(kw_only=True)
class LastExit:
    """How a replica's server last ended.

    ``ago`` is how long before the explanation, ``restarts`` how often that happened.
    """

    cluster: str
    replica: str
    ago: Duration
    code: int | None
    signal: int | None
    out_of_memory: bool
    restarts: int


@attrs.frozen(kw_only=True)
class Waiting:
    """Something that failed ``failures`` times in a row and is tried again after ``wait``."""

    subject: str
    failures: int
    wait: Duration
    code: str
    text: str


@attrs.frozen(kw_only=True)
class AtLimit:
    """A replica that uses all that it may of one resource: of CPU it is made to wait, of memory it is near its end."""

    replica: str
    resource: str
    observed: str
    limit: str


@attrs.frozen(kw_only=True)
class Passing:
    """How requests get to one replica, and what it has of them.

    While it leaves, ``grace_left`` of ``grace`` is left for what is in flight; ``None`` where that is not counted.
    """

    cluster: str
    replica: str
    life: Life
    way: Way
    load: LoadStatus
    grace: Duration
    grace_left: Duration | None


@attrs.frozen(kw_only=True)
class Overdue:
    """A replica that was stopped at ``at`` (ms since the epoch) while requests to it were in flight."""

    at: int
    replica: str
    text: str


@attrs.frozen(kw_only=True)
class Explanation:
    """Why ``deployment`` is as it is.

    ``passing`` says where requests to ``address`` go, and is empty where there is no gateway. ``overdue`` is past: it
    is filled in by whoever has the event log.
    ``scaling`` is how load decides how many are wanted, ``None`` where it does not.
    ``orders`` is what commands asked for on top of the file. ``change`` is the cheapest change that would be enough by
    itself, empty where none is known.
    """

    deployment: str
    state: RolloutState
    summary: str
    wanted: int
    scaling: ScalingStatus | None
    floor: int
    ready: int
    listed: int
    serving: int | None
    address: AddressStatus | None
    load: LoadStatus
    passing: tuple[Passing, ...]
    orders: tuple[IntentStatus, ...]
    causes: tuple[Cause, ...]
    exits: tuple[LastExit, ...]
    waiting: tuple[Waiting, ...]
    at_limit: tuple[AtLimit, ...]
    change: str
    remedy: Remedy | None
    overdue: tuple[Overdue, ...]


def explanation(
    status: DeploymentStatus, world: World, plan: Plan, now: int, orders: tuple[IntentStatus, ...] = ()
) -> Explanation:
    """Return why the deployment of ``status`` is as it is; ``orders`` are the intents of the fleet."""
    shard = world.shards.get(status.name, Shard(deployment=status.name))
    why = causes(world, plan, status.name)
    change = smallest(world, plan, status.name)
    return Explanation(
        deployment=status.name,
        state=status.state,
        summary=_summary(status),
        wanted=status.wanted,
        scaling=status.scaling,
        floor=status.floor,
        ready=status.ready,
        listed=status.listed,
        serving=status.serving,
        address=status.address,
        load=status.load,
        passing=tuple(_passing(status, shard)),
        orders=tuple(one for one in orders if one.deployment == status.name),
        causes=why,
        exits=tuple(one for member in shard.members if (one := _exit(member, now)) is not None),
        waiting=_waiting(shard, plan, now),
        at_limit=tuple(one for replica in status.replicas for one in _at_limit(replica)),
        change=change.text if change else "",
        remedy=remedy_of(change) if change else None,
        overdue=(),
    )


def _summary(status: DeploymentStatus) -> str:
    counted = f"{'?' if status.serving is None else status.serving} of {status.wanted} serving"
    match status.state:
        case RolloutState.SETTLED:
            return f"as asked: {counted}"
        case RolloutState.PROGRESSING:
            return f"on its way: {counted}"
        case RolloutState.HELD:
            return f"held: {counted}, and nothing more can be done now"
        case RolloutState.PAUSED:
            return f"paused by command: {counted}"
        case RolloutState.ROLLED_BACK:
            return f"rolled back: what the file asks for failed, what was there before serves ({counted})"
        case RolloutState.FAILED:
            return f"failed: {counted}, and there is no older revision"
        case RolloutState.REMOVING:
            return f"being removed: {len(status.replicas)} left"


def _passing(status: DeploymentStatus, shard: Shard) -> Iterator[Passing]:
    graces = {(one.cluster, one.replica.id): one.group.template.stop.drain_within for one in shard.members}
    for replica in status.replicas:
        if replica.way is not None and not (replica.way is Way.OUT and replica.host is None):
            yield Passing(
                cluster=replica.cluster,
                replica=replica.id,
                life=replica.life,
                way=replica.way,
                load=replica.load,
                grace=graces[replica.cluster, replica.id],
                grace_left=replica.grace_left,
            )


def _exit(member: Member, now: int) -> LastExit | None:
    ended = member.replica.last_exit
    if ended is None:
        return None
    return LastExit(
        cluster=member.cluster,
        replica=member.replica.id,
        ago=Duration(max(0, now - ended.at)),
        code=ended.code,
        signal=ended.signal,
        out_of_memory=ended.out_of_memory,
        restarts=member.replica.restarts,
    )


def _at_limit(replica: ReplicaStatus) -> Iterator[AtLimit]:
    cpu, may_cpu = replica.observed.cpu, replica.requested.cpu
    if cpu is not None and may_cpu is not None and cpu.milli * 100 >= may_cpu.milli * _NEARLY:
        yield AtLimit(replica=replica.id, resource="cpu", observed=str(cpu), limit=str(may_cpu))
    memory, may_memory = replica.observed.memory, replica.requested.memory
    if memory is not None and may_memory is not None and memory.bytes * 100 >= may_memory.bytes * _NEARLY:
        whole = Memory(memory.bytes - memory.bytes % 2**20)
        yield AtLimit(replica=replica.id, resource="memory", observed=str(whole), limit=str(may_memory))


def _waiting(shard: Shard, plan: Plan, now: int) -> tuple[Waiting, ...]:
    subjects = {f"{cluster}/{group.key}" for cluster, group in shard.groups}
    subjects |= {f"{member.cluster}/{member.replica.id}" for member in shard.members}
    return tuple(
        Waiting(
            subject=subject,
            failures=one.failures,
            wait=Duration(max(0, one.wait_ms - max(0, now - one.at))),
            code=one.code,
            text=one.text,
        )
        for subject, one in sorted(plan.memory.back_off.items())
        if subject in subjects
    )
