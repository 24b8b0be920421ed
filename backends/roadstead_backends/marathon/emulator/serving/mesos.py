"""The operator's side of Mesos: state, agents and statistics of the cluster below Marathon (its version 1.11)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

from roadstead_backends.marathon.emulator.cluster.agents import Agent, Resources
from roadstead_backends.marathon.emulator.cluster.tasks import Task
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, json_answer
from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.serving import mesos_pages as shown
from roadstead_backends.marathon.emulator.serving.files import Files

__all__ = ["Operator"]

_VERSION: Final = "1.11.0"


class Operator:
    """Answers as the leading master, and as its agents.

    The agents are all at the master's own address, each by its name in front of the path: the third is ``/slave(3)``.
    That is how libprocess tells several apart that are in one process.
    """

    def __init__(self, marathon: Marathon, address: str) -> None:
        self._marathon = marathon
        self._cluster = marathon.cluster
        self._address = address
        self._begun = marathon.timeline.now / 1000
        self._files = Files(marathon.cluster, marathon.framework_id)
        self._calls: dict[str, Callable[[Document], Document | None]] = {
            "GET_HEALTH": lambda _call: {"healthy": True},
            "GET_VERSION": lambda _call: {"version_info": {"version": _VERSION}},
            "GET_AGENTS": lambda _call: self._agents(),
            "GET_FRAMEWORKS": lambda _call: self._frameworks(),
            "GET_TASKS": lambda _call: self._tasks(),
            "GET_ROLES": lambda _call: {"roles": [{"name": "*", "weight": 1.0}]},
            "GET_QUOTA": lambda _call: {"status": {}},
            "GET_STATE": lambda _call: {
                "get_tasks": self._tasks(),
                "get_frameworks": self._frameworks(),
                "get_agents": self._agents(),
            },
            "DEACTIVATE_AGENT": lambda call: self._activate(call["deactivate_agent"], active=False),
            "REACTIVATE_AGENT": lambda call: self._activate(call["reactivate_agent"], active=True),
            "DRAIN_AGENT": lambda call: self._drain(call["drain_agent"]),
            "MARK_AGENT_GONE": lambda call: self._gone(call["mark_agent_gone"]),
        }

    def answer(self, request: Request) -> Answer | None:
        """Answer a request; None where it is not for Mesos."""
        path = request.path.removeprefix("/master").rstrip("/")
        pages: dict[str, Callable[[], Document]] = {
            "/state": self._state,
            "/slaves": self._slaves,
            "/metrics/snapshot": self._metrics,
            "/version": lambda: {"version": _VERSION},
            "/tasks": lambda: {
                "tasks": [shown.task_of(task, self._framework) for task in self._cluster.tasks.values()]
            },
        }
        if path == "/health":
            return Answer(content_type=None)
        if path == "/redirect":
            return Answer(status=307, headers={"Location": f"//{self._address}"}, content_type=None, relative=True)
        if path == "/api/v1" and request.method == "POST":
            return self._called(request)
        if path in pages:
            return json_answer(pages[path]())
        if path.startswith("/files/"):
            return self._files.answer(request)
        return self._of_agent(request.path)

    @property
    def _framework(self) -> str:
        return self._marathon.framework_id

    # As it has always been ------------------------------------------------------------------------------------------

    def _state(self) -> Document:
        agents = list(self._registered())
        unreachable = len(self._cluster.agents) - len(agents)
        return {
            "version": _VERSION,
            "build_date": "",
            "start_time": self._begun,
            "elected_time": self._begun,
            "id": self._cluster.master_id,
            "pid": f"master@{self._address}",
            "hostname": self._address.partition(":")[0],
            "activated_slaves": float(sum(agent.active and agent.connected for agent in agents)),
            "deactivated_slaves": float(sum(not agent.active for agent in agents)),
            "unreachable_slaves": float(unreachable),
            "leader": f"master@{self._address}",
            "flags": {},
            **self._slaves(),
            "frameworks": [self._own_framework()],
            "completed_frameworks": [],
            "orphan_tasks": [],
            "unregistered_frameworks": [],
        }

    def _slaves(self) -> Document:
        return {"slaves": [self._slave(agent) for agent in self._registered()], "recovered_slaves": []}

    def _registered(self) -> Iterator[Agent]:
        return (agent for agent in self._cluster.agents.values() if agent.registered)

    def _pid(self, agent: Agent) -> str:
        return f"{shown.name_of(agent)}@{self._address}"

    def _slave(self, agent: Agent) -> Document:
        total, used = (
            shown.resources(agent.total, agent.ports),
            shown.resources(agent.used, shown.taken(agent)),
        )
        full = shown.listed(agent.total, agent.ports, agent.role)
        return {
            "id": agent.id,
            "hostname": agent.hostname,
            "port": 5051,
            "attributes": {name: shown.flat(value) for name, value in agent.attributes.items()},
            "pid": self._pid(agent),
            "registered_time": agent.registered_at / 1000 or self._begun,
            "resources": total,
            "used_resources": used,
            "offered_resources": shown.resources(Resources(), ()),
            "reserved_resources": {} if agent.role == "*" else {agent.role: total},
            "unreserved_resources": total if agent.role == "*" else shown.resources(Resources(), ()),
            "reserved_resources_full": {} if agent.role == "*" else {agent.role: full},
            "unreserved_resources_full": full if agent.role == "*" else [],
            "used_resources_full": shown.listed(agent.used, shown.taken(agent), agent.role),
            "offered_resources_full": [],
            "active": agent.active and agent.connected,
            "deactivated": not agent.active,
            "version": _VERSION,
            "capabilities": ["MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT"],
            **shown.domain(agent),
            **shown.draining(agent),
        }

    def _own_framework(self) -> Document:
        used = shown.total(agent.used for agent in self._cluster.agents.values())
        settings = self._marathon.settings
        return {
            "id": self._framework,
            "name": "marathon",
            "hostname": settings.hostname,
            "webui_url": f"http://{settings.hostname}:{settings.http_port}",
            "used_resources": shown.resources(used, ()),
            "offered_resources": shown.resources(Resources(), ()),
            "active": True,
            "connected": True,
            "recovered": False,
            "checkpoint": True,
            "failover_timeout": 604800.0,
            "user": "root",
            "role": settings.mesos_role,
            "registered_time": self._begun,
            "unregistered_time": 0.0,
            "capabilities": ["GPU_RESOURCES", "PARTITION_AWARE", "MULTI_ROLE", "TASK_KILLING_STATE"],
            "tasks": [shown.task_of(task, self._framework) for task in self._cluster.tasks.values()],
            "unreachable_tasks": [],
            "completed_tasks": [],
            "offers": [],
            "executors": [],
        }

    def _metrics(self) -> Document:
        agents, states = self._cluster.agents.values(), [task.state for task in self._cluster.tasks.values()]
        total, used = (
            shown.total(agent.total for agent in agents),
            shown.total(agent.used for agent in agents),
        )
        counts: Document = {
            "master/elected": 1.0,
            "master/uptime_secs": self._marathon.timeline.now / 1000 - self._begun,
            "master/slaves_connected": float(sum(agent.connected for agent in agents)),
            "master/slaves_active": float(sum(agent.connected and agent.active for agent in agents)),
            "master/slaves_disconnected": float(sum(not agent.connected for agent in agents)),
            "master/frameworks_active": 1.0,
        }
        for state in ("staging", "starting", "running", "killing", "unreachable"):
            counts[f"master/tasks_{state}"] = float(states.count(f"TASK_{state.upper()}"))
        for state, count in self._cluster.ended.items():
            counts[f"master/{state.lower().replace('task_', 'tasks_', 1)}"] = float(count)
        for name in shown.SCALARS:
            whole, taken = float(getattr(total, name)), float(getattr(used, name))
            share = taken / whole if whole else 0.0
            counts |= {f"master/{name}_total": whole, f"master/{name}_used": taken, f"master/{name}_percent": share}
        return counts

    def _of_agent(self, path: str) -> Answer | None:
        name, _, rest = path.strip("/").partition("/")
        agent = next((one for one in self._cluster.agents.values() if shown.name_of(one) == name), None)
        if agent is None or not agent.connected:
            return None
        match rest:
            case "monitor/statistics":
                tasks = [task for task in self._cluster.tasks.values() if task.agent is agent]
                return json_answer([self._statistics(task) for task in tasks])
            case "state":
                ran = self._files.executors(agent)
                return json_answer(
                    {**self._slave(agent), "frameworks": [{**self._own_framework(), "tasks": [], **ran}]}
                )
        return None

    def _statistics(self, task: Task) -> Document:
        """Return what an agent measures of a task; what nobody measures is left out."""
        measured = self._cluster.measured(task)
        used: Document = (
            {}
            if measured is None
            else {
                "cpus_user_time_secs": measured.cpu_seconds,
                "cpus_system_time_secs": 0.0,
                "mem_rss_bytes": measured.memory,
                "mem_total_bytes": measured.memory,
            }
        )
        return {
            "executor_id": task.id,
            "executor_name": f"Command Executor (Task: {task.id})",
            "framework_id": self._framework,
            "source": task.id,
            "statistics": {
                "cpus_limit": task.resources.cpus + 0.1,
                "mem_limit_bytes": int((task.resources.mem + 32) * (1 << 20)),
                "disk_limit_bytes": int(task.resources.disk * (1 << 20)),
                "timestamp": (measured.at if measured is not None else self._marathon.timeline.now) / 1000,
                **used,
            },
        }

    # Version 1 ------------------------------------------------------------------------------------------------------

    def _called(self, request: Request) -> Answer:
        try:
            call = json.loads(request.body)
            kind = call["type"]
        except (ValueError, TypeError, KeyError):
            return _plain(400, "Failed to parse body into Call protobuf")
        made = self._calls.get(kind)
        if made is None:
            return _plain(501, f"Call {kind} is not emulated")
        try:
            found = made(call)
        except KeyError as error:
            return _plain(400, f"Failed to validate master::Call: Expecting {error} to be present")
        if found is None:
            return Answer(status=200, content_type=None)
        return json_answer({"type": kind, kind.lower(): found})

    def _agents(self) -> Document:
        return {"agents": [self._agent(agent) for agent in self._registered()], "recovered_agents": []}

    def _agent(self, agent: Agent) -> Document:
        total = shown.listed(agent.total, agent.ports, agent.role)
        return {
            "agent_info": {
                "id": {"value": agent.id},
                "hostname": agent.hostname,
                "port": 5051,
                "resources": total,
                "attributes": [shown.attribute(name, value) for name, value in agent.attributes.items()],
                **shown.domain(agent),
            },
            "active": agent.active and agent.connected,
            "deactivated": not agent.active,
            "version": _VERSION,
            "pid": self._pid(agent),
            **shown.draining(agent),
            "registered_time": {"nanoseconds": int((agent.registered_at or self._begun * 1000) * 1_000_000)},
            "total_resources": total,
            "allocated_resources": shown.listed(agent.used, shown.taken(agent), agent.role),
            "offered_resources": [],
        }

    def _frameworks(self) -> Document:
        settings = self._marathon.settings
        info = {
            "id": {"value": self._framework},
            "name": "marathon",
            "user": "root",
            "hostname": settings.hostname,
            "roles": [settings.mesos_role],
            "checkpoint": True,
            "failover_timeout": 604800.0,
        }
        return {"frameworks": [{"framework_info": info, "active": True, "connected": True, "recovered": False}]}

    def _tasks(self) -> Document:
        return {
            "tasks": [
                {
                    "name": task.name,
                    "task_id": {"value": task.id},
                    "framework_id": {"value": self._framework},
                    "agent_id": {"value": task.agent.id},
                    "state": task.state,
                    "resources": shown.listed(task.resources, [(port, port) for port in task.ports], task.agent.role),
                }
                for task in self._cluster.tasks.values()
            ]
        }

    def _activate(self, call: Document, *, active: bool) -> None:
        agent = self._cluster.agents[call["agent_id"]["value"]]
        agent.active = active
        agent.draining = agent.draining and not active

    def _drain(self, call: Document) -> None:
        agent = self._cluster.agents[call["agent_id"]["value"]]
        agent.active, agent.draining = False, True
        for task in [task for task in self._cluster.tasks.values() if task.agent is agent]:
            self._cluster.kill(task.id)

    def _gone(self, call: Document) -> None:
        agent = self._cluster.agents[call["agent_id"]["value"]]
        agent.active = agent.registered = False
        for task in [task for task in self._cluster.tasks.values() if task.agent is agent]:
            self._cluster.fail_task(task.id, "TASK_GONE_BY_OPERATOR", "Agent was marked gone")


def _plain(status: int, text: str) -> Answer:
    return Answer(status=status, body=text.encode(), content_type="text/plain; charset=utf-8")
