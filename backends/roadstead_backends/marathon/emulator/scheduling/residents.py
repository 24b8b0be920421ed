"""What may not change where volumes tie instances to their agents (``residentUpdateIsValid``, of apps and of pods)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from roadstead_backends.marathon.emulator.refusals import Violations
from roadstead_backends.marathon.emulator.rules.documents import Document, container_of, volumes_of
from roadstead_backends.marathon.emulator.scheduling.commands import resources_of
from roadstead_backends.marathon.emulator.scheduling.groups import RootGroup
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["check_residents"]

_AMOUNTS: Final = ("cpus", "mem", "disk", "gpus")


def check_residents(original: RootGroup, target: RootGroup) -> None:
    """Refuse a change of what was reserved: of the volumes themselves, of resources, and of ports on the host."""
    for path, spec in target.specs.items():
        old = original.specs.get(path)
        if old is None or old is spec or old.is_pod != spec.is_pod or not (old.resident or spec.resident):
            continue
        found = Violations()
        (_check_pod if spec.is_pod else _check_app)(old, spec, found)
        found.raise_any()


def _check_app(old: RunSpec, new: RunSpec, found: Violations) -> None:
    before, after = old.document, new.document
    volumes = [_by(volumes_of(app, "persistent"), "containerPath") for app in (before, after)]
    found.check(volumes[0] == volumes[1], "/app(0)", "Persistent volumes can not be changed!")
    same = all(before.get(field) == after.get(field) for field in _AMOUNTS)
    ports = _host_ports(before) == _host_ports(after)
    required = before.get("requirePorts", False) == after.get("requirePorts", False)
    message = "Resident Tasks may not change resource requirements!"
    found.check(same and ports and required, "/app(0)", message)


def _check_pod(old: RunSpec, new: RunSpec, found: Violations) -> None:
    volumes = [
        _by((volume for volume in spec.document.get("volumes", []) if "persistent" in volume), "name")
        for spec in (old, new)
    ]
    found.check(volumes[0] == volumes[1], "/pod(0)", "persistent volumes cannot be updated")
    before, after = resources_of(old), resources_of(new)
    for field in _AMOUNTS:
        message = f"{field} cannot be updated if a pod has persistent volumes"
        found.check(getattr(before, field) == getattr(after, field), "/pod(0)", message)
    ports = [_endpoint_ports(spec.document) for spec in (old, new)]
    found.check(ports[0] == ports[1], "/pod(0)", "host ports cannot be updated if a pod has persistent volumes")


def _by(volumes: Iterable[Document], name: str) -> dict[str, Document]:
    return {volume[name]: volume for volume in volumes}


def _host_ports(app: Mapping[str, Any]) -> set[int]:
    """Ports of mappings, or else the service ports of definitions, which Marathon takes for the same."""
    mappings = container_of(app).get("portMappings")
    if mappings:
        return {mapping["hostPort"] for mapping in mappings if "hostPort" in mapping}
    return {definition["port"] for definition in app.get("portDefinitions") or []}


def _endpoint_ports(pod: Mapping[str, Any]) -> set[int]:
    endpoints = (endpoint for container in pod["containers"] for endpoint in container.get("endpoints", []))
    return {endpoint["hostPort"] for endpoint in endpoints if "hostPort" in endpoint}
