"""Whether a pod fits on a node of a cluster where we decide it. Pure.

The kubelet judges once more when the pod arrives, and rejects what does not fit; such a pod has failed, and another one
takes its place. So, being wrong here costs a pod that never started, and nothing else.
"""

from __future__ import annotations

from roadstead.model import GpuPartition, Resources, Template, WholeGpus
from roadstead.world import Node
from roadstead_backends.kubernetes.objects import Pod
from roadstead_backends.kubernetes.view import View

__all__ = ["lacks"]


def lacks(view: View, pod: Pod, name: str, devices: tuple[str, ...]) -> str | None:
    """Return what a node lacks for one more pod with these devices; ``None`` where it fits."""
    node = view.ground.node(name)
    template = view.template_of(pod)
    if node is None:
        return f"there is no node {name!r}"
    if not node.schedulable:
        return f"node {name} takes no pods now"
    if template is None:
        return "its group is gone"
    guests = tuple(view.guests(name))
    short = _short_of(node, template.resources, tuple(held for _, held in guests))
    if short is not None:
        return short
    taken = [(one, held.resources.gpu) for replica, held in guests for one in replica.devices]
    return _lacks_devices(node, template.resources, devices, [one for one, gpu in taken if isinstance(gpu, WholeGpus)])


def _short_of(node: Node, wanted: Resources, guests: tuple[Template, ...]) -> str | None:
    held_cpu = node.foreign_cpu.milli + sum(one.resources.cpu.milli for one in guests)
    held_memory = node.foreign_memory.bytes + sum(one.resources.memory.bytes for one in guests)
    held_disk = sum(one.resources.disk.bytes for one in guests)
    for what, whole, held, asked in (
        ("cpu", node.cpu.milli, held_cpu, wanted.cpu.milli),
        ("memory", node.memory.bytes, held_memory, wanted.memory.bytes),
        ("disk", node.disk.bytes, held_disk, wanted.disk.bytes),
    ):
        if asked > max(0, whole - held):
            return f"node {node.name} has {max(0, whole - held)} {what} left, and {asked} are needed"
    return None


def _lacks_devices(node: Node, wanted: Resources, devices: tuple[str, ...], taken: list[str]) -> str | None:
    known = {device.id for device in node.devices}
    for device in devices:
        if device not in known:
            return f"node {node.name} has no device {device!r}"
        if device in taken and not isinstance(wanted.gpu, GpuPartition):
            return f"device {device} of node {node.name} is taken"
    return None
