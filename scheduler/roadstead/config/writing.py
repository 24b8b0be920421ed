"""Writing a fleet file: what a template and a rollout say, as keys that the reader takes back to the same values.

Only what is not the default is written, so that a file says what somebody decided.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from roadstead.model import (
    Constraint,
    Gpu,
    GpuPartition,
    Operator,
    PlacementSpec,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    Template,
    WholeGpus,
)
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.wire import from_wire

__all__ = ["Written", "WrittenCluster", "fleet_text"]

Plain = dict[str, Any]


@attrs.frozen(kw_only=True)
class WrittenCluster:
    """The cluster of a written file; ``options`` is an instance of its backend's options class."""

    name: str
    backend: str
    options: object
    deployment_options: type[Any]


@attrs.frozen(kw_only=True)
class Written:
    """One deployment of a written file, with lines that stand above it as comments.

    ``adopts`` is the native id of what it takes over on the file's cluster, empty for nothing.
    """

    name: str
    template: Template
    replicas: int
    rollout: RolloutSpec = attrs.field(factory=RolloutSpec)
    adopts: str = ""
    comments: tuple[str, ...] = ()


def fleet_text(fleet: str, cluster: WrittenCluster, deployments: Iterable[Written]) -> str:
    """Return the text of a fleet file with one cluster and these deployments."""
    options = _plain(cluster.options)
    entry = {"backend": cluster.backend, **({"options": options} if options else {})}
    head = _dumped({"version": 1, "fleet": fleet, "clusters": {cluster.name: entry}})
    blocks = [_block(one, cluster) for one in deployments]
    return f"{head}\ndeployments:\n{''.join(blocks)}" if blocks else f"{head}\ndeployments: {{}}\n"


def _block(one: Written, cluster: WrittenCluster) -> str:
    comments = "".join(f"# {line}\n" for line in one.comments)
    text = comments + _dumped({one.name: _deployment(one, cluster)})
    return "".join(f"  {line}\n" for line in text.splitlines())


def _dumped(document: Plain) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _deployment(one: Written, cluster: WrittenCluster) -> Plain:
    template = one.template
    model = {key: value for key, value in _plain(template.model).items() if key != "name" or value != one.name}
    found: Plain = {
        "model": {"source": template.model.source, **model},
        "runtime": _runtime(template.runtime),
        "resources": _resources(template.resources),
        "env": {variable.name: variable.value for variable in template.env},
        "secrets": {secret.name: {"ref": secret.ref, "version": secret.version} for secret in template.secrets},
        "health": _plain(template.health),
        "stop": _plain(template.stop),
        "placement": _placement(template.placement),
        "replicas": one.replicas,
        "rollout": _plain(one.rollout),
    }
    if template.health.canary is not None:
        found["health"]["canary"] = json.loads(template.health.canary)
    if template.backend_options:
        options = from_wire(json.loads(template.backend_options), cluster.deployment_options)
        found["backend_options"] = {cluster.backend: _plain(options)}
    if one.adopts:
        found["adopt"] = {"cluster": cluster.name, "object": one.adopts}
    return {key: value for key, value in found.items() if value not in ({}, [])}


def _runtime(runtime: RuntimeSpec) -> Plain:
    found: Plain = _plain(runtime)
    return {**found, "batching": None} if runtime.batching is None else found


def _resources(resources: Resources) -> Plain:
    found = _plain(attrs.evolve(resources, gpu=None))
    return found if resources.gpu is None else {**found, "gpu": _gpu(resources.gpu)}


def _gpu(gpu: Gpu) -> Plain:
    if isinstance(gpu, GpuPartition):
        return {"partition": gpu.profile}
    amount: Plain = {"count": gpu.count} if isinstance(gpu, WholeGpus) else {"share": str(gpu.share)}
    models = {"model": list(gpu.models)} if gpu.models else {}
    memory = {"memory": str(gpu.memory)} if gpu.memory.bytes else {}
    return {**amount, **models, **memory}


def _placement(placement: PlacementSpec) -> Plain:
    found: Plain = {"constraints": [_constraint(one) for one in placement.constraints]}
    if placement.spread is not None:
        found["spread"] = {"by": placement.spread.by, **_plain(placement.spread)}
    return {key: value for key, value in found.items() if value}


def _constraint(one: Constraint) -> Plain:
    match one.operator:
        case Operator.EXISTS:
            return {"attribute": one.attribute, "exists": True}
        case Operator.MATCHES:
            return {"attribute": one.attribute, "matches": one.values[0]}
        case _:
            return {"attribute": one.attribute, one.operator.value: list(one.values)}


def _plain(value: Any) -> Any:
    """Return a value as YAML has it; of an attrs value the fields that are not their default."""
    match value:
        case enum.Enum():
            return value.value
        case Cpus() | Memory() | Duration() | GpuShare() | Path():
            return str(value)
        case tuple():
            return [_plain(one) for one in value]
        case Mapping():
            return {name: _plain(one) for name, one in value.items()}
        case _ if attrs.has(type(value)):
            return dict(_fields(value))
        case _:
            return value


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    for field in attrs.fields(type(value)):
        default = field.default.factory() if hasattr(field.default, "factory") else field.default
        here = getattr(value, field.name)
        if here != default:
            yield field.name, _plain(here)
