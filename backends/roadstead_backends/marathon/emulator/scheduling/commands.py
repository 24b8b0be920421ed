"""What an agent is told to run: command, environment and resources of an instance (``TaskBuilder``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from roadstead_backends.marathon.emulator.cluster.agents import Agent, Resources
from roadstead_backends.marathon.emulator.cluster.tasks import Task
from roadstead_backends.marathon.emulator.rules.documents import Document, container_of, modes, off_host
from roadstead_backends.marathon.emulator.scheduling.health import MARATHON_CHECKS
from roadstead_backends.marathon.emulator.scheduling.instances import Instance, MarathonTask
from roadstead_backends.marathon.emulator.scheduling.matching import Match
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["mesos_tasks", "resources_of"]

_NOT_A_NAME: Final = re.compile(r"[^A-Z0-9_]")
_LONGEST_LABEL: Final = 512


def resources_of(spec: RunSpec) -> Resources:
    """All that an instance takes of an agent."""
    if not spec.is_pod:
        return _amounts(spec.document)
    own = spec.document.get("executorResources", {"cpus": 0.1, "mem": 32.0, "disk": 10.0})
    total = _amounts(own)
    for container in spec.document["containers"]:
        total = total + _amounts(container["resources"])
    return total


def _amounts(document: Mapping[str, Any]) -> Resources:
    return Resources(
        cpus=document.get("cpus", 0.0),
        mem=document.get("mem", 0.0),
        disk=document.get("disk", 0.0),
        gpus=document.get("gpus", 0),
    )


def mesos_tasks(instance: Instance, agent: Agent, match: Match, now: int) -> tuple[list[MarathonTask], list[Task]]:
    """The tasks of an instance's next incarnation, as Marathon tracks them and as Mesos runs them."""
    spec, incarnation = instance.spec, instance.incarnation
    if spec.is_pod:
        return _pod_tasks(instance, agent, match, now)
    task_id = f"{instance.id}._app.{incarnation}"
    tracked = MarathonTask(id=task_id, container=None, ports=match.host_ports, staged_at=now)
    document = spec.document
    environment = {
        **_described(spec),
        **_port_variables(spec, match),
        "MESOS_TASK_ID": task_id,
        "HOST": agent.hostname,
        **{name: value for name, value in document.get("env", {}).items() if isinstance(value, str)},
    }
    task = Task(
        id=task_id,
        name=".".join(reversed(spec.id.segments)),
        agent=agent,
        resources=resources_of(spec),
        ports=match.host_ports,
        command=document.get("cmd"),
        arguments=tuple(document.get("args", ())),
        environment=environment,
        labels=spec.labels,
        health_checks=tuple(check for check in spec.health_checks if check["protocol"] not in MARATHON_CHECKS),
        grace=document.get("taskKillGracePeriodSeconds"),
        fetch=tuple(document.get("fetch", ())),
        user=document.get("user"),
        limits=document.get("resourceLimits") or {},
    )
    return [tracked], [task]


def _pod_tasks(instance: Instance, agent: Agent, match: Match, now: int) -> tuple[list[MarathonTask], list[Task]]:
    """One task per container; the executor's own resources go with the first."""
    spec, ports = instance.spec, list(match.ports)
    own = _amounts(spec.document.get("executorResources", {"cpus": 0.1, "mem": 32.0, "disk": 10.0}))
    tracked: list[MarathonTask] = []
    tasks: list[Task] = []
    for container in spec.document["containers"]:
        endpoints = container.get("endpoints", [])
        mine = [port for port in (ports.pop(0) for _ in endpoints) if port is not None]
        task_id = f"{instance.id}.{container['name']}.{instance.incarnation}"
        tracked.append(MarathonTask(id=task_id, container=container["name"], ports=tuple(mine), staged_at=now))
        command = (container.get("exec") or {}).get("command", {})
        amounts = _amounts(container["resources"])
        environment = {
            **spec.document.get("environment", {}),
            **container.get("environment", {}),
            **_endpoint_variables(endpoints, mine),
            "MESOS_TASK_ID": task_id,
            "HOST": agent.hostname,
        }
        tasks.append(
            Task(
                id=task_id,
                name=container["name"],
                agent=agent,
                resources=amounts + own if not tasks else amounts,
                ports=tuple(mine),
                command=command.get("shell"),
                arguments=tuple(command.get("argv", ())),
                environment={name: value for name, value in environment.items() if isinstance(value, str)},
                labels={**spec.labels, **container.get("labels", {})},
                health_checks=(container["healthCheck"],) if "healthCheck" in container else (),
                grace=(container.get("lifecycle") or {}).get("killGracePeriodSeconds"),
                fetch=tuple(container.get("artifacts", ())),
                user=container.get("user", spec.document.get("user")),
                limits=container.get("resourceLimits") or {},
            )
        )
    return tracked, tasks


def _described(spec: RunSpec) -> dict[str, str]:
    """What tells the task about its app."""
    document, amounts = spec.document, resources_of(spec)
    docker = container_of(document).get("docker")
    found = {
        "MARATHON_APP_ID": str(spec.id),
        "MARATHON_APP_VERSION": written(spec.version),
        "MARATHON_APP_RESOURCE_CPUS": str(float(amounts.cpus)),
        "MARATHON_APP_RESOURCE_MEM": str(float(amounts.mem)),
        "MARATHON_APP_RESOURCE_DISK": str(float(amounts.disk)),
        "MARATHON_APP_RESOURCE_GPUS": str(amounts.gpus),
    }
    if docker is not None:
        found["MARATHON_APP_DOCKER_IMAGE"] = docker["image"]
    labels = {name: value for name, value in spec.labels.items() if len(name) < _LONGEST_LABEL > len(value)}
    names = {name: _NOT_A_NAME.sub("_", name.upper()) for name in labels}
    found["MARATHON_APP_LABELS"] = " ".join(sorted(names.values()))
    found.update((f"MARATHON_APP_LABEL_{names[name]}", value) for name, value in labels.items())
    return found


def _port_variables(spec: RunSpec, match: Match) -> dict[str, str]:
    """``PORT``, ``PORT0``..., ``PORT_<number>``, ``PORT_<NAME>`` and ``PORTS``."""
    document = spec.document
    if off_host(document["networks"]):
        named = container_of(document).get("portMappings") or []
        declared = [mapping["containerPort"] for mapping in named]
        bridged = "container/bridge" in modes(document["networks"])
        seen = [
            port or number if bridged else number or port for port, number in zip(match.ports, declared, strict=True)
        ]
    else:
        named = document.get("portDefinitions") or []
        declared = [definition["port"] for definition in named]
        seen = list(match.ports)
    return _variables(named, declared, seen)


def _variables(named: Sequence[Document], declared: Sequence[int], ports: Sequence[int | None]) -> dict[str, str]:
    found: dict[str, str] = {}
    shown: list[str] = []
    for index, (port, number, one) in enumerate(zip(ports, declared, named, strict=True)):
        if port is None:
            continue
        shown.append(str(port))
        found[f"PORT{index}"] = str(port)
        if number:
            found[f"PORT_{number}"] = str(port)
        if "name" in one:
            found[f"PORT_{_NOT_A_NAME.sub('_', one['name'].upper())}"] = str(port)
    if shown:
        found["PORT"] = shown[0]
        found["PORTS"] = ",".join(shown)
    return found


def _endpoint_variables(endpoints: Sequence[Document], ports: Sequence[int]) -> dict[str, str]:
    found: dict[str, str] = {}
    hosted = [endpoint for endpoint in endpoints if "hostPort" in endpoint]
    for endpoint, port in zip(hosted, ports, strict=False):
        name = _NOT_A_NAME.sub("_", endpoint["name"].upper())
        found[f"ENDPOINT_{name}"] = str(endpoint.get("containerPort") or port)
        found[f"EP_HOST_{name}"] = str(port)
        found[f"EP_CONTAINER_{name}"] = str(endpoint.get("containerPort") or port)
    return found
