"""What a running replica embodies: its model, runtime, resources and whatever else is in its template.

A change of any of it is a new revision, except where :func:`roadstead.template.target` says otherwise. Part of
:mod:`roadstead.model`, where all of it is imported from.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import attrs

from roadstead.units import Cpus, Duration, GpuShare, Memory

__all__ = [
    "BatchingSpec",
    "Constraint",
    "Gpu",
    "GpuPart",
    "GpuPartition",
    "HealthSpec",
    "ModelSpec",
    "ModelVersion",
    "Operator",
    "PlacementSpec",
    "Reloading",
    "Resources",
    "RuntimeSpec",
    "Secret",
    "Spread",
    "StopSpec",
    "Target",
    "Template",
    "Variable",
    "WholeGpus",
]


@enum.unique
class Operator(enum.Enum):
    """How a placement constraint compares a node's attribute."""

    IN = "in"
    NOT_IN = "not_in"
    EXISTS = "exists"
    MATCHES = "matches"


@attrs.frozen(kw_only=True)
class ModelSpec:
    """The one model version that a replica serves.

    ``source`` is resolved for one cluster (an absolute path or a URL); ``digest`` is the SHA-256 over the version's
    files as ``roadstead model digest`` prints it, 64 hexadecimal digits, or ``None`` where nothing is checked.
    """

    name: str
    source: str
    format: str = "tf_saved_model"
    version: int = 1
    digest: str | None = None

    @property
    def wanted(self) -> ModelVersion:
        """The version by itself."""
        return ModelVersion(self.version, self.digest)


@attrs.frozen
class ModelVersion:
    """One version of a model, with the digest of its files where that is checked."""

    version: int
    digest: str | None = None


@attrs.frozen
class Reloading:
    """That the replicas of a group change what they serve by loading another version in place.

    ``beside`` are the versions that a replica may go on serving until it has loaded the wanted one.
    """

    beside: tuple[ModelVersion, ...] = ()


@attrs.frozen(kw_only=True)
class BatchingSpec:
    """Server-side dynamic batching, in TensorFlow Serving's terms; ``max_enqueued`` counts batches."""

    max_batch_size: int = 32
    timeout: Duration = Duration(5)
    threads: int = 1
    max_enqueued: int = 100


@attrs.frozen(kw_only=True)
class RuntimeSpec:
    """The serving engine and how it is started; two engines of one runtime are two revisions."""

    name: str = "tf_serving"
    engine: str = "embedded"
    image: str | None = None
    batching: BatchingSpec | None = BatchingSpec()
    args: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class WholeGpus:
    """``count`` whole devices, each of one of ``models`` (any where empty) and with at least ``memory``."""

    count: int = attrs.field(validator=attrs.validators.ge(1))
    models: tuple[str, ...] = ()
    memory: Memory = Memory(0)


@attrs.frozen(kw_only=True)
class GpuPart:
    """A share of one device, with ``memory`` of it."""

    share: GpuShare
    memory: Memory = Memory(0)
    models: tuple[str, ...] = ()


@attrs.frozen
class GpuPartition:
    """One hardware partition of a device by its profile name, such as ``1g.10gb``."""

    profile: str


Gpu = WholeGpus | GpuPart | GpuPartition


@attrs.frozen(kw_only=True, cache_hash=True)
class Resources:
    """What one replica may use; requests equal limits."""

    cpu: Cpus = Cpus(1000)
    memory: Memory = Memory(2 * 1024**3)
    disk: Memory = Memory(0)
    gpu: Gpu | None = None


@attrs.frozen
class Variable:
    """One environment variable of the server's process."""

    name: str
    value: str


@attrs.frozen(kw_only=True)
class Secret:
    """An environment variable whose value is looked up where the replica starts; only the reference is ever stored."""

    name: str
    ref: str
    version: int = 1


@attrs.frozen(kw_only=True)
class HealthSpec:
    """When a replica counts as started, ready and lost.

    ``canary`` is the body of a REST predict request, as canonical JSON, that must be answered before the replica is
    ready.
    """

    start_within: Duration = Duration(120_000)
    every: Duration = Duration(5_000)
    failures: int = 3
    node_lost_after: Duration = Duration(30_000)
    canary: str | None = None

    @property
    def proven_after(self) -> Duration:
        """How long a group must stay ready without a restart before it is proven."""
        return Duration(self.every.ms * self.failures)


@attrs.frozen(kw_only=True)
class StopSpec:
    """How a replica is taken down.

    Out of the table, ``drain_within`` for what is in flight, SIGTERM, ``kill_after``, SIGKILL.
    """

    drain_within: Duration = Duration(30_000)
    kill_after: Duration = Duration(5_000)


@attrs.frozen(kw_only=True)
class Constraint:
    """A hard condition on one attribute of a node.

    ``values`` is empty for ``exists`` and one pattern for ``matches``.
    """

    attribute: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, attributes: Mapping[str, str]) -> bool:
        """Return whether a node with these attributes satisfies it; a missing one satisfies only ``not_in``.

        Raises :class:`re.error` for a pattern that is none of Python's.
        """
        value = attributes.get(self.attribute)
        match self.operator:
            case Operator.EXISTS:
                return value is not None
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.MATCHES:
                return value is not None and re.fullmatch(self.values[0], value) is not None


@attrs.frozen(kw_only=True)
class Spread:
    """Replicas spread over the values of one node attribute: evenly if possible, or at most ``max_per`` to each."""

    by: str
    max_per: int | None = None


@attrs.frozen(kw_only=True, cache_hash=True)
class PlacementSpec:
    """Where replicas may run."""

    constraints: tuple[Constraint, ...] = ()
    spread: Spread | None = None


@attrs.frozen(kw_only=True)
class Template:
    """All that a running replica embodies, resolved for one cluster; a change of any field is a new revision.

    ``backend_options`` is the canonical JSON of what only this cluster's backend understands, empty where there is
    nothing.
    """

    model: ModelSpec
    runtime: RuntimeSpec = RuntimeSpec()
    resources: Resources = Resources()
    env: tuple[Variable, ...] = ()
    secrets: tuple[Secret, ...] = ()
    health: HealthSpec = HealthSpec()
    stop: StopSpec = StopSpec()
    placement: PlacementSpec = PlacementSpec()
    backend_options: str = ""


@attrs.frozen(kw_only=True)
class Target:
    """A deployment's template as resolved for one cluster, with its identity there.

    Made by :func:`roadstead.template.target`, which computes ``revision``: 10 lower-case base-32 characters. ``weight``
    is this cluster's part of the replicas, beside the other targets' weights, and ``None`` where the order decides.
    """

    cluster: str
    template: Template
    revision: str
    weight: int | None = None
