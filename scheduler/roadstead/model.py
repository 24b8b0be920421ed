"""What is wanted: the fleet as its owners declare it, as frozen values.

Everything here is already checked: :mod:`roadstead.config` turns user text into these values or into problems with
positions, so the validators below guard against programmers, not users. The split between :class:`Template` and
:class:`Deployment` is the split between what a running replica embodies (a change is a new revision) and what stands
around it (a change restarts nothing).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

import attrs

from roadstead.autoscaling import AutoscalingSpec
from roadstead.intents import (
    Intents,
    MigrateIntent,
    PauseIntent,
    PromoteIntent,
    RemoveIntent,
    ScaleIntent,
    UndoIntent,
)
from roadstead.units import Cpus, Duration, Memory
from roadstead.workload import (
    BatchingSpec,
    Constraint,
    Gpu,
    GpuPart,
    GpuPartition,
    HealthSpec,
    ModelSpec,
    ModelVersion,
    Operator,
    PlacementSpec,
    Reloading,
    Resources,
    RuntimeSpec,
    Secret,
    Spread,
    StopSpec,
    Target,
    Template,
    Variable,
    WholeGpus,
)

__all__ = [
    "MAX_REPLICAS",
    "Address",
    "Adoption",
    "BatchingSpec",
    "ClusterSpec",
    "ClusterState",
    "Constraint",
    "DaemonSpec",
    "Deployment",
    "ExcessAction",
    "ExcessSpec",
    "Fleet",
    "GatewaySpec",
    "Gpu",
    "GpuPart",
    "GpuPartition",
    "HealthSpec",
    "Intents",
    "LeaseSpec",
    "MigrateIntent",
    "ModelSpec",
    "ModelVersion",
    "OnChange",
    "OnDrift",
    "Operator",
    "PauseIntent",
    "PlacementSpec",
    "PromoteIntent",
    "Quota",
    "Reach",
    "Reloading",
    "RemoveIntent",
    "Resources",
    "RolloutSpec",
    "RuntimeSpec",
    "ScaleIntent",
    "Scheduling",
    "Secret",
    "Spread",
    "StopSpec",
    "Strategy",
    "Target",
    "Template",
    "Tls",
    "UndoIntent",
    "Variable",
    "Via",
    "WholeGpus",
]


MAX_REPLICAS = 100_000
"""The most replicas that one deployment may be asked for: a typing error must not fill a cluster's store."""


@enum.unique
class Scheduling(enum.Enum):
    """Who picks the node for a replica: the cluster's own scheduler, or ours."""

    NATIVE = "native"
    DIRECTED = "directed"


@enum.unique
class ClusterState(enum.Enum):
    """What we do with a cluster: use it, move away from it, or leave it alone."""

    ACTIVE = "active"
    DRAINING = "draining"
    DISABLED = "disabled"


@enum.unique
class Reach(enum.Enum):
    """Whether daemon and gateway can connect to replicas there."""

    DIRECT = "direct"
    NONE = "none"


@enum.unique
class Strategy(enum.Enum):
    """How a deployment passes from one revision to another."""

    AUTO = "auto"
    ROLLING = "rolling"
    RECREATE = "recreate"
    RELOAD = "reload"


@enum.unique
class OnChange(enum.Enum):
    """Whether saving the fleet file, or taking something out of it, is already the order to do it."""

    APPLY = "apply"
    STAGE = "stage"
    HOLD = "hold"


@attrs.frozen(kw_only=True)
class RolloutSpec:
    """How revisions replace each other; ``max_surge`` and ``max_unavailable`` count replicas."""

    strategy: Strategy = Strategy.AUTO
    max_surge: int = 1
    max_unavailable: int = 0
    progress_deadline: Duration = Duration(600_000)
    auto_rollback: bool = True
    history: int = 2


@enum.unique
class ExcessAction(enum.Enum):
    """What happens to a replica that uses more than it may: it is said, or its server or all of it is made anew."""

    WARN = "warn"
    RESTART = "restart"
    EVICT = "evict"


@enum.unique
class OnDrift(enum.Enum):
    """What happens when somebody else changed what is stored of ours: it is put back, or only said."""

    REVERT = "revert"
    REPORT = "report"


@attrs.frozen(kw_only=True)
class ExcessSpec:
    """What happens to a replica that was seen over a limit for ``after``, by what it uses too much of."""

    cpu: ExcessAction = ExcessAction.WARN
    memory: ExcessAction = ExcessAction.RESTART
    gpu_memory: ExcessAction = ExcessAction.WARN
    after: Duration = Duration(60_000)


@attrs.frozen(kw_only=True)
class Via:
    """The gateway that a deployment's clients connect to; without ``port`` it is given one from the gateway's range."""

    gateway: str
    port: int | None = None


@attrs.frozen
class Adoption:
    """Something that runs on ``cluster`` already, by its native id there, and is taken over as it is."""

    cluster: str
    object: str


@attrs.frozen(kw_only=True)
class Deployment:
    """One served model, as its owner declares it.

    ``targets`` are the clusters it may run on, in order of preference; ``replicas`` is the declared count over all of
    them. ``elsewhere`` are all other clusters for which its template can be resolved: a command may send it there.
    ``fail_over_after`` is how long a cluster must have been silent before what is missing is made up on others. With
    ``autoscaling``, measured load decides how many there are, and ``replicas`` is its ``min``.
    """

    name: str
    owner: str
    targets: tuple[Target, ...] = attrs.field(validator=attrs.validators.min_len(1))
    replicas: int = attrs.field(default=1, validator=attrs.validators.ge(0))
    priority: int = 0
    place: str = "spread"
    rollout: RolloutSpec = RolloutSpec()
    via: Via | None = None
    elsewhere: tuple[Target, ...] = ()
    fail_over_after: Duration = Duration(300_000)
    autoscaling: AutoscalingSpec | None = None
    on_excess: ExcessSpec = ExcessSpec()
    on_drift: OnDrift = OnDrift.REVERT
    adopt: Adoption | None = None

    @property
    def declared_template(self) -> str:
        """What stands for its template as the file says it: an intent about that ends when this changes."""
        revisions = "+".join(sorted({target.revision for target in self.targets}))
        if self.rollout.strategy is not Strategy.RELOAD:
            return revisions
        model = self.targets[0].template.model
        return f"{revisions}:{model.version}:{model.digest or ''}"

    def target_on(self, cluster: str) -> Target | None:
        """Return what this deployment runs on ``cluster``, by declaration or by command; ``None`` where it cannot."""
        return next((target for target in (*self.targets, *self.elsewhere) if target.cluster == cluster), None)

    @property
    def said_clusters(self) -> tuple[str, ...]:
        """What the file says of where it may run: the names in order, each with its weight where it has one."""
        return tuple(
            target.cluster if target.weight is None else f"{target.cluster}: {target.weight}" for target in self.targets
        )


@attrs.frozen(kw_only=True)
class ClusterSpec:
    """One place where replicas run; ``options`` is an instance of the backend plugin's own options class."""

    name: str
    backend: str
    options: object
    scheduling: Scheduling | None = None
    state: ClusterState = ClusterState.ACTIVE
    reach: Reach = Reach.DIRECT


@attrs.frozen(kw_only=True)
class Tls:
    """The files of a certificate chain and its private key, both PEM; absolute paths."""

    certificate: str
    key: str


@attrs.frozen(kw_only=True)
class GatewaySpec:
    """One gateway; ``options`` is an instance of the gateway plugin's own options class.

    ``address`` is the IP address that it listens on, ``first_port`` to ``last_port`` is the range that deployments get
    a port from if they do not name one.
    """

    name: str
    kind: str
    address: str
    first_port: int
    last_port: int
    tls: Tls | None = None
    options: object


@attrs.frozen(kw_only=True)
class Address:
    """Where the clients of one deployment connect; once given, it is kept."""

    gateway: str
    host: str
    port: int


@attrs.frozen(kw_only=True)
class Quota:
    """What one owner may hold over all clusters at any moment; ``None`` is without limit.

    ``gpu`` counts thousandths of a device.
    """

    cpu: Cpus | None = None
    memory: Memory | None = None
    gpu: int | None = None


@attrs.frozen
class LeaseSpec:
    """That the daemon which acts for the fleet holds a lease on ``cluster``."""

    cluster: str


@attrs.frozen(kw_only=True)
class DaemonSpec:
    """How the daemon runs; ``state`` is a directory, or ``None`` for the user's default.

    Without ``lease``, the lock of the state directory makes sure that one daemon acts.
    """

    turn: Duration = Duration(5_000)
    on_change: OnChange = OnChange.APPLY
    on_removal: OnChange = OnChange.HOLD
    http: str = "127.0.0.1:7070"
    state: str | None = None
    lease: LeaseSpec | None = None


_NO_INTENTS = Intents()
_NO_LIMITS = Quota()
_EMPTY: Mapping[str, Quota] = MappingProxyType({})
_NO_GATEWAYS: Mapping[str, GatewaySpec] = MappingProxyType({})
_NO_ADDRESSES: Mapping[str, Address] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Fleet:
    """Everything that one fleet file declares, plus the intents given by command.

    Mappings are keyed by name and are not changed after construction. ``owner_id`` is the fleet's identity on every
    object it creates, made at its first start. ``addresses`` are by deployment, of those that have a gateway, also of
    deployments that are declared no more and still serve. ``vanished`` are those of the gateways that the file does not
    name any more, and that are left as they are until that is confirmed.
    """

    name: str
    clusters: Mapping[str, ClusterSpec]
    deployments: Mapping[str, Deployment]
    owner_id: str = ""
    quotas: Mapping[str, Quota] = _EMPTY
    gateways: Mapping[str, GatewaySpec] = _NO_GATEWAYS
    vanished: frozenset[str] = frozenset()
    addresses: Mapping[str, Address] = _NO_ADDRESSES
    daemon: DaemonSpec = DaemonSpec()
    intents: Intents = _NO_INTENTS

    @cached_property
    def by_owner(self) -> Mapping[str, tuple[str, ...]]:
        """The deployments' names by owner."""
        names: dict[str, list[str]] = {}
        for name, deployment in self.deployments.items():
            names.setdefault(deployment.owner, []).append(name)
        return MappingProxyType({owner: tuple(owned) for owner, owned in names.items()})

    @cached_property
    def limits(self) -> Mapping[str, Quota]:
        """The quotas that limit anything, by owner."""
        return MappingProxyType({owner: quota for owner, quota in self.quotas.items() if quota != _NO_LIMITS})

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The deployments' names in the order in which they are served: by priority, highest first, then by name."""
        return tuple(sorted(self.deployments, key=lambda name: (-self.deployments[name].priority, name)))
