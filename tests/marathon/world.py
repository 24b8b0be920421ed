"""An emulated Marathon in virtual time, set up as the recorded one was: three agents, tasks that do as labels say."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import attrs

from roadstead_backends.marathon.emulator.cluster.agents import Agent, Resources
from roadstead_backends.marathon.emulator.cluster.simulated import Habits, SimCluster
from roadstead_backends.marathon.emulator.cluster.tasks import Course, Pretended, Task
from roadstead_backends.marathon.emulator.cluster.timeline import Timeline
from roadstead_backends.marathon.emulator.http.ensemble import Ensemble
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, reason_of, wired
from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.scheduling.probing import HttpAnswer, Outcome, Target
from roadstead_backends.marathon.emulator.settings import Settings

__all__ = ["STARTED", "Reply", "ScriptedProber", "World", "labelled"]

START = 1_795_357_862_000
STARTED = "Sun, 22 Nov 2026 15:04:40 UTC"


def labelled(task: Task) -> Course:
    """The course that a task's labels ``SIM`` and ``SIM_DELAY`` (milliseconds) ask for."""
    delay = int(task.labels.get("SIM_DELAY") or 0)
    after = int(task.labels.get("SIM_AFTER", "1350")) + 150
    match task.labels.get("SIM"):
        case "failfast":
            return Course(
                starting=None,
                running=None,
                end=delay or 100,
                final="TASK_FAILED",
                message="Command exited with status 1",
            )
        case "fail":
            return Course(end=after, final="TASK_FAILED", message="Command exited with status 3")
        case "finish":
            return Course(end=after, final="TASK_FINISHED", message="Command exited with status 0")
        case "error":
            return Course(
                starting=None, running=None, end=100, final="TASK_ERROR", message="Task uses invalid resources"
            )
        case "unreachable":
            return Course(end=after, final="TASK_UNREACHABLE", message="Agent unreachable")
    return Course(running=150 + delay, healthy=400 if task.health_checks else None)


class ScriptedProber:
    """Answers every probe at once, as it was told to."""

    def __init__(self) -> None:
        self.outcome: Callable[[Target], Outcome] = lambda _target: Outcome(
            connected=True, answer=HttpAnswer(status=200)
        )
        self.asked: list[Target] = []

    def probe(self, target: Target, done: Callable[[Outcome], None]) -> None:
        """Note the probe and answer it."""
        self.asked.append(target)
        done(self.outcome(target))


@attrs.frozen(kw_only=True)
class Reply:
    """What came back."""

    status: int
    reason: str
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON; text that is none as it is."""
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text

    @property
    def said(self) -> tuple[int, Any]:
        """The status, and the violations by their paths, or else the message."""
        body = self.json
        details = body.get("details")
        return self.status, {each["path"]: each["errors"] for each in details} if details else body.get("message")


class World:
    """A cluster, a Marathon on it, and its API."""

    def __init__(
        self,
        settings: Settings,
        *,
        hosts: tuple[str, ...],
        gpus: tuple[int, ...],
        started: str = STARTED,
        ports: tuple[int, ...] = (),
    ) -> None:
        self.timeline = Timeline(START)
        self.prober = ScriptedProber()
        agents = [self._agent(index, host, gpu) for index, (host, gpu) in enumerate(zip(hosts, gpus, strict=True))]
        habits = Habits(interval=250, rest_after=120_000)
        executor = Pretended(self.timeline, labelled)
        self.cluster = SimCluster(self.timeline, agents, executor=executor, habits=habits)
        self.marathon = Marathon(self.cluster, self.prober, settings)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.marathon.events.subscribe(lambda kind, event: self.events.append((kind, event)))
        self.address = f"{settings.hostname}:{settings.http_port}"
        others = tuple(f"{settings.hostname}:{port}" for port in ports)
        self.ensemble = Ensemble(self.marathon, (self.address, *others), started=started)
        self.asked = others[-1] if others else self.address

    @staticmethod
    def _agent(index: int, host: str, gpus: int) -> Agent:
        return Agent(
            id=f"{uuid.uuid4()}-S{index}",
            hostname=host,
            total=Resources(cpus=8, mem=16384, disk=100_000, gpus=gpus),
            ports=((31000, 31099),),
            region="region-a",
            zone=f"zone-{index % 2}",
            attributes={"rack": f"rack-{index % 2}", "disktype": "hdd" if index else "ssd", "level": float(index + 1)},
        )

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        query: str = "",
        headers: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """Send a request a moment later than the last."""
        self.timeline.advance(3)
        stated = {"content-type": "application/json"} if headers is None else headers
        sent = {name.lower(): value for name, value in stated.items()}
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        request = Request(
            method=method,
            path=unquote(path),
            uri=path,
            query=parse_qsl(query, keep_blank_values=True),
            headers={name: value for name, value in sent.items() if value is not None},
            body=content,
        )
        answer = self.ensemble.answer(self.asked, request)
        self.timeline.settle()
        return _reply(answer)

    def settle(self, most: int = 20_000) -> None:
        """Let time pass until no deployment is under way, but no longer than ``most`` milliseconds."""
        waited = 0
        while self.marathon.deployments.count and waited < most:
            self.timeline.advance(250)
            waited += 250
        self.timeline.advance(500)


def _reply(answer: Answer) -> Reply:
    reason = answer.reason if answer.reason is not None else reason_of(answer.status)
    headers = dict(wired(answer))
    if "Content-Length" not in headers:
        headers["Transfer-Encoding"] = "chunked"
    return Reply(status=answer.status, reason=reason, headers=headers, text=answer.body.decode(errors="replace"))
