"""What the Marathon backend costs on a large Marathon: ``python -m benchmarks.marathon_scale [AGENTS APPS TASKS]``.

Writes ``benchmarks/results/marathon_scale.json`` and ``.md``. The Marathon is the emulator, in a process of its own and
on sockets, its tasks pretended; what is measured is ours, in a process of its own too. The launch of one app of many
tasks goes through Marathon's own launch queue with its default tokens, so that is the emulator's word for how a real
one goes about it, and no claim about one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import psutil
import requests

from roadstead.model import ModelSpec, Reach, Resources, Template
from roadstead.spi.backend import BackendContext, Expect, GroupOrder
from roadstead.spi.runtime import Launch, Program
from roadstead.template import revision
from roadstead.units import Cpus, Memory
from roadstead.world import Group, GroupKey, Phase
from roadstead_backends.marathon import translate
from roadstead_backends.marathon.backend import MarathonBackend
from roadstead_backends.marathon.connect import connect
from roadstead_backends.marathon.emulator.http.messages import Answer, Request
from roadstead_backends.marathon.emulator.serving.emulation import Emulation, Machine, Plan
from roadstead_backends.marathon.emulator.serving.server import Serving
from roadstead_backends.marathon.emulator.settings import Settings
from roadstead_backends.marathon.options import Containers, MarathonOptions

RESULTS: Final = Path(__file__).parent / "results"
FLEET: Final = "scale"
OWNER_ID: Final = "0f1e2d3c"
AT_ONCE: Final = 250
LAUNCHED: Final = 500
PUBLISHED: Final = "35 to 60"
"""Tasks a second that Marathon's own documentation of its limits tells of."""

MANY: Final = 100_000


# ---- the Marathon, in a process of its own ----


def serve(agents: int, tokens: int) -> None:
    """Emulate until stdin ends; say where, and count requests for whoever asks with a line."""
    asyncio.run(_served(agents, tokens))


async def _served(agents: int, tokens: int) -> None:
    counts: dict[str, int] = {}
    settings = Settings(launch_token=tokens, max_instances_per_offer=100 if tokens == MANY else 5)
    emulation = Emulation(
        Plan(agents=agents, machine=Machine(cpus=16, mem=65_536), settings=settings, port=0, mesos_port=0)
    )
    await emulation.open()
    for serving in emulation._servings:  # noqa: SLF001  # to count what is asked
        _count(serving, counts)
    loop = asyncio.get_running_loop()
    print(json.dumps([f"http://{emulation.addresses[0]}", f"http://{emulation.mesos_address}"]), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(counts), flush=True)
        counts.clear()
    await emulation.close()


def _count(serving: Serving, counts: dict[str, int]) -> None:
    handler = serving._handler  # noqa: SLF001  # to count what is asked
    answer = handler.answer

    def counted(request: Request) -> Answer:
        kind = f"{request.method} {_kind(request.path)}"
        counts[kind] = counts.get(kind, 0) + 1
        return answer(request)

    handler.answer = counted  # type: ignore[method-assign]  # to count what is asked


def _kind(path: str) -> str:
    """Return what a path asks for, without the names in it."""
    known = ("/v2/apps/", "/v2/deployments", "/v2/queue", "/v2/info", "/v2/tasks", "/api/v1", "/slave", "/emulator")
    return next((one for one in known if path.startswith(one)), path)


@attrs.define
class Marathon:
    """A running emulator."""

    url: str
    mesos_url: str
    process: subprocess.Popen[str]

    def counts(self) -> dict[str, int]:
        """Return what was asked of it since this was asked last, by kind."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: dict[str, int] = json.loads(self.process.stdout.readline())
        return found

    def running(self) -> int:
        """Return how many tasks run."""
        found = requests.get(f"{self.mesos_url}/metrics/snapshot", timeout=60).json()
        return int(found["master/tasks_running"])

    def control(self, name: str, **call: object) -> None:
        """Ask for a fault."""
        requests.post(f"{self.mesos_url}/emulator/{name}", json=call, timeout=60).raise_for_status()


@contextmanager
def marathon(agents: int, tokens: int) -> Iterator[Marathon]:
    """Run an emulator while the block runs."""
    command = [sys.executable, "-m", "benchmarks.marathon_scale", "--serve", str(agents), str(tokens)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, mesos_url = json.loads(process.stdout.readline())
        try:
            yield Marathon(url, mesos_url, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


# ---- what is on it ----


def _order(number: int) -> GroupOrder:
    template = Template(
        model=ModelSpec(name=f"model-{number:04}", source=f"/models/{number:04}"),
        resources=Resources(cpu=Cpus(100), memory=Memory(128 << 20)),
    )
    launch = Launch(
        program=Program(executable="sleep"),
        args=("--grpc=$(GRPC_PORT)", "--rest=$(REST_PORT)"),
        grpc_port=8500,
        rest_port=8501,
    )
    return GroupOrder(
        key=GroupKey(f"model-{number:04}", revision(template)),
        fleet=FLEET,
        owner="search",
        owner_id=OWNER_ID,
        generation=1,
        template=template,
        launch=launch,
    )


def _options(url: str) -> MarathonOptions:
    return MarathonOptions(urls=(url,), containers=Containers.NONE)


def fill(found: Marathon, apps: int, tasks: int) -> float:
    """Have all apps there with all their tasks running; return how many seconds that took."""
    options, begun = _options(found.url), time.monotonic()
    documents = [translate.app(_order(number), tasks // apps, options) for number in range(apps)]
    for first in range(0, apps, AT_ONCE):
        answer = requests.put(f"{found.url}/v2/apps", json=documents[first : first + AT_ONCE], timeout=600)
        answer.raise_for_status()
        _until(lambda: not requests.get(f"{found.url}/v2/deployments", timeout=60).json())
    _until(lambda: found.running() >= tasks)
    return time.monotonic() - begun


def _until(what: Callable[[], bool], patience_s: float = 900) -> None:
    end = time.monotonic() + patience_s
    while not what():
        if time.monotonic() > end:
            raise TimeoutError("the emulator does not get there")
        time.sleep(0.2)


# ---- ours, in a process of its own ----


def look(url: str, mesos_url: str) -> dict[str, object]:
    """Return what it costs to look at what is on a Marathon, and to hear of a change."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as root:
        before = process.memory_info().rss
        backend = _backend(url, Path(root))
        bell = threading.Event()
        backend.watch(bell.set)
        first, cpu = _timed(backend.observe)
        second, _ = _timed(backend.observe)
        gc.collect()
        after = process.memory_info().rss
        bell.wait(10)
        _until(lambda: _timed(backend.observe)[0] < second, 60)
        quiet = [_timed(backend.observe) for _ in range(20)]
        told = [_heard(backend, bell, mesos_url, number) for number in range(30)]
        calls = [_asked(backend, number) for number in range(20)]
        groups = backend.observe().groups
        backend.close()
    return {
        "groups": len(groups),
        "replicas": sum(len(one.replicas) for one in groups),
        "first observe, seconds": round(first, 2),
        "first observe, processor seconds": round(cpu, 2),
        "memory before, MB": before >> 20,
        "memory with everything seen, MB": after >> 20,
        "observe with no news, ms": _spread([one * 1000 for one, _ in quiet]),
        "observe with no news, processor ms": _spread([one * 1000 for _, one in quiet]),
        "a task fails until we are woken, ms": _spread([one * 1000 for one, _, _ in told]),
        "from there until the snapshot shows it, ms": _spread([one * 1000 for _, one, _ in told]),
        "of that our own, processor ms": _spread([one * 1000 for _, _, one in told]),
        "a call that scales one group, ms": _spread([one * 1000 for one, _ in calls]),
        "of that our own, processor ms, of the call": _spread([one * 1000 for _, one in calls]),
    }


def _backend(url: str, root: Path) -> MarathonBackend:
    context = BackendContext(
        cluster="dc1",
        fleet=FLEET,
        owner_id=OWNER_ID,
        options=_options(url),
        scheduling=None,
        root=root,
        reach=Reach.DIRECT,
    )
    return connect(context)


def _timed(act: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.monotonic(), time.process_time()
    act()
    return time.monotonic() - wall, time.process_time() - cpu


def _heard(backend: MarathonBackend, bell: threading.Event, mesos_url: str, number: int) -> tuple[float, float, float]:
    """Have one task fail; return how long it takes until we are woken, from there until a snapshot shows it, and ours.

    Seconds, the last of the processor.
    """
    time.sleep(0.3)
    backend.observe()
    group = backend.observe().groups[number * 7]
    victim = group.replicas[0]
    bell.clear()
    begun = time.monotonic()
    answer = requests.post(f"{mesos_url}/emulator/fail-task", json={"task": victim.incarnation}, timeout=60)
    answer.raise_for_status()
    bell.wait(30)
    woken, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - begun < 30:
        bell.clear()
        now = _group(backend, group.key)
        if now is not None and victim.incarnation not in {one.incarnation for one in now.replicas}:
            return woken - begun, time.monotonic() - woken, time.process_time() - cpu
        bell.wait(5)
    raise TimeoutError("nobody told of a failed task")


def _group(backend: MarathonBackend, key: GroupKey) -> Group | None:
    return next((one for one in backend.observe().groups if one.key == key), None)


def _asked(backend: MarathonBackend, number: int) -> tuple[float, float]:
    """Scale one group up by one; return how long the call takes, and how long our processor."""
    order = _order(1_000 + number)
    group = _group(backend, order.key)
    if group is None:
        order = _order(number)
        group = _group(backend, order.key)
    assert group is not None
    return _timed(lambda: backend.apply(order, group.target + 1, expect=Expect(group.version)))


def rest(url: str, seconds: float) -> None:
    """Look once a second while somebody else counts; the daemon at rest looks every 5 s by default."""
    with tempfile.TemporaryDirectory() as root:
        backend = _backend(url, Path(root))
        backend.watch(lambda: None)
        for _ in range(5):
            backend.observe()
            time.sleep(1)
        print("settled", flush=True)
        sys.stdin.readline()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.monotonic()
            backend.observe()
            backend.usage()
            time.sleep(max(0.0, begun + 1 - time.monotonic()))
        backend.close()


def launch(url: str) -> dict[str, object]:
    """Ask for one group of many, and return how long it takes until all run and are seen to."""
    with tempfile.TemporaryDirectory() as root:
        backend = _backend(url, Path(root))
        bell = threading.Event()
        backend.watch(bell.set)
        backend.observe()
        order = _order(0)
        begun, marks = time.monotonic(), dict.fromkeys((100, 200, 300, 400, LAUNCHED), 0.0)
        backend.apply(order, LAUNCHED, expect=Expect(None))
        while not marks[LAUNCHED]:
            if time.monotonic() - begun > 400:
                break
            bell.wait(1)
            bell.clear()
            group = _group(backend, order.key)
            running = sum(one.phase is Phase.RUNNING for one in group.replicas) if group is not None else 0
            for mark, at in marks.items():
                if not at and running >= mark:
                    marks[mark] = round(time.monotonic() - begun, 1)
            time.sleep(0.1)
        backend.close()
    whole = marks[LAUNCHED]
    return {
        "seconds until so many run": {str(mark): at or None for mark, at in marks.items()},
        "tasks a second": round(LAUNCHED / whole, 1) if whole else None,
    }


# ---- all of it ----


def _own(*arguments: str, stdin: Any = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.marathon_scale", *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)


def _answered(*arguments: str) -> dict[str, Any]:
    with _own(*arguments) as process:
        out, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out)
    return found


def _resting(found: Marathon, seconds: int) -> dict[str, object]:
    with _own("--rest", found.url, str(seconds), stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        found.counts()
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait(seconds + 120)
    counts = found.counts()
    calls = {kind: round(count * 60 / seconds, 1) for kind, count in sorted(counts.items())}
    writes = sum(count for kind, count in counts.items() if not kind.startswith("GET") and "/api/v1" not in kind)
    return {"calls a minute": calls, "writes": writes}


def measure(agents: int, apps: int, tasks: int) -> dict[str, object]:
    """Return everything."""
    load = os.getloadavg()[0]
    with marathon(agents, MANY) as found:
        filled = fill(found, apps, tasks)
        print(f"{tasks} tasks run after {filled:.0f} s", flush=True)
        looked = _answered("--look", found.url, found.mesos_url)
        print(json.dumps(looked, indent=1), flush=True)
        resting = _resting(found, 60)
        print(json.dumps(resting, indent=1), flush=True)
    with marathon(agents, Settings().launch_token) as found:
        launched = _answered("--launch", found.url)
    return {
        "agents": agents,
        "apps": apps,
        "tasks": tasks,
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        "load of the machine before and after": [round(load, 1), round(os.getloadavg()[0], 1)],
        "the emulator filled in, seconds": round(filled, 1),
        "looking": looked,
        "at rest": resting,
        f"launching {LAUNCHED} tasks of one app": launched,
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 1),
        "p90": round(ordered[int(len(ordered) * 0.9)], 1),
        "most": round(ordered[-1], 1),
    }


def page(found: dict[str, Any]) -> str:
    """Return the result as a page."""
    looked, resting = found["looking"], found["at rest"]
    launched = found[f"launching {LAUNCHED} tasks of one app"]
    loads = " and ".join(map(str, found["load of the machine before and after"]))
    rows = [(name, _said(value)) for name, value in looked.items()]
    rows += [(f"at rest, {kind}, a minute", str(count)) for kind, count in resting["calls a minute"].items()]
    rows += [("at rest, writes in a minute", str(resting["writes"]))]
    rows += [
        (f"one app: {mark} tasks run and are seen to after, s", str(at))
        for mark, at in launched["seconds until so many run"].items()
    ]
    rows += [("one app: tasks launched a second", str(launched["tasks a second"]))]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""# The Marathon backend on a large Marathon (emulated)

Made by `python -m benchmarks.marathon_scale` on {found["machine"]}. The machine was not idle: its
load was {loads} before and after, and the emulator runs on the same processors. Most of what a time
says is how long its process waited, so look at the processor's times and at the counts. There are
{found["agents"]} agents, {found["apps"]} apps and {found["tasks"]} tasks, all pretended. At rest `observe` and
`usage` were asked once a second; the daemon's default is every 5 s. `/slave` is an agent that is asked
what tasks use, and `POST /api/v1` is the master that is asked for its agents, which changes nothing.

Marathon's own documents tell of {PUBLISHED} tasks launched a second; its `--launch_tokens` default is 100 for every
30 s, with a token given back for each task that runs. A real Marathon 1.11 with three agents, on two processors, had
100 tasks of one app running after 3.4 s. What launches here is the emulator, by the same rules and with pretended
tasks, so the last rows say that we are not in the way, and nothing about Mesos.

| what | found |
|---|---|
{table}
"""


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value)


def main(arguments: Sequence[str]) -> None:
    """Measure, or be one of the processes that measuring takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=(1_000, 2_000, 10_000))
    for name, count in (("--serve", 2), ("--look", 2), ("--rest", 2), ("--launch", 1)):
        parser.add_argument(name, nargs=count)
    given = parser.parse_args(arguments)
    if given.serve:
        serve(*map(int, given.serve))
    elif given.look:
        print(json.dumps(look(*given.look)))
    elif given.rest:
        rest(given.rest[0], float(given.rest[1]))
    elif given.launch:
        print(json.dumps(launch(given.launch[0])))
    else:
        found = measure(*given.sizes)
        text = json.dumps(found, indent=2)
        print(text)
        (RESULTS / "marathon_scale.json").write_text(text + "\n")
        (RESULTS / "marathon_scale.md").write_text(page(found))


if __name__ == "__main__":
    main(sys.argv[1:])
