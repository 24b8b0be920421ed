"""Agents, tasks and amounts as the pages of Mesos show them (its version 1.11). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from roadstead_backends.marathon.emulator.cluster.agents import Agent, Resources
from roadstead_backends.marathon.emulator.cluster.tasks import Task
from roadstead_backends.marathon.emulator.rules.documents import Document

__all__ = [
    "SCALARS",
    "attribute",
    "domain",
    "draining",
    "flat",
    "listed",
    "name_of",
    "resources",
    "taken",
    "task_of",
    "total",
]

SCALARS: Final = ("cpus", "gpus", "mem", "disk")


def taken(agent: Agent) -> list[tuple[int, int]]:
    """The ports of an agent that tasks have, as ranges."""
    return [(port, port) for port in sorted(agent.taken_ports)]


def total(amounts: Iterable[Resources]) -> Resources:
    """All of them together."""
    return sum(amounts, Resources())


def resources(amounts: Resources, ports: Sequence[tuple[int, int]]) -> Document:
    """Amounts as the older pages show them."""
    shown: Document = {name: float(getattr(amounts, name)) for name in SCALARS}
    if ports:
        shown["ports"] = "[" + ", ".join(f"{low}-{high}" for low, high in ports) + "]"
    return shown


def listed(amounts: Resources, ports: Sequence[tuple[int, int]], role: str) -> list[Document]:
    """Amounts as version 1 shows them: what there is nothing of is left out."""
    found: list[Document] = [
        {"name": name, "type": "SCALAR", "role": role, "scalar": {"value": float(getattr(amounts, name))}}
        for name in SCALARS
        if getattr(amounts, name)
    ]
    if ports:
        ranges = [{"begin": low, "end": high} for low, high in ports]
        found.append({"name": "ports", "type": "RANGES", "role": role, "ranges": {"range": ranges}})
    return found


def attribute(name: str, value: Any) -> Document:
    """An attribute as version 1 shows it."""
    match value:
        case str():
            return {"name": name, "type": "TEXT", "text": {"value": value}}
        case frozenset():
            return {"name": name, "type": "SET", "set": {"item": sorted(value)}}
        case tuple():
            return {"name": name, "type": "RANGES", "ranges": {"range": [{"begin": a, "end": b} for a, b in value]}}
    return {"name": name, "type": "SCALAR", "scalar": {"value": float(value)}}


def domain(agent: Agent) -> Mapping[str, Any]:
    """Where an agent is, if that is known."""
    if agent.region is None:
        return {}
    return {"domain": {"fault_domain": {"region": {"name": agent.region}, "zone": {"name": agent.zone}}}}


def task_of(task: Task, framework: str) -> Document:
    """A task as the older pages show it."""
    return {
        "id": task.id,
        "name": task.name,
        "framework_id": framework,
        "executor_id": "",
        "slave_id": task.agent.id,
        "state": task.state,
        "resources": resources(task.resources, [(port, port) for port in task.ports]),
        "role": task.agent.role,
        "labels": [{"key": key, "value": value} for key, value in task.labels.items()],
        "statuses": [{"state": task.state, "timestamp": task.since / 1000}],
    }


def name_of(agent: Agent) -> str:
    """What an agent is called among those of one process: by its number, from 1."""
    return f"slave({int(agent.id.rpartition('-S')[2]) + 1})"


def flat(value: Any) -> str | float:
    """An attribute as the older pages show it: a number, or text."""
    match value:
        case str():
            return value
        case frozenset():
            return "{" + ", ".join(sorted(value)) + "}"
        case tuple():
            return "[" + ", ".join(f"{low}-{high}" for low, high in value) + "]"
    return float(value)


def draining(agent: Agent) -> Document:
    """How far an agent is emptied, if it is."""
    if not agent.draining:
        return {}
    state = "DRAINED" if agent.used == Resources() else "DRAINING"
    return {"drain_info": {"state": state, "config": {"mark_gone": False}}}
