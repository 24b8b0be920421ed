"""What is requested, allocated and used, on a screen: side by side, and never one for the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from roadstead.cli.text.words import rough, table
from roadstead.decide.report import DeploymentLimits, FleetLimits, Measure, NodeLimits, OwnerLimits
from roadstead.units import Cpus, Memory

__all__ = ["limits_view"]

_UNKNOWN = "unknown"
_NO_LIMIT = "-"


def limits_view(limits: FleetLimits) -> RenderableType:
    """Return the three numbers of all replicas and nodes, and what owners hold of what they may.

    Where nobody has a GPU, or asks for one, nothing is said of GPUs.
    """
    gpus = any(node.devices for node in limits.nodes) or any(
        replica.requested.gpu for one in limits.deployments for replica in one.replicas
    )
    parts: list[RenderableType] = [
        _replicas(limits.deployments, gpus=gpus),
        Text("requested / allocated / observed", style="dim"),
        *(_on_excess(one, gpus=gpus) for one in limits.deployments),
    ]
    if limits.nodes:
        parts += [Text(), _nodes(limits.nodes, gpus=gpus), Text("allocated / observed / all; foreign", style="dim")]
    parts += [line for node in limits.nodes for line in _devices(node)]
    return Group(*parts, Text(), _owners(limits.owners), *_notes(limits.owners))


def _replicas(deployments: Collection[DeploymentLimits], *, gpus: bool) -> Table:
    made = table("REPLICA", "NODE", "CPU", "MEMORY", *(("GPU", "GPU MEMORY") if gpus else ()))
    for one in deployments:
        for replica in one.replicas:
            three = (replica.requested, replica.allocated, replica.observed)
            asked = replica.requested.gpu_memory
            memory = (_NO_LIMIT if asked is None else rough(asked), *(_amount(each.gpu_memory) for each in three[1:]))
            made.add_row(
                replica.id + (" (stale)" if replica.stale else ""),
                f"{replica.cluster}/{replica.node or '-'}",
                " / ".join(_amount(each.cpu) for each in three),
                " / ".join(_amount(each.memory) for each in three),
                *((" / ".join(_devices_of(each.gpu) for each in three), " / ".join(memory)) if gpus else ()),
            )
    return made


def _on_excess(one: DeploymentLimits, *, gpus: bool) -> Text:
    """Return what happens to whoever uses more than it may."""
    spec = one.on_excess
    if spec is None:
        return Text(f"{one.name} is no longer in the fleet file: nothing happens to what uses more than it may")
    gpu = f", gpu memory {spec.gpu_memory}" if gpus else ""
    return Text(f"{one.name}, over a limit for {spec.after}: cpu {spec.cpu}, memory {spec.memory}{gpu}")


def _nodes(nodes: Collection[NodeLimits], *, gpus: bool) -> Table:
    made = table("NODE", "CPU", "MEMORY", *(("GPU", "GPU MEMORY") if gpus else ()))
    for one in nodes:
        three = (one.allocated, one.observed, one.has)
        gpu = (
            " / ".join(_devices_of(each.gpu) for each in three),
            f"{' / '.join(_amount(each.gpu_memory) for each in three)}; {_amount(one.foreign.gpu_memory)}",
        )
        made.add_row(
            f"{one.cluster}/{one.name}" + (" (stale)" if one.stale else "" if one.schedulable else " (closed)"),
            f"{' / '.join(_amount(each.cpu) for each in three)}; {_amount(one.foreign.cpu)}",
            f"{' / '.join(_amount(each.memory) for each in three)}; {_amount(one.foreign.memory)}",
            *((gpu if one.devices else ("-", "-")) if gpus else ()),
        )
    return made


def _devices(node: NodeLimits) -> Iterator[Text]:
    for device in node.devices:
        yield Text(
            f"{node.cluster}/{node.name} {device.id} {device.model}: {device.allocated}/1000 allocated, memory "
            f"{rough(device.memory_allocated)} of {rough(device.memory)} allocated, {rough(device.foreign)} foreign"
        )


def _owners(owners: Collection[OwnerLimits]) -> Table:
    made = table("OWNER", "CPU", "MEMORY", "GPU", "REPLICAS")
    for one in owners:
        made.add_row(
            one.owner,
            _three(rough(one.held.cpu), one.quota.cpu, one.left.cpu),
            _three(rough(one.held.memory), one.quota.memory, one.left.memory),
            _three(_devices_of(one.held.gpu), _gpus(one.quota), _gpus(one.left)),
            _counted(one),
        )
    return made


def _gpus(measure: Measure) -> str | None:
    return None if measure.gpu is None else _devices_of(measure.gpu)


def _three(held: str, quota: Cpus | Memory | str | None, left: Cpus | Memory | str | None) -> str:
    if quota is None or left is None:
        return f"{held} held, no limit"
    shown = tuple(each if isinstance(each, str) else rough(each) for each in (quota, left))
    return f"{held} of {shown[0]}, {shown[1]} left"


def _counted(one: OwnerLimits) -> str:
    besides = ((one.surge, "surge"), (one.stopping, "stopping"), (one.unreachable, "unreachable"))
    words = ", ".join(f"{count} {what}" for count, what in besides if count)
    return f"{one.replicas}{words and f' ({words})'}"


def _notes(owners: Collection[OwnerLimits]) -> Iterator[Text]:
    for one in owners:
        if not one.complete:
            yield Text(
                f"{one.owner} may hold more on a cluster that never answered: nothing of it grows", style="yellow"
            )


def _amount(amount: Cpus | Memory | None) -> str:
    return _UNKNOWN if amount is None else rough(amount)


def _devices_of(milli: int | None) -> str:
    return _UNKNOWN if milli is None else f"{milli / 1000:g}"
