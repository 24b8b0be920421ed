"""How the fleet is: every deployment, replica, cluster and quota, as values."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from roadstead.decide.report.causes import CANNOT_BE_PLACED, Cause
from roadstead.decide.report.movements import PlaceStatus
from roadstead.decide.report.orders import IntentStatus
from roadstead.decide.report.routes import AddressStatus, GatewayStatus, LoadStatus, Way
from roadstead.decide.report.scaling import ScalingStatus
from roadstead.decide.report.server_loads import ServerLoadStatus
from roadstead.model import ClusterState
from roadstead.units import Cpus, Duration, Memory

__all__ = [
    "Abilities",
    "Amounts",
    "ClusterStatus",
    "Condition",
    "ConditionName",
    "DeploymentStatus",
    "DeviceStatus",
    "FleetStatus",
    "GroupStatus",
    "IntentStatus",
    "Life",
    "NodeStatus",
    "Orphan",
    "QuotaStatus",
    "ReplicaStatus",
    "RolloutState",
    "Service",
    "endpoints",
]


@enum.unique
class Life(enum.Enum):
    """Where a replica is in its one life; ``LOST`` is the end that nobody asked for."""

    SLOT = "slot"
    STARTING = "starting"
    READY = "ready"
    LISTED = "listed"
    DRAINING = "draining"
    DRAINED = "drained"
    STOPPING = "stopping"
    LOST = "lost"


@enum.unique
class RolloutState(enum.Enum):
    """Where a deployment is on its way to what was asked for.

    ``HELD``: nothing is done now, with a reason. ``PAUSED``: a command holds it. ``ROLLED_BACK``: the wanted revision
    failed and an older one serves.
    ``FAILED``: it failed and there is no older one.
    """

    SETTLED = "settled"
    PROGRESSING = "progressing"
    HELD = "held"
    PAUSED = "paused"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"
    REMOVING = "removing"


@enum.unique
class ConditionName(enum.Enum):
    """The conditions of a deployment; each holds or not, with one sentence."""

    READY = "ready"
    PLACED = "placed"
    PROGRESSING = "progressing"
    DEGRADED = "degraded"
    ROUTED = "routed"


@attrs.frozen(kw_only=True)
class Condition:
    """One condition of a deployment."""

    name: ConditionName
    holds: bool
    text: str


@attrs.frozen(kw_only=True)
class Service:
    """Who answers: a daemon with its process id, or (``None``) a command that looked for itself and heals nothing.

    ``bad_file`` are the problems of a fleet file that was saved since and is not used, ``staged`` says that a good
    one waits for ``roadstead apply``. ``turn`` counts the turns of the reconciler that are done. ``failing_since`` is
    when turns began to fail (ms since the epoch), ``None`` while they do not: then all else is as of the last good one,
    and ``problems`` are sentences about what does not work in the daemon itself.
    """

    daemon: int | None
    started_at: int | None
    file: str
    turn: int
    bad_file: tuple[str, ...]
    staged: bool
    failing_since: int | None
    problems: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Amounts:
    """CPU, memory and GPU memory, each ``None`` where it is not known, which is not the same as 0."""

    cpu: Cpus | None
    memory: Memory | None
    gpu_memory: Memory | None


@attrs.frozen(kw_only=True)
class ReplicaStatus:
    """One replica; ``stale`` says that its cluster does not answer and this is what it last said.

    ``versions`` are those that its server says it serves, ``None`` where nobody knows. ``way`` is how its gateway
    treats it, ``None`` where it has none. ``grace_left`` is how long what is in flight may still take, ``None`` while
    that is not counted: it does not leave, or a gateway was not yet seen to have taken it out. ``load`` is the
    gateway's word, ``server_load`` the server's own.
    """

    id: str
    cluster: str
    revision: str
    versions: tuple[int, ...] | None
    node: str | None
    life: Life
    stale: bool
    way: Way | None
    grace_left: Duration | None
    host: str | None
    grpc: int | None
    rest: int | None
    restarts: int
    age: Duration | None
    requested: Amounts
    observed: Amounts
    load: LoadStatus
    server_load: ServerLoadStatus
    reason: Cause | None


@attrs.frozen(kw_only=True)
class GroupStatus:
    """One revision on one cluster; ``current`` says that this one is asked for there, by the file or a command.

    ``version`` is the one that its replicas are to serve. ``ready`` of them have a model available, and ``updated``
    have that of the very version that is wanted: where replicas reload, they may serve another one until then.
    ``trying`` is for how long it has tried without getting further. ``served`` are the versions that it was seen to
    serve well, in the order in which they came, where replicas reload.
    """

    cluster: str
    revision: str
    generation: int
    version: int
    target: int
    ready: int
    updated: int
    current: bool
    proven: bool
    failed: bool
    trying: Duration
    served: tuple[int, ...]


@attrs.frozen(kw_only=True)
class DeploymentStatus:
    """One deployment: what was declared, what is wanted after intents or by load, and what there is.

    ``scaling`` is how load decides that, ``None`` where it does not.

    ``ready`` counts replicas whose model is available and that do not leave, ``listed`` those that clients may use, and
    ``serving`` those to which requests get: with a gateway these are the listed ones, and ``None`` while it does not
    answer; without one they are the ready ones. ``address`` is ``None`` where there is no gateway. ``load`` is the
    gateway's word, ``server_load`` the servers' own. A rollout by ``strategy`` that gets no further for
    ``progress_deadline`` fails.
    """

    name: str
    owner: str
    model: str
    version: int
    declared: int
    wanted: int
    scaling: ScalingStatus | None
    floor: int
    ready: int
    listed: int
    serving: int | None
    address: AddressStatus | None
    load: LoadStatus
    server_load: ServerLoadStatus
    strategy: str
    progress_deadline: Duration
    state: RolloutState
    conditions: tuple[Condition, ...]
    causes: tuple[Cause, ...]
    places: tuple[PlaceStatus, ...]
    groups: tuple[GroupStatus, ...]
    replicas: tuple[ReplicaStatus, ...]

    @property
    def unplaceable(self) -> bool:
        """Whether a reason stands against it that waiting does not take away."""
        return any(cause.code in CANNOT_BE_PLACED for cause in self.causes)


@attrs.frozen(kw_only=True)
class Abilities:
    """What a cluster can do, in words."""

    scheduling: tuple[str, ...]
    gpu: tuple[str, ...]
    cpu_limit: str
    memory_limit: str
    gpu_limit: str
    engine: str
    heals_alone: bool
    exact_retire: bool
    version: str
    notes: tuple[str, ...]


@attrs.frozen(kw_only=True)
class DeviceStatus:
    """One GPU: thousandths of it that replicas were given, and memory that is in foreign hands."""

    id: str
    model: str
    memory: Memory
    given: int
    foreign: Memory


@attrs.frozen(kw_only=True)
class NodeStatus:
    """One machine: what it has, what our replicas were promised of it, and what others use."""

    name: str
    schedulable: bool
    replicas: int
    cpu: Cpus
    cpu_given: Cpus
    cpu_foreign: Cpus
    memory: Memory
    memory_given: Memory
    memory_foreign: Memory
    devices: tuple[DeviceStatus, ...]


@attrs.frozen(kw_only=True)
class ClusterStatus:
    """One cluster; ``unreachable_since`` is in milliseconds since the epoch and ``None`` while it answers."""

    name: str
    backend: str
    state: ClusterState
    unreachable_since: int | None
    error: str
    abilities: Abilities | None
    nodes: tuple[NodeStatus, ...]
    foreign_owners: tuple[str, ...]


@attrs.frozen(kw_only=True)
class QuotaStatus:
    """What one owner holds now and may hold.

    ``gpu`` counts thousandths of a device; a limit of ``None`` is no limit.
    """

    owner: str
    cpu: Cpus
    cpu_limit: Cpus | None
    memory: Memory
    memory_limit: Memory | None
    gpu: int
    gpu_limit: int | None


@attrs.frozen(kw_only=True)
class Orphan:
    """A deployment that vanished from the file and is left running until that is confirmed.

    ``removing`` says that ``apply`` or ``delete`` has confirmed it. Its address stays what it was.
    """

    deployment: str
    clusters: tuple[str, ...]
    replicas: int
    address: AddressStatus | None
    removing: bool


@attrs.frozen(kw_only=True)
class FleetStatus:
    """The whole fleet at one moment; ``at`` is in milliseconds since the epoch."""

    fleet: str
    at: int
    service: Service
    deployments: tuple[DeploymentStatus, ...]
    clusters: tuple[ClusterStatus, ...]
    gateways: tuple[GatewayStatus, ...]
    quotas: tuple[QuotaStatus, ...]
    orphans: tuple[Orphan, ...]
    intents: tuple[IntentStatus, ...]
    notices: tuple[Cause, ...]

    def deployment(self, name: str) -> DeploymentStatus | None:
        """Return the deployment of that name, or ``None``."""
        return next((one for one in self.deployments if one.name == name), None)

    def gateway(self, name: str) -> GatewayStatus | None:
        """Return the gateway of that name, or ``None``."""
        return next((one for one in self.gateways if one.name == name), None)


def endpoints(status: FleetStatus) -> Mapping[str, tuple[ReplicaStatus, ...]]:
    """Return the replicas that requests may go to now, by deployment; one without any is in it with none.

    Where a deployment has an address, its gateway sends them there; where not, its clients must.
    """
    return {one.name: tuple(two for two in one.replicas if two.life is Life.LISTED) for one in status.deployments}
