"""What Marathon makes of an app before and after it is validated (``AppNormalization``)."""

from __future__ import annotations

import re
from typing import Any, Final

from roadstead_backends.marathon.emulator.paths import ROOT, path_of
from roadstead_backends.marathon.emulator.refusals import Refusal
from roadstead_backends.marathon.emulator.rules.documents import Document, is_resident, modes, off_host
from roadstead_backends.marathon.emulator.rules.networks import named, require_names, translated

__all__ = ["completed", "completed_update", "modernized", "modernized_update"]

_ARCHIVE: Final = re.compile(r".*\.(tgz|tar\.gz|tbz2|tar\.bz2|txz|tar\.xz|zip)$")
_DEFAULT_MAPPING: Final = {
    "containerPort": 0, "labels": {}, "name": "default", "protocol": "tcp", "servicePort": 0,
}  # fmt: skip
_BARE_MAPPING: Final = {"containerPort": 0, "labels": {}, "protocol": "tcp", "servicePort": 0}
_STATUSES: Final = [200]


def modernized(app: Document, bridge: str) -> Document:
    """The app without deprecated fields: what they meant said in today's (before validation)."""
    stated_networks = app.get("networks") or None
    networks = translated({**app, "networks": stated_networks}, bridge) or []
    stated = app.get("portDefinitions")
    definitions = stated if stated is not None else _from_ports(app.get("ports"))
    container = app.get("container") or ({"type": "MESOS", "volumes": []} if "ipAddress" in app else None)
    if container is not None:
        container = _with_discovery(_with_own_mappings(container), app.get("ipAddress"))
        container = _with_mappings(container, networks, definitions)
    normal = {key: item for key, item in app.items() if key not in ("uris", "ports", "ipAddress")}
    normal["id"] = str(path_of(app["id"]).within(ROOT))
    normal["fetch"] = _fetched(app)
    normal["networks"] = networks
    if container is not None:
        normal["container"] = container
    normal.pop("portDefinitions", None)
    if not off_host(networks):
        normal["portDefinitions"] = definitions if definitions is not None else [_default_definition()]
    if stated or (container or {}).get("portMappings"):
        normal["healthChecks"] = _with_port_index(app.get("healthChecks", []))
    normal["readinessChecks"] = _with_statuses(app.get("readinessChecks", []))
    if is_resident(app) and "residency" not in app:
        normal["residency"] = {"relaunchEscalationTimeoutSeconds": 3600, "taskLostBehavior": "WAIT_FOREVER"}
    return normal


def modernized_update(update: Document, bridge: str) -> Document:
    """An update without deprecated fields; ports get no defaults before it meets the app."""
    normal = {key: item for key, item in update.items() if key not in ("uris", "ports", "ipAddress")}
    if update.get("uris"):
        if update.get("fetch"):
            raise Refusal(500, {"message": "cannot specify both uris and fetch fields"})
        normal["fetch"] = _fetched(update)
    networks = translated(update, bridge)
    if networks is not None:
        normal["networks"] = networks
    container = update.get("container") or ({"type": "MESOS", "volumes": []} if "ipAddress" in update else None)
    if container is not None:
        normal["container"] = _with_discovery(_with_own_mappings(container), update.get("ipAddress"))
    if update.get("portDefinitions") is None and update.get("ports") is not None:
        normal["portDefinitions"] = _from_ports(update["ports"])
    if "healthChecks" in update:
        normal["healthChecks"] = _with_port_index(update["healthChecks"])
    if "readinessChecks" in update:
        normal["readinessChecks"] = _with_statuses(update["readinessChecks"])
    return normal


def completed_update(update: Document, default_network: str | None) -> Document:
    """An update with what follows from its networks: their names, and a container where it names none."""
    if "networks" not in update:
        return update
    networks = named(update["networks"], default_network)
    require_names(networks)
    return _with_container({**update, "networks": networks}, networks)


def completed(app: Document, default_network: str | None) -> Document:
    """The app with what follows from it: names of networks, containers, strategies (after validation)."""
    networks = named(app["networks"], default_network) or [{"mode": "host"}]
    normal = _with_container({**app, "networks": networks}, networks)
    if "unreachableStrategy" not in app:
        strategy: Any = {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}
        normal["unreachableStrategy"] = "disabled" if is_resident(app) else strategy
    if off_host(networks):
        normal["requirePorts"] = False
    return normal


def _with_container(document: Document, networks: list[Document]) -> Document:
    container = document.get("container")
    if container is None and off_host(networks):
        container = {"type": "MESOS", "volumes": [], "portMappings": [dict(_DEFAULT_MAPPING)]}
    return document if container is None else {**document, "container": _bridged(container, networks)}


def _default_definition() -> Document:
    return {"port": 0, "name": "default", "protocol": "tcp"}


def _from_ports(ports: list[int] | None) -> list[Document] | None:
    return None if ports is None else [{"port": port, "protocol": "tcp"} for port in ports]


def _fetched(app: Document) -> list[Document]:
    """What is to be fetched; of the older ``uris`` archives are unpacked."""
    fetch: list[Document] = app.get("fetch") or []
    if fetch or not app.get("uris"):
        return fetch
    return [
        {"uri": uri, "extract": bool(_ARCHIVE.fullmatch(uri)), "executable": False, "cache": False}
        for uri in app["uris"]
    ]


def _with_own_mappings(container: Document) -> Document:
    """The container with the mappings that stood at its Docker part, and without that part's network."""
    docker: Document | None = container.get("docker")
    if docker is None:
        return container
    mappings = docker.get("portMappings")
    bare = {key: item for key, item in docker.items() if key not in ("portMappings", "network")}
    moved = {**container, "docker": bare}
    if mappings is None:
        return moved
    if container.get("portMappings") and mappings:
        raise Refusal(500, {"message": "cannot specify both portMappings and docker.portMappings"})
    if container.get("portMappings") is None or not container["portMappings"]:
        moved["portMappings"] = mappings
    return moved


def _with_discovery(container: Document, address: Document | None) -> Document:
    """The container with the ports that ``ipAddress.discovery`` names as mappings."""
    ports = ((address or {}).get("discovery") or {}).get("ports")
    if not ports:
        return container
    if container["type"] != "MESOS":
        message = f"ipAddress.discovery.ports do not apply for container type {container['type']}"
        raise Refusal(500, {"message": message})
    if container.get("portMappings"):
        message = "container.portMappings and ipAddress.discovery.ports must not both be set"
        raise Refusal(500, {"message": message})
    mappings = [
        {
            "containerPort": port["number"],
            "labels": port.get("labels", {}),
            "name": port["name"],
            "protocol": port["protocol"],
            "servicePort": 0,
        }
        for port in ports
    ]
    return {**container, "portMappings": mappings}


def _with_mappings(container: Document, networks: list[Document], definitions: list[Document] | None) -> Document:
    """The container with as many mappings as its networks call for."""
    if not off_host(networks):
        return {key: item for key, item in container.items() if key != "portMappings"}
    mappings = container.get("portMappings")
    if mappings is None:
        mappings = [dict(_DEFAULT_MAPPING)]
    missing = len(definitions or []) - len(mappings)
    return {**container, "portMappings": [*mappings, *(dict(_BARE_MAPPING) for _ in range(missing))]}


def _bridged(container: Document, networks: list[Document]) -> Document:
    """The container with host ports asked for where a bridge makes them necessary."""
    if "container/bridge" not in modes(networks) or container.get("portMappings") is None:
        return container
    return {**container, "portMappings": [{"hostPort": 0, **mapping} for mapping in container["portMappings"]]}


def _with_port_index(checks: list[Document]) -> list[Document]:
    return [
        {**check, "portIndex": 0}
        if check["protocol"] != "COMMAND" and "port" not in check and "portIndex" not in check
        else check
        for check in checks
    ]


def _with_statuses(checks: list[Document]) -> list[Document]:
    return [
        {**check, "httpStatusCodesForReady": check.get("httpStatusCodesForReady") or list(_STATUSES)}
        for check in checks
    ]
