"""A fleet file as written: the values of its keys, before names are looked up and paths and templates are resolved."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from roadstead.autoscaling import MetricTarget, Windows
from roadstead.model import (
    Adoption,
    BatchingSpec,
    ClusterState,
    DaemonSpec,
    Deployment,
    ExcessSpec,
    HealthSpec,
    ModelSpec,
    OnDrift,
    PlacementSpec,
    Quota,
    Reach,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    Scheduling,
    StopSpec,
    Target,
    Template,
    Tls,
    Via,
)
from roadstead.units import Duration

__all__ = [
    "AutoscalingEntry",
    "ClusterEntry",
    "DeploymentEntry",
    "FleetEntry",
    "GatewayEntry",
    "ModelEntry",
    "PortRange",
    "RuntimeEntry",
    "SecretEntry",
    "UnreachableEntry",
    "Unsaid",
    "ViaEntry",
]

# Defaults stand in the model's values and nowhere else.
_MODEL = ModelSpec(name="", source="")
_RUNTIME = RuntimeSpec()
_TEMPLATE = Template(model=_MODEL)
_DEPLOYMENT = Deployment(name="", owner="", targets=(Target(cluster="", template=_TEMPLATE, revision=""),))
_DAEMON = DaemonSpec()
_WINDOWS = Windows()
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class ModelEntry:
    """``model``: ``source`` may differ from cluster to cluster; without ``name`` it is the deployment's."""

    name: str | None = None
    format: str = _MODEL.format
    source: str | Mapping[str, str] = ""
    version: int = _MODEL.version
    digest: str | None = None


@attrs.frozen(kw_only=True)
class RuntimeEntry:
    """``runtime``: without ``engine`` it is the runtime's first one."""

    name: str = _RUNTIME.name
    engine: str | None = None
    image: str | None = None
    batching: BatchingSpec | None = _RUNTIME.batching
    args: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class SecretEntry:
    """What stands under the name of one secret."""

    ref: str
    version: int = 1


_NO_SECRETS: Mapping[str, SecretEntry] = MappingProxyType({})


@attrs.frozen
class PortRange:
    """The ports from ``first`` to ``last``, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1

    def meets(self, other: PortRange) -> bool:
        """Return whether a port is in both."""
        return self.first <= other.last and other.first <= self.last


@attrs.frozen(kw_only=True)
class GatewayEntry:
    """One gateway; ``options`` is an instance of its plugin's options class."""

    kind: str = ""
    address: str = "127.0.0.1"
    ports: PortRange = PortRange(18000, 18099)
    tls: Tls | None = None
    options: object = None


@attrs.frozen(kw_only=True)
class ViaEntry:
    """A deployment's ``gateway`` as a mapping; without ``name`` it is the only one declared."""

    name: str | None = None
    port: int | None = None


@attrs.frozen
class UnreachableEntry:
    """``unreachable``: what happens when a cluster does not answer."""

    fail_over_after: Duration = _DEPLOYMENT.fail_over_after


@enum.unique
class Unsaid(enum.Enum):
    """What stands for a key that was left out, where that is something else than null."""

    UNSAID = "unsaid"


_NO_GATEWAYS: Mapping[str, GatewayEntry] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class AutoscalingEntry:
    """``autoscaling``; of ``metrics``, one that this version knows and does not have is ``None``."""

    min: int = 1
    max: int
    policy: str = "concurrency"
    metrics: tuple[MetricTarget | None, ...]
    window: Windows = _WINDOWS


@attrs.frozen(kw_only=True)
class DeploymentEntry:
    """One deployment; ``clusters`` is ``None`` where the file does not say."""

    model: ModelEntry = ModelEntry()
    runtime: RuntimeEntry = RuntimeEntry()
    resources: Resources = _TEMPLATE.resources
    env: Mapping[str, str] = _NO_TEXTS
    secrets: Mapping[str, SecretEntry] = _NO_SECRETS
    health: HealthSpec = _TEMPLATE.health
    stop: StopSpec = _TEMPLATE.stop
    placement: PlacementSpec = _TEMPLATE.placement
    backend_options: Mapping[str, object] = _NO_OPTIONS
    owner: str | None = None
    priority: int = _DEPLOYMENT.priority
    place: str = _DEPLOYMENT.place
    clusters: str | tuple[str, ...] | Mapping[str, int] | None = None
    unreachable: UnreachableEntry = UnreachableEntry()
    replicas: int = _DEPLOYMENT.replicas
    autoscaling: AutoscalingEntry | None = None
    rollout: RolloutSpec = _DEPLOYMENT.rollout
    on_excess: ExcessSpec = _DEPLOYMENT.on_excess
    on_drift: OnDrift = _DEPLOYMENT.on_drift
    adopt: Adoption | None = None
    gateway: str | ViaEntry | Unsaid | None = Unsaid.UNSAID

    @property
    def chosen(self) -> tuple[str, ...]:
        """The clusters that it names, in order."""
        if isinstance(self.clusters, str):
            return (self.clusters,)
        return tuple(self.clusters or ())

    def weight_of(self, cluster: str) -> int | None:
        """The weight of a cluster that it names; ``None`` where the order decides."""
        return self.clusters.get(cluster) if isinstance(self.clusters, Mapping) else None

    def chosen_of(self, declared: Mapping[str, ClusterEntry]) -> tuple[str, ...]:
        """The clusters that it may run on: those that it names, or the only one declared."""
        if self.clusters is None:
            return tuple(declared) if len(declared) == 1 else ()
        return self.chosen

    def via_of(self, declared: Mapping[str, GatewayEntry]) -> Via | None:
        """The gateway that its clients connect to: the one that it names, or the only one declared."""
        if self.gateway is None:
            return None
        said = ViaEntry(name=self.gateway) if isinstance(self.gateway, str) else self.gateway
        name, port = (None, None) if isinstance(said, Unsaid) else (said.name, said.port)
        if name is None and len(declared) == 1:
            name = next(iter(declared))
        return Via(gateway=name, port=port) if name is not None else None


@attrs.frozen(kw_only=True)
class ClusterEntry:
    """One cluster; ``options`` is an instance of its backend's options class."""

    backend: str = ""
    scheduling: Scheduling | None = None
    state: ClusterState = ClusterState.ACTIVE
    reach: Reach = Reach.DIRECT
    options: object = None


_NO_CLUSTERS: Mapping[str, ClusterEntry] = MappingProxyType({})
_NO_QUOTAS: Mapping[str, Quota] = MappingProxyType({})
_NO_DEPLOYMENTS: Mapping[str, DeploymentEntry] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class FleetEntry:
    """The whole file; ``defaults`` have been merged into the deployments."""

    version: int = 1
    fleet: str = ""
    clusters: Mapping[str, ClusterEntry] = _NO_CLUSTERS
    gateways: Mapping[str, GatewayEntry] = _NO_GATEWAYS
    quotas: Mapping[str, Quota] = _NO_QUOTAS
    deployments: Mapping[str, DeploymentEntry] = _NO_DEPLOYMENTS
    daemon: DaemonSpec = _DAEMON
