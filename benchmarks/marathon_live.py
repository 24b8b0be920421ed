"""What clients see of a model on an emulated Marathon while it is scaled, rolled, moved and broken.

    python -m benchmarks.marathon_live    # about fifteen minutes; writes benchmarks/results/marathon-live.{json,md}
    python -m benchmarks.marathon_live agent migration    # only what has these words in its name

`roadstead emulate marathon` runs in a process of its own, and the tasks of its apps are real servers of two versions of
MiniLM, behind a gateway and under `roadstead load`, which checks each answer. With `--kubernetes` a real cluster of one
node is started beside it (`make test-kubernetes` builds what it consists of), and the model moves there and back. Run
it on a machine that does nothing else: everything shares its processors.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs

from benchmarks.fleet import Stage, running, until
from benchmarks.live import Scene, Story, Told, retold, table, tellings
from benchmarks.underload import RESULTS, ROOT
from configs.minilm.workload import write
from roadstead.decide.report import DeploymentStatus
from tests.cluster.cluster import Cluster
from tests.cluster.node_files import NodeSpec

SHARE: Final = 0.4
"""Of what the fewest replicas of a story can answer: how much is asked for."""
PREFIX: Final = "127.21"
INSTANCES: Final = 2
IMAGE: Final = "localhost/roadstead/host:1"
DC1, HERE, PROD = "dc1", "here", "prod"

FLEET: Final = """
    version: 1
    fleet: live
    clusters:
      dc1: {{backend: marathon, options: {{urls: {marathon}, containers: none, model_roots: ["{model}"]}}}}
      here: {{backend: local, options: {{model_roots: ["{model}"]}}}}
      {more}
    gateways:
      edge: {{kind: envoy, ports: 18440-18449}}
    deployments:
      minilm:
        model: {{source: "{model}", version: 1}}
        clusters: dc1
        runtime: {{image: "{image}"}}
        replicas: 2
        resources: {{cpu: 400m, memory: 1Gi}}
        health: {{every: 2s, start_within: 2m, node_lost_after: 5s}}
        stop: {{drain_within: 5s, kill_after: 2s}}
        rollout: {{max_surge: 1, max_unavailable: 0, progress_deadline: 2m}}
    daemon: {{turn: 2s, http: "{http}", state: "{state}"}}
"""
KUBERNETES: Final = (
    'prod: {{backend: kubernetes, options: {{kubeconfig: "{kubeconfig}", namespace: "{namespace}", '
    'model_roots: ["{model}"]}}}}'
)


@attrs.frozen(kw_only=True)
class Found:
    """Everything, with the machine that it was found on; ``capacity`` is that of two replicas, in requests a second.

    ``again`` says which stories were told later than the others, and how busy the machine was then.
    """

    machine: str
    capacity: float
    stories: tuple[Told, ...]
    again: str = ""


class Marathon:
    """An emulator of two instances in a process of its own, and the processes of its tasks."""

    def __init__(self, urls: Sequence[str], mesos: str) -> None:
        self.urls = tuple(urls)
        self._mesos = mesos

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks as Marathon shows them."""
        found: list[dict[str, Any]] = self._answer("tasks")["tasks"]
        return found

    def leader(self) -> str:
        """Return the address of the instance that leads; raises :class:`OSError` while there is none."""
        return str(self._answer("leader")["leader"])

    def control(self, name: str, **call: Any) -> None:
        """Ask for a fault."""
        body = json.dumps(call).encode()
        with urllib.request.urlopen(f"{self._mesos}/emulator/{name}", body, timeout=20):  # noqa: S310  # our own
            pass

    def _answer(self, kind: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.urls[0]}/v2/{kind}", timeout=20) as answer:  # noqa: S310  # our own address
            return dict(json.loads(answer.read()))


class Bench(Scene):
    """The fleet, the Marathon, and what clients send."""

    def __init__(self, stage: Stage, marathon: Marathon, files: tuple[str, ...]) -> None:
        super().__init__(stage, files, home=DC1, share=SHARE, patience=300)
        self.marathon = marathon


# ---- the stories ----


def stories(bench: Bench, *, kubernetes: bool) -> Iterator[Story]:
    """Yield everything that happens, one after the other; each ends as it began."""
    yield Story(name="deployed, and asked", happens=bench.settled, lasts=10)
    yield Story(name="scale 1 to 4 to 1", happens=lambda: bench.scale(4, 1), lasts=90, replicas=1, least=1)
    yield Story(name="roll to version 2 and back", happens=bench.roll, lasts=150)
    yield Story(name="Marathon's leader lost, and another elected", happens=lambda: _leader(bench), lasts=30)
    name = "roll to version 2 and back, the leader lost in the middle of each"
    yield Story(name=name, happens=lambda: _leader_lost_in_rolls(bench), lasts=180)
    there = bench.migrate
    yield Story(name="migration to local and back", happens=partial(there, HERE, None), lasts=150)
    for moment in (1.0, 5.0):
        name = f"migration to local and back, the daemon killed after {moment:.0f} s of each"
        yield Story(name=name, happens=partial(there, HERE, moment), lasts=180)
    if kubernetes:
        yield Story(name="migration to Kubernetes and back", happens=partial(there, PROD, None), lasts=180)
        name = "migration to Kubernetes and back, the daemon killed after 5 s of each"
        yield Story(name=name, happens=partial(there, PROD, 5.0), lasts=210)
    yield Story(name="a server killed, and healed", happens=lambda: _kill(bench), lasts=60, least=1, planned=False)
    name = "the agent killed that has both replicas, and healed"
    yield Story(name=name, happens=lambda: _agent(bench), lasts=300, least=1, planned=False)
    name = "replicas spread over agents, the agent of one of them killed, and healed"
    yield Story(name=name, happens=lambda: _agent_of_one(bench), lasts=330, least=1, planned=False)


def _leader(bench: Bench) -> None:
    with _another_leader(bench.marathon):
        bench.settled()


def _leader_lost_in_rolls(bench: Bench) -> None:
    for was, now in ((1, 2), (2, 1)):
        bench.edit(f"version: {was}}}", f"version: {now}}}")
        until(lambda: len(bench.marathon.tasks()) > 2, every=0.1, within=60)
        with _another_leader(bench.marathon):
            bench.settled(version=now)


@contextmanager
def _another_leader(marathon: Marathon) -> Iterator[None]:
    """Lose the instance that leads until the block ends, which begins once another one does."""
    lost = marathon.leader()
    marathon.control("lose-leader")
    until(lambda: _leads(marathon) not in (None, lost), every=0.1, within=30)
    yield
    marathon.control("return-instance", address=lost)


def _leads(marathon: Marathon) -> str | None:
    try:
        return marathon.leader()
    except OSError:
        return None


def _kill(bench: Bench) -> None:
    task = bench.marathon.tasks()[0]["id"]
    for pid in _running_as(task):
        os.kill(pid, signal.SIGKILL)
    until(lambda: task not in {one["id"] for one in bench.marathon.tasks()}, within=60)
    bench.settled()


def _agent(bench: Bench) -> None:
    """An agent dies with what runs on it; Mesos waits for it for 75 s, and Marathon as long as the fleet file says.

    Where nothing spreads replicas it has both, as Marathon takes the first offer that fits, and nobody answers.
    Marathon looks for such tasks every 30 s, and begins to five minutes after it has begun to lead.
    """
    victim = bench.marathon.tasks()[0]
    bench.marathon.control("lose-agent", agent=victim["slaveId"])

    def is_replaced() -> bool:
        running = [one for one in bench.marathon.tasks() if one["state"] == "TASK_RUNNING"]
        return len(running) == 2 and all(one["slaveId"] != victim["slaveId"] for one in running)

    until(is_replaced, every=0.5, within=420)
    bench.settled()
    bench.marathon.control("return-agent", agent=victim["slaveId"])


def _agent_of_one(bench: Bench) -> None:
    """The same, once no agent may have two: the other replica goes on, and its gateway sends everything there.

    And once the new revision is proven: else the one before it, which nothing spreads, would take its place.
    """
    bench.edit("replicas: 2", "replicas: 2\n    placement: {spread: {by: hostname, max_per: 1}}")
    until(lambda: len({one["slaveId"] for one in bench.marathon.tasks()}) == 2, every=0.5, within=120)
    bench.settled()
    until(lambda: _is_proven(bench.status()), every=0.5, within=120)
    _agent(bench)


def _is_proven(status: DeploymentStatus | None) -> bool:
    return status is not None and all(group.proven for group in status.groups if group.current)


def _running_as(task: str) -> Iterator[int]:
    """Yield the processes that were started for a task."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"MESOS_TASK_ID={task}".encode() in environment:
                yield int(folder.name)


# ---- all of it ----


@contextmanager
def marathon(folder: Path) -> Iterator[Marathon]:
    """Yield an emulator with four agents, until the block ends."""
    command = [sys.executable, "-m", "roadstead", "emulate", "marathon", "--processes", str(folder), "--agents", "4"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [*command, "--instances", str(INSTANCES), "--port", "0", "--mesos-port", "0", "--prefix", PREFIX],
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = [process.stdout.readline().split() for _ in range(INSTANCES + 1)]
        *urls, mesos = (words[-1] for words in said)
        yield Marathon(urls, mesos)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def at_work(model: Path, workload: Path | None, *, kubernetes: bool) -> Iterator[Bench]:
    """Yield a fleet that serves on an emulated Marathon, until the block ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roadstead-load-")))
        more = ""
        if kubernetes:
            cluster = Cluster.start()
            stack.callback(cluster.stop)
            cluster.add_node(spec=NodeSpec())
            cluster.wait_ready()
            namespace = stack.enter_context(cluster.namespace("live"))
            more = KUBERNETES.format(kubeconfig=cluster.kubeconfig, namespace=namespace, model=model)
        emulator = stack.enter_context(marathon(folder / "tasks"))
        fleet = running(FLEET, model=model, marathon=json.dumps(emulator.urls), image=IMAGE, more=more)
        stage = stack.enter_context(fleet)
        if workload is None:
            write(folder, count=100, versions=(1, 2))
        asked = workload if workload is not None else folder
        words = ("--requests", str(asked / "requests.jsonl"), "--expect", str(asked / "expected.jsonl"))
        bench = Bench(stage, emulator, words)
        bench.settled()
        yield bench


def measure(model: Path, workload: Path | None, only: Sequence[str], *, kubernetes: bool) -> Iterator[Found]:
    """Let everything happen whose name has one of the words ``only`` in it, where there are any.

    Yields what was found so far, after each story.
    """
    told: list[Told] = []
    where = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    load = os.getloadavg()[1]
    machine = f"{where}, where the load was {load:.0f} before it began"
    with at_work(model, workload, kubernetes=kubernetes) as bench:
        every = stories(bench, kubernetes=kubernetes)
        wanted = [story for story in every if not only or any(word in story.name for word in only)]
        for one in tellings(bench, wanted):
            told.append(one)
            again = ", ".join(f"`{story.name}`" for story in told) + f" later, at a load of {load:.0f}" if only else ""
            yield Found(machine=machine, capacity=bench.capacity, stories=tuple(told), again=again)


def merged(before: Found, now: Found) -> Found:
    """Return all of them, those that were told again as they are now; the capacity stays that of the whole run."""
    return attrs.evolve(before, stories=retold(before.stories, now.stories), again=now.again)


def report(found: Found) -> str:
    """Return what was found, in Markdown."""
    again = f" ({found.again})" if found.again else ""
    how = (
        f"`python -m benchmarks.marathon_live` on {found.machine}{again}: "
        "an **emulated** Marathon 1.11 with four agents, whose tasks are real servers on loopback addresses, "
        "behind Envoy. "
        f"Two replicas answer {found.capacity:.0f} requests a second; {SHARE:.0%} of what the fewest replicas of each "
        "story can answer was asked for. Where nothing spreads replicas, Marathon takes the first offer that fits, so "
        "that one agent has both, and its death is an outage until Marathon gives it up. "
        "Failed: an error, a wrong answer, or none in time (late). How long something took says nothing about a real "
        "Marathon. The way to a real Kubernetes under load, with the daemon killed on it, is told by "
        "`tests/docs/test_leave_marathon.py`."
    )
    return "\n".join(("# A model on an emulated Marathon, under load", "", how, "", *table(found.stories)))


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description="Scale, roll, move and break a model on an emulated Marathon.")
    parser.add_argument("only", nargs="*", help="words in the names of stories; the others' results are kept then")
    parser.add_argument("--kubernetes", action="store_true", help="start a real cluster, and move there and back, too")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "minilm")
    parser.add_argument(
        "--workload", type=Path, help="what `python -m configs.minilm.workload` wrote, for versions 1 and 2"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not all((given.model / str(version) / "saved_model.pb").is_file() for version in (1, 2)):
        parser.error(f"{given.model} lacks a version: `python -m configs.minilm.export --version 2` writes one")
    kept = given.results / "marathon-live.json"
    before = cattrs.structure(json.loads(kept.read_text()), Found) if given.only and kept.exists() else None
    given.results.mkdir(parents=True, exist_ok=True)
    for found in measure(given.model.absolute(), given.workload, given.only, kubernetes=given.kubernetes):
        whole = merged(before, found) if before is not None else found
        kept.write_text(json.dumps(attrs.asdict(whole), indent=1) + "\n")
        kept.with_suffix(".md").write_text(report(whole))
    print(kept.with_suffix(".md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
