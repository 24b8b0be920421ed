"""The status of a pod's instances and their containers, pure (``PodStatusConversion``)."""

from __future__ import annotations

from typing import Final

from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.instances import ACTIVE, Instance, MarathonTask, mesos_state
from roadstead_backends.marathon.emulator.scheduling.moments import written

__all__ = ["instance_status"]

_STATES: Final = {
    "Scheduled": "PENDING",
    "Provisioned": "PENDING",
    "Staging": "STAGING",
    "Starting": "STAGING",
    "Running": "STABLE",
    "Unreachable": "DEGRADED",
    "UnreachableInactive": "DEGRADED",
}
"""Every other condition is the end, also that of being killed."""
_LOST: Final = ("Unreachable", "UnreachableInactive")
_YET_TO_RUN: Final = ("Scheduled", "Provisioned", "Staging", "Starting")
_UNREACHABLE: Final = "pod instance has become unreachable"
_UNHEALTHY: Final = "at least one container is not healthy"
_HEALTHY: Final = "healthy"


def instance_status(instance: Instance) -> Document:
    """Return the status of one instance; one that was never launched has no agent and no containers."""
    spec, agent, since = instance.spec, instance.agent, written(instance.since)
    specs = {container["name"]: container for container in spec.document["containers"]}
    containers = [_container_status(task, specs[task.container]) for task in instance.tasks.values() if task.container]
    shown: Document = {"id": instance.id, **_state(instance, containers), "statusSince": since, "conditions": []}
    if agent is not None:
        shown.update(agentHostname=agent.hostname, agentId=agent.id)
        shown.update((f"agent{key}", value) for key, value in (("Region", agent.region), ("Zone", agent.zone)) if value)
    addressed = agent is not None and any(task.has_address for task in instance.tasks.values())
    return {
        **shown,
        "resources": _total(spec.document["executorResources"], containers),
        "networks": [{"addresses": [agent.hostname]}] if addressed and agent is not None else [],
        "containers": containers,
        "specReference": f"/v2/pods{spec.id}::versions/{written(spec.version)}",
        "localVolumes": [],
        "lastUpdated": since,
        "lastChanged": since,
        "role": spec.role,
    }


def _state(instance: Instance, containers: list[Document]) -> Document:
    """The status, and in words what is wrong."""
    if instance.condition in _LOST:
        return {"status": "DEGRADED", "message": _UNREACHABLE}
    ill = any(each["value"] == "false" for container in containers for each in container["conditions"])
    if instance.condition == "Running" and ill:
        return {"status": "DEGRADED", "message": _UNHEALTHY}
    return {"status": _STATES.get(instance.condition, "TERMINAL")}


def _total(own: Document, containers: list[Document]) -> Document:
    """What the executor and the containers that take some have together."""
    total = {"cpus": own["cpus"], "mem": own["mem"], "disk": own["disk"], "gpus": 0}
    for container in containers:
        for name, amount in container.get("resources", {}).items():
            total[name] = total[name] + amount
    return total


def _container_status(task: MarathonTask, container: Document) -> Document:
    since = written(task.started_at if task.started_at is not None else task.staged_at)
    endpoints = _endpoints(task, container) if task.condition in (*ACTIVE, "Provisioned") else []
    shown: Document = {
        "name": task.container,
        "status": mesos_state(task.condition),
        "statusSince": since,
        "conditions": _conditions(task, container, endpoints, since),
        "containerId": task.id,
        "endpoints": endpoints,
    }
    if task.condition in ACTIVE:
        shown["resources"] = container["resources"]
    return {**shown, "lastUpdated": since, "lastChanged": since}


def _endpoints(task: MarathonTask, container: Document) -> list[Document]:
    """Those with a port on the host first; the one that is checked comes last, with what is known of its health."""
    declared = container.get("endpoints", [])
    hosted = [endpoint for endpoint in declared if "hostPort" in endpoint]
    found: list[Document] = [
        {"name": endpoint["name"], "allocatedHostPort": port}
        for endpoint, port in zip(hosted, task.ports, strict=False)
    ]
    found += [{"name": each["name"]} for each in declared if "hostPort" not in each]
    checked = _checked_endpoint(container)
    health = {} if task.healthy is None else {"healthy": task.healthy}
    last = [{**each, **health} for each in found if each["name"] == checked]
    return [each for each in found if each["name"] != checked] + last


def _checked_endpoint(container: Document) -> str | None:
    check: Document = container.get("healthCheck") or {}
    return (check.get("http") or check.get("tcp") or {}).get("endpoint")


def _conditions(task: MarathonTask, container: Document, endpoints: list[Document], since: str) -> list[Document]:
    """Whether a container is healthy, once it came to run; one that nobody has told of yet is not."""
    check, checked = container.get("healthCheck") or {}, _checked_endpoint(container)
    if task.condition in _YET_TO_RUN or not ("exec" in check or checked is not None):
        return []
    ends = {each["name"]: each.get(_HEALTHY) for each in endpoints}
    healthy = task.healthy if "exec" in check else ends.get(str(checked))
    return [
        {
            "name": _HEALTHY,
            "lastChanged": since,
            "lastUpdated": since,
            "value": "true" if healthy else "false",
            "reason": f"health-{'un' if healthy is None else ''}reported-by-mesos",
        }
    ]
