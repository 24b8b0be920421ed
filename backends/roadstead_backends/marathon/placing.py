"""Where the tasks of an app may run, and how much they get, in Marathon's words. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from roadstead.model import Constraint, GpuPart, GpuPartition, Operator, Resources, Spread, Template, WholeGpus
from roadstead.units import Memory
from roadstead_backends.marathon.options import Containers, MarathonOptions

__all__ = ["ATTRIBUTES", "amounts", "attribute_of", "constraints"]

Json = dict[str, Any]

ATTRIBUTES: Final = {"hostname": "@hostname", "zone": "@zone", "region": "@region"}
"""Short names of node attributes and Marathon's names for them; any other is an attribute of the agent."""

_MIB: Final = 1024**2
_SPECIAL: Final = re.compile(r"([^A-Za-z0-9_])")


def attribute_of(attribute: str) -> str:
    """Return what Marathon calls an attribute of the fleet file."""
    return ATTRIBUTES.get(attribute, attribute)


def amounts(resources: Resources, options: MarathonOptions) -> Json:
    """Return what one task gets; raises :class:`ValueError` for GPUs that Mesos cannot give.

    Memory and disk are counted in MiB, and what is not whole is rounded up.
    """
    found: Json = {"cpus": resources.cpu.milli / 1000, "mem": _mib(resources.memory), "disk": _mib(resources.disk)}
    match resources.gpu:
        case WholeGpus(count=count):
            if options.containers is Containers.DOCKER:
                raise ValueError("Docker containers get no GPUs from Mesos; set containers to mesos")
            found["gpus"] = count
        case GpuPart():
            raise ValueError("a share of a GPU is not something that Mesos gives")
        case GpuPartition(profile=profile):
            raise ValueError(f"a partition of a GPU ({profile}) is not something that Mesos gives")
    return found


def _mib(memory: Memory) -> int:
    return -(-memory.bytes // _MIB)


def constraints(template: Template, options: MarathonOptions) -> list[list[str]]:
    """Return the rules for the choice of agents.

    Marathon has no preferences, so a spread without a cap is not written: it would keep replicas from being started.
    It counts per app; that a cap holds over all revisions of a deployment is for whoever sees them all.
    """
    return [
        *map(_constraint, template.placement.constraints),
        *_gpu_models(template.resources, options),
        *_spread(template.placement.spread),
    ]


def _constraint(constraint: Constraint) -> list[str]:
    field = attribute_of(constraint.attribute)
    match constraint.operator:
        case Operator.IN:
            return [field, "LIKE", _one_of(constraint.values)]
        case Operator.NOT_IN:
            return [field, "UNLIKE", _one_of(constraint.values)]
        case Operator.EXISTS:
            return [field, "LIKE", ".*"]
        case Operator.MATCHES:
            (pattern,) = constraint.values
            return [field, "LIKE", pattern]


def _one_of(values: tuple[str, ...]) -> str:
    r"""Return the pattern of Java that whole values match, and nothing else.

    >>> _one_of(("a.b", "c"))
    'a\\.b|c'
    """
    return "|".join(_SPECIAL.sub(r"\\\1", value) for value in values)


def _gpu_models(resources: Resources, options: MarathonOptions) -> list[list[str]]:
    gpu = resources.gpu
    if not isinstance(gpu, WholeGpus):
        return []
    if gpu.memory.bytes:
        raise ValueError("Mesos does not know how much memory a GPU has; name its models instead")
    if not gpu.models:
        return []
    if options.gpu_attribute is None:
        raise ValueError("Mesos does not know the models of GPUs; name an attribute that says it as gpu_attribute")
    return [[options.gpu_attribute, "LIKE", _one_of(gpu.models)]]


def _spread(spread: Spread | None) -> list[list[str]]:
    if spread is None or spread.max_per is None:
        return []
    return [[attribute_of(spread.by), "MAX_PER", str(spread.max_per)]]
