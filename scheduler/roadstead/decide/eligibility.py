"""What a cluster can never honour of a template: such a cluster is not used for it, and it is said.

Nothing is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from roadstead.capabilities import Bounds, Capabilities, Engine, GpuKind
from roadstead.model import GpuPart, GpuPartition, Operator, Resources, Scheduling, Template, WholeGpus

__all__ = ["shortfalls"]


def shortfalls(template: Template, capabilities: Capabilities) -> tuple[str, ...]:
    """Return what ``capabilities`` do not cover, a sentence each; empty where the cluster is eligible."""
    return tuple(_shortfalls(template, capabilities))


def _shortfalls(template: Template, capabilities: Capabilities) -> Iterator[str]:
    yield from _gpu_shortfalls(template, capabilities)
    yield from _source_shortfalls(template, capabilities)
    yield from _bounds_broken(template.resources, capabilities.bounds)
    for secret in template.secrets:
        scheme = secret.ref.partition(":")[0]
        if scheme not in capabilities.secrets:
            yield f"it cannot resolve the secret {secret.name} from {scheme}:"
    if capabilities.engine is Engine.IMAGE and template.runtime.image is None:
        yield "it runs containers, and runtime.image is not set"
    if Scheduling.DIRECTED not in capabilities.scheduling and not capabilities.matches:
        for constraint in template.placement.constraints:
            if constraint.operator is Operator.MATCHES:
                yield f"its own scheduler cannot match {constraint.attribute} by a pattern"
    spread = template.placement.spread
    if capabilities.caps_at_one and spread is not None and spread.max_per not in (None, 1):
        yield f"its own scheduler can hold at most 1 replica to one {spread.by}, not {spread.max_per}"


def _gpu_shortfalls(template: Template, capabilities: Capabilities) -> Iterator[str]:
    kind = _gpu_kind(template)
    if kind is not None and kind not in capabilities.gpu:
        offered = ", ".join(sorted(known.value for known in capabilities.gpu)) or "none"
        yield f"it gives no GPU as {kind.value} (it gives: {offered})"
    gpu = template.resources.gpu
    if isinstance(gpu, WholeGpus) and gpu.models and not capabilities.gpu_models:
        yield "it does not know which models its GPUs are"
    if isinstance(gpu, WholeGpus) and gpu.memory.bytes and not capabilities.gpu_memory:
        yield "it does not know how much memory its GPUs have"


def _gpu_kind(template: Template) -> GpuKind | None:
    match template.resources.gpu:
        case None:
            return None
        case WholeGpus():
            return GpuKind.WHOLE
        case GpuPart():
            return GpuKind.SHARE
        case GpuPartition():
            return GpuKind.PARTITION


def _source_shortfalls(template: Template, capabilities: Capabilities) -> Iterator[str]:
    source = template.model.source
    scheme = source.partition("://")[0] if "://" in source else "file"
    if scheme not in capabilities.schemes:
        yield f"it cannot read models from {scheme} (it can: {', '.join(sorted(capabilities.schemes))})"
    elif scheme == "pvc" and (claim := source.removeprefix("pvc://").partition("/")[0]) in capabilities.late_claims:
        yield f"the volume of claim {claim} waits for the cluster's own scheduler, which picks no node here"
    elif scheme in capabilities.undigested and template.model.digest is not None:
        yield f"it cannot check the digest of models from {scheme}"
    elif scheme == "file" and capabilities.roots:
        path = PurePosixPath(source)
        if ".." in path.parts or not any(path.is_relative_to(root) for root in capabilities.roots):
            yield f"model.source {source} is under none of its model_roots ({', '.join(capabilities.roots)})"


def _bounds_broken(resources: Resources, bounds: Bounds) -> Iterator[str]:
    cpu, memory = resources.cpu, resources.memory
    if bounds.most_cpu is not None and cpu.milli > bounds.most_cpu.milli:
        yield f"a replica may have {bounds.most_cpu} of CPU there, and is to have {cpu}"
    if bounds.least_cpu is not None and cpu.milli < bounds.least_cpu.milli:
        yield f"a replica must have at least {bounds.least_cpu} of CPU there, and is to have {cpu}"
    if bounds.most_memory is not None and memory.bytes > bounds.most_memory.bytes:
        yield f"a replica may have {bounds.most_memory} of memory there, and is to have {memory}"
    if bounds.least_memory is not None and memory.bytes < bounds.least_memory.bytes:
        yield f"a replica must have at least {bounds.least_memory} of memory there, and is to have {memory}"
