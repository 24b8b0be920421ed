"""How large a cluster the Marathon emulator bears: ``python -m benchmarks.marathon_emulator [AGENTS APPS INSTANCES]``.

Everything but sockets, in virtual time, in processor time. Writes ``benchmarks/results/marathon_emulator.json``.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from roadstead_backends.marathon.emulator.cluster.simulated import Habits, SimCluster
from roadstead_backends.marathon.emulator.cluster.timeline import Timeline
from roadstead_backends.marathon.emulator.http.ensemble import Ensemble
from roadstead_backends.marathon.emulator.http.messages import Answer, Request
from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.serving.emulation import Plan, agents_of
from roadstead_backends.marathon.emulator.serving.probes import Believing
from roadstead_backends.marathon.emulator.settings import Settings

RESULT: Final = Path(__file__).parent / "results" / "marathon_emulator.json"
ADDRESS: Final = "127.0.0.1:8080"


def main(arguments: Sequence[str]) -> None:
    """Fill a cluster and ask for everything."""
    agents, apps, instances = (int(each) for each in arguments or ("1000", "100", "100"))
    timeline = Timeline(1_000_000)
    cluster = SimCluster(timeline, agents_of(Plan(agents=agents), "m"), master_id="m", habits=Habits(interval=250))
    settings = Settings(launch_token=apps * instances, max_instances_per_offer=100)
    ensemble = Ensemble(Marathon(cluster, Believing(), settings), [ADDRESS])

    def ask(method: str, path: str, body: Any = None, query: Sequence[tuple[str, str]] = ()) -> Answer:
        timeline.advance(1)
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        answer = ensemble.answer(
            ADDRESS, Request(method=method, path=path, uri=path, query=query, headers=headers, body=content)
        )
        timeline.settle()
        return answer

    def create() -> None:
        for number in range(apps):
            app = {"id": f"/g{number % 10}/a{number}", "cmd": "sleep 100", "cpus": 0.1, "mem": 16}
            assert ask("POST", "/v2/apps", {**app, "instances": instances}).status == 201

    everything = [("embed", each) for each in ("apps.tasks", "apps.counts", "apps.deployments")]
    found: dict[str, Any] = {"agents": agents, "tasks": apps * instances}
    found["processor_seconds"] = {
        "create the apps": _timed(create),
        "launch every task": _timed(lambda: timeline.advance(10_000)),
        "GET /v2/tasks": _timed(lambda: ask("GET", "/v2/tasks")),
        "GET /v2/apps": _timed(lambda: ask("GET", "/v2/apps")),
        "GET /v2/apps with tasks": _timed(lambda: ask("GET", "/v2/apps", query=everything)),
        "GET /v2/apps/g0/a0": _timed(lambda: ask("GET", "/v2/apps/g0/a0")),
        "scale one app": _timed(lambda: ask("PUT", "/v2/apps/g0/a0", {"instances": instances + 1})),
        "ten idle minutes": _timed(lambda: timeline.advance(600_000)),
    }
    running = sum(each.condition == "Running" for each in ensemble.marathon.supervisor.tracker.all())
    assert running == apps * instances + 1, running
    found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found["python"], found["machine"] = platform.python_version(), platform.machine()
    text = json.dumps(found, indent=2)
    print(text)
    RESULT.write_text(text + "\n")


def _timed(act: Callable[[], object]) -> float:
    begun = time.process_time()
    act()
    return round(time.process_time() - begun, 3)


if __name__ == "__main__":
    main(sys.argv[1:])
