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
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs

from benchmarks.fleet import Stage, free_address, kill, running, until
from benchmarks.underload import NAME, RESULTS, ROOT, result, sent
from benchmarks.underload_report import Sent
from configs.minilm.workload import write
from roadstead.decide.report import DeploymentStatus, RolloutState
from tests.cluster.cluster import Cluster
from tests.cluster.node_files import NodeSpec

SHARE: Final = 0.4
"""Of what the fewest replicas of a story can answer: how much is asked for."""
CALM: Final = 4.0
"""Seconds of load before and after what happens."""
PREFIX: Final = "127.21"
IMAGE: Final = "localhost/roadstead/host:1"
DC1, HERE, PROD = "dc1", "here", "prod"

FLEET: Final = """
    version: 1
    fleet: live
    clusters:
      dc1: {{backend: marathon, options: {{urls: ["{marathon}"], containers: none, model_roots: ["{model}"]}}}}
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
class Story:
    """Something that happens under load to so many ``replicas``, and is over within ``lasts`` seconds.

    ``least`` of them serve all the time. ``planned``: not one request may fail.
    """

    name: str
    happens: Callable[[], None]
    lasts: float
    replicas: int = 2
    least: int = 2
    planned: bool = True


@attrs.frozen(kw_only=True)
class Told:
    """What became of a story: how long it took, in seconds, what its clients got, and how many got it too late."""

    name: str
    planned: bool
    rate: float
    took: float
    sent: Sent
    late: int


@attrs.frozen(kw_only=True)
class Found:
    """Everything, with the machine that it was found on; ``capacity`` is that of two replicas, in requests a second."""

    machine: str
    capacity: float
    stories: tuple[Told, ...]


class Marathon:
    """An emulator in a process of its own, and the processes of its tasks."""

    def __init__(self, url: str, mesos: str) -> None:
        self.url = url
        self._mesos = mesos

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks as Marathon shows them."""
        with urllib.request.urlopen(f"{self.url}/v2/tasks", timeout=20) as answer:  # noqa: S310  # our own address
            found: list[dict[str, Any]] = json.loads(answer.read())["tasks"]
        return found

    def control(self, name: str, **call: Any) -> None:
        """Ask for a fault."""
        body = json.dumps(call).encode()
        with urllib.request.urlopen(f"{self._mesos}/emulator/{name}", body, timeout=20):  # noqa: S310  # our own
            pass


class Bench:
    """The fleet, the Marathon, and what clients send."""

    def __init__(self, stage: Stage, marathon: Marathon, files: tuple[str, ...]) -> None:
        self._stage = stage
        self._files = files
        self.marathon = marathon
        self.capacity = 0.0

    def status(self) -> DeploymentStatus | None:
        """Return what the daemon says of the deployment."""
        return self._stage.deployment(NAME)

    def settled(self, *, replicas: int = 2, version: int = 1, on: str = DC1) -> None:
        """Wait until so many serve that version on one cluster, and nothing else is left."""

        def look() -> bool:
            found = self.status()
            return (
                found is not None
                and found.state is RolloutState.SETTLED
                and found.wanted == replicas == found.serving == found.listed == len(found.replicas)
                and all(one.versions == (version,) and one.cluster == on for one in found.replicas)
                and all(group.updated == group.target for group in found.groups if group.current)
            )

        until(look, every=0.1, within=300)

    def edit(self, was: str, now: str) -> None:
        """Save the fleet file with a change."""
        text = self._stage.file.read_text()
        assert was in text, was
        self._stage.file.write_text(text.replace(was, now))

    def say(self, *words: str) -> None:
        """Run a command of ours."""
        self._stage.must(*words)

    def replace_daemon(self) -> None:
        """Kill the daemon, and start the next one at once."""
        kill(self._stage.daemon())
        self._stage.must("daemon", "start", "--background")

    def measure_capacity(self) -> None:
        """Find out how much two replicas answer at most."""
        words = ("--concurrency", "16", "--duration", "12s", "-o", "json")
        self.capacity = result(self._stage.start("load", NAME, *self._files, *words))["rate"]

    def told(self, story: Story) -> Told:
        """Let it happen under load; what is asked for goes on until it is over."""
        rate = max(1.0, SHARE * self.capacity * story.least / 2)
        seconds = 2 * CALM + story.lasts
        words = ("--rate", f"{rate:.2f}", "--connections", "50", "--duration", f"{seconds:.0f}s", "-o", "json")
        process = self._stage.start("load", NAME, *self._files, "--versions", "1,2", *words)
        time.sleep(CALM)
        began = time.monotonic()
        story.happens()
        took = time.monotonic() - began
        if took > story.lasts:
            print(f"    {story.name}: took {took:.1f} s, longer than the load lasts", flush=True)
        counts = sent(result(process))
        late = counts.failures.get("DEADLINE_EXCEEDED", 0)
        return Told(name=story.name, planned=story.planned, rate=rate, took=took, sent=counts, late=late)


# ---- the stories ----


def stories(bench: Bench, *, kubernetes: bool) -> Iterator[Story]:
    """Yield everything that happens, one after the other; each ends as it began."""
    yield Story(name="deployed, and asked", happens=bench.settled, lasts=10)
    yield Story(name="scale 1 to 4 to 1", happens=lambda: _scale(bench), lasts=90, replicas=1, least=1)
    yield Story(name="roll to version 2 and back", happens=lambda: _roll(bench), lasts=150)
    yield Story(name="Marathon's leader lost, and another elected", happens=lambda: _leader(bench), lasts=30)
    there = partial(_migrate, bench)
    yield Story(name="migration to local and back", happens=partial(there, HERE, None), lasts=150)
    for moment in (1.0, 5.0):
        name = f"migration to local and back, the daemon killed after {moment:.0f} s of each"
        yield Story(name=name, happens=partial(there, HERE, moment), lasts=180)
    if kubernetes:
        yield Story(name="migration to Kubernetes and back", happens=partial(there, PROD, None), lasts=180)
        name = "migration to Kubernetes and back, the daemon killed after 5 s of each"
        yield Story(name=name, happens=partial(there, PROD, 5.0), lasts=210)
    yield Story(name="a server killed, and healed", happens=lambda: _kill(bench), lasts=60, least=1, planned=False)
    yield Story(name="an agent killed, and healed", happens=lambda: _agent(bench), lasts=180, least=1, planned=False)


def _scale(bench: Bench) -> None:
    for replicas in (4, 1):
        bench.say("scale", NAME, str(replicas), "--detach")
        bench.settled(replicas=replicas)


def _roll(bench: Bench) -> None:
    for was, now in ((1, 2), (2, 1)):
        bench.edit(f"version: {was}}}", f"version: {now}}}")
        bench.settled(version=now)


def _leader(bench: Bench) -> None:
    bench.marathon.control("lose-leader")
    bench.settled()


def _migrate(bench: Bench, cluster: str, killed: float | None) -> None:
    for words, to in ((("--to", cluster), cluster), (("--undo",), DC1)):
        began = time.monotonic()
        bench.say("migrate", NAME, *words, "--detach")
        if killed is not None:
            time.sleep(max(0.0, began + killed - time.monotonic()))
            bench.replace_daemon()
        bench.settled(on=to)


def _kill(bench: Bench) -> None:
    task = bench.marathon.tasks()[0]["id"]
    for pid in _running_as(task):
        os.kill(pid, signal.SIGKILL)
    until(lambda: task not in {one["id"] for one in bench.marathon.tasks()}, within=60)
    bench.settled()


def _agent(bench: Bench) -> None:
    """An agent dies with what runs on it; Mesos waits for it for 75 s, and Marathon as long as the fleet file says."""
    victim = bench.marathon.tasks()[0]
    bench.marathon.control("lose-agent", agent=victim["slaveId"])

    def is_replaced() -> bool:
        running = [one for one in bench.marathon.tasks() if one["state"] == "TASK_RUNNING"]
        return len(running) == 2 and all(one["slaveId"] != victim["slaveId"] for one in running)

    until(is_replaced, every=0.5, within=220)
    bench.settled()
    bench.marathon.control("return-agent", agent=victim["slaveId"])


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
    addresses = [free_address() for _ in range(2)]
    port, mesos = (address.rpartition(":")[2] for address in addresses)
    command = [sys.executable, "-m", "roadstead", "emulate", "marathon", "--processes", str(folder), "--agents", "4"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [*command, "--port", port, "--mesos-port", mesos, "--prefix", PREFIX],
        env={**os.environ, "PATH": path},
        stdout=subprocess.DEVNULL,
    )
    try:
        found = Marathon(*(f"http://{address}" for address in addresses))
        until(lambda: _answers(found), every=0.2, within=60)
        yield found
    finally:
        process.terminate()
        process.wait(60)


def _answers(found: Marathon) -> bool:
    try:
        found.tasks()
    except OSError:
        return False
    return True


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
        fleet = running(FLEET, model=model, marathon=emulator.url, image=IMAGE, more=more)
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
    machine = f"{where}, where the load was {os.getloadavg()[1]:.0f} before it began"
    with at_work(model, workload, kubernetes=kubernetes) as bench:
        bench.measure_capacity()
        print(f"two replicas answer {bench.capacity:.1f} requests a second", flush=True)
        for story in stories(bench, kubernetes=kubernetes):
            if only and not any(word in story.name for word in only):
                continue
            bench.say("scale", NAME, str(story.replicas), "--detach")
            bench.settled(replicas=story.replicas)
            one = bench.told(story)
            told.append(one)
            counts = one.sent
            said = f"{counts.sent} sent, {counts.failed} failed {dict(counts.failures)}"
            print(f"{one.name}: {one.took:.1f} s, {said}", flush=True)
            yield Found(machine=machine, capacity=bench.capacity, stories=tuple(told))
            bench.settled(replicas=story.replicas)


def merged(before: Found, now: Found) -> Found:
    """Return all of them, those that were told again as they are now; the capacity stays that of the whole run."""
    told = {one.name: one for one in (*before.stories, *now.stories)}
    return attrs.evolve(before, stories=tuple(told.values()))


def report(found: Found) -> str:
    """Return what was found, in Markdown."""
    how = (
        f"`python -m benchmarks.marathon_live` on {found.machine}: an **emulated** Marathon 1.11 with four agents, "
        "whose tasks are real servers on loopback addresses, behind Envoy. "
        f"Two replicas answer {found.capacity:.0f} requests a second; {SHARE:.0%} of what the fewest replicas of each "
        "story can answer was asked for. Failed: an error, a wrong answer, or none in time (late). How long something "
        "took says nothing about a real Marathon."
    )
    head = "took (s) | requests/s | sent | failed | late | without an answer |\n|---|---:|---:|---:|---:|---:|---:|"
    lines = [
        "# A model on an emulated Marathon, under load",
        "",
        how,
        "",
        f"| planned | {head}",
        *(_row(one) for one in found.stories if one.planned),
        "",
        f"| not planned | {head}",
        *(_row(one) for one in found.stories if not one.planned),
        "",
    ]
    return "\n".join(lines)


def _row(one: Told) -> str:
    counts = one.sent
    return (
        f"| {one.name} | {one.took:.1f} | {one.rate:.1f} | {counts.sent} | {counts.failed} | {one.late} "
        f"| {counts.missing} |"
    )


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
