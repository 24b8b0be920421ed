"""Faults on request, over HTTP beside the operator's API of Mesos: ``POST /emulator/...``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from roadstead_backends.marathon.emulator.cluster.tasks import Course
from roadstead_backends.marathon.emulator.http.ensemble import Ensemble
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, json_answer
from roadstead_backends.marathon.emulator.scheduling.probing import HttpAnswer, Outcome
from roadstead_backends.marathon.emulator.serving.clock import ByHand, Clock
from roadstead_backends.marathon.emulator.serving.mesos import Operator
from roadstead_backends.marathon.emulator.serving.probes import Believing
from roadstead_backends.marathon.emulator.serving.server import Handler

__all__ = ["Controls"]


class Controls(Handler):
    """What Mesos answers, and what an emulated cluster can be made to suffer."""

    def __init__(self, ensemble: Ensemble, operator: Operator, clock: Clock, prober: object) -> None:
        self._ensemble = ensemble
        self._cluster = ensemble.marathon.cluster
        self._operator = operator
        self._clock = clock
        self._prober = prober
        self._acts: dict[str, Callable[[dict[str, Any]], None]] = {
            "lose-agent": lambda call: self._cluster.lose_agent(call["agent"], partition=call.get("partition", False)),
            "return-agent": lambda call: self._cluster.return_agent(call["agent"]),
            "fail-task": lambda call: self._cluster.fail_task(
                call["task"], call.get("state", "TASK_FAILED"), call.get("message", "Command exited with status 1")
            ),
            "collect-garbage": lambda _call: self._cluster.collect_garbage(),
            "lose-leader": lambda _call: ensemble.lose_leader(),
            "return-instance": lambda call: ensemble.down.discard(call["address"]),
            "set-health": self._set_health,
            "set-course": self._set_course,
            "advance": self._advance,
        }

    def answer(self, request: Request) -> Answer:
        """Answer for Mesos, or do what is asked."""
        with self._clock.moment():
            if request.path.startswith("/emulator"):
                return self._controlled(request)
            answer = self._operator.answer(request)
            return answer if answer is not None else Answer(status=404, content_type=None)

    def _controlled(self, request: Request) -> Answer:
        act = self._acts.get(request.path.removeprefix("/emulator/"))
        if request.method == "GET" or act is None:
            shown = {"leader": self._ensemble.leader, "controls": sorted(self._acts)}
            return json_answer(shown, 200 if request.method == "GET" else 404)
        try:
            act(json.loads(request.body or b"{}"))
        except (KeyError, ValueError, TypeError) as error:
            return json_answer({"message": f"{type(error).__name__}: {error}"}, 400)
        return json_answer({})

    def _set_health(self, call: dict[str, Any]) -> None:
        if not isinstance(self._prober, Believing):
            raise TypeError("checks are made for real here; make the task itself unhealthy")
        task = self._cluster.tasks[call["task"]]
        for port in task.ports:
            answer = HttpAnswer(status=call.get("status", 500), reason=call.get("reason", ""))
            self._prober.outcomes[task.agent.hostname, port] = Outcome(connected=True, answer=answer)

    def _set_course(self, call: dict[str, Any]) -> None:
        """Have tasks of an app that start from now on go this course, in milliseconds; without any, the usual one."""
        app = call.pop("app")
        self._cluster.set_course(app, Course(**call) if call else None)

    def _advance(self, call: dict[str, Any]) -> None:
        if not isinstance(self._clock, ByHand):
            raise TypeError("time goes by itself here")
        self._clock.advance(int(call["seconds"] * 1000))
