"""The scene of `benchmarks.kubernetes_live`: a cluster of two real nodes, a fleet on it, and what clients send.

One node has devices that are not there, which a real device plugin offers. Two namespaces: in one the cluster picks
nodes, in the other we do.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import yaml

from benchmarks.fleet import Stage, kill, running, until
from benchmarks.underload import NAME, result, sent
from benchmarks.underload_report import Sent
from configs.minilm.workload import write
from roadstead.decide.report import DeploymentStatus, Life, RolloutState
from tests.cluster.cluster import Cluster
from tests.cluster.node_files import NodeSpec

__all__ = ["GPU", "GPUS_ON", "HERE", "IMAGE", "MIG", "PLACED", "PROD", "SHARE", "Bench", "Story", "Told", "at_work"]

SHARE: Final = 0.5
"""Of what the fewest replicas of a story can answer: how much is asked for."""
CALM: Final = 4.0
"""Seconds of load before and after what happens."""
IMAGE: Final = "localhost/roadstead/host:1"
PROD, PLACED, HERE = "prod", "placed", "here"
GPU, MIG = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb"
GPUS_ON: Final = "node-1"

FLEET: Final = """
    version: 1
    fleet: live
    clusters:
      prod:
        backend: kubernetes
        options: {{kubeconfig: "{kubeconfig}", namespace: "{namespace}", model_roots: ["{model}"]}}
      placed:
        backend: kubernetes
        scheduling: directed
        options: {{kubeconfig: "{kubeconfig}", namespace: "{directed}", model_roots: ["{model}"]}}
      here: {{backend: local, options: {{model_roots: ["{model}"]}}}}
    gateways:
      edge: {{kind: envoy, ports: 18420-18429}}
    deployments:
      minilm:
        model: {{source: "{model}", version: 1}}
        clusters: prod
        runtime: {{image: "{image}"}}
        replicas: 2
        resources: {{cpu: 400m, memory: 1Gi}}
        health: {{every: 2s, start_within: 1m}}
        stop: {{drain_within: 5s, kill_after: 2s}}
        rollout: {{max_surge: 1, max_unavailable: 0, progress_deadline: 90s}}
        on_excess: {{after: 10s}}
        drift: revert
    daemon: {{turn: 2s, http: "{http}", state: "{state}"}}
"""


def _to_the_deployment() -> tuple[str, ...]:
    return (NAME,)


@attrs.frozen(kw_only=True)
class Story:
    """Something that ``happens`` under load to so many ``replicas``, and is over within ``lasts`` seconds.

    ``least`` of them serve all the time. ``planned``: not one request may fail. ``to`` makes ready what the load goes
    to, and returns how `roadstead load` is told. What happens may return what else was seen. ``ends`` clears up.
    """

    name: str
    happens: Callable[[], str | None]
    lasts: float
    replicas: int = 2
    least: int = 2
    planned: bool = True
    to: Callable[[], tuple[str, ...]] = _to_the_deployment
    ends: Callable[[], None] = lambda: None


@attrs.frozen(kw_only=True)
class Told:
    """What became of a story: how long it took, in seconds, what its clients got, and what else was ``seen``."""

    name: str
    planned: bool
    rate: float
    took: float
    sent: Sent
    seen: str = ""


class Bench:
    """The fleet, the cluster, and what clients send."""

    def __init__(self, stage: Stage, cluster: Cluster, model: Path, files: tuple[str, ...], **places: str) -> None:
        self._stage = stage
        self.cluster = cluster
        self.model = model
        self._namespaces = places
        self._files = files
        self.capacity = 0.0

    # ---- looking ----

    def status(self, name: str = NAME) -> DeploymentStatus | None:
        """Return what the daemon says of a deployment."""
        return self._stage.deployment(name)

    def settled(self, name: str = NAME, *, replicas: int = 2, version: int = 1, on: str = PROD) -> None:
        """Wait until so many serve that version on one cluster, and nothing else is left."""

        def look() -> bool:
            found = self.status(name)
            return (
                found is not None
                and found.state is RolloutState.SETTLED
                and found.wanted == replicas == found.serving == found.listed == len(found.replicas)
                and all(one.versions == (version,) and one.cluster == on for one in found.replicas)
                and all(group.updated == group.target for group in found.groups if group.current)
            )

        until(look, every=0.1, within=180)

    def rolled_back(self) -> None:
        """Wait until the daemon has given up a revision, and serves the one before it."""

        def look() -> bool:
            found = self.status()
            return found is not None and found.state is RolloutState.ROLLED_BACK and len(found.replicas) == 2

        until(look, every=0.1, within=180)

    def nodes(self) -> set[str | None]:
        """Return where the replicas are."""
        found = self.status()
        return {one.node for one in found.replicas} if found is not None else set()

    def serves_without(self, node: str) -> bool:
        """Tell whether two replicas get requests, none of them on that node."""
        found = self.status()
        listed = [one for one in found.replicas if one.life is Life.LISTED] if found is not None else []
        return len(listed) == 2 and all(one.node != node for one in listed)

    # ---- doing ----

    def edit(self, was: str, now: str) -> None:
        """Save the fleet file with a change."""
        text = self._stage.file.read_text()
        assert was in text, was
        self._stage.file.write_text(text.replace(was, now))

    def declare(self, name: str, deployment: Mapping[str, object]) -> None:
        """Save the fleet file with one more deployment in it."""
        text = yaml.safe_dump({name: dict(deployment)}, sort_keys=False)
        indented = "".join(f"  {line}\n" for line in text.splitlines())
        self.edit("daemon: {", f"{indented}daemon: {{")

    def withdraw(self, name: str) -> None:
        """Have a deployment that was declared removed, with all that it had."""
        text = self._stage.file.read_text()
        begin = text.index(f"  {name}:\n")
        self.say("delete", name, "--yes")
        self._stage.file.write_text(text[:begin] + text[text.index("daemon: {") :])

    def imported(self, name: str) -> dict[str, Any]:
        """Return a deployment as `roadstead import` declares what it finds where the cluster picks nodes."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "imported.yaml"
            options = (f"kubeconfig={self.cluster.kubeconfig}", f"namespace={self._namespaces[PROD]}")
            words = [word for option in options for word in ("--set", option)]
            self.say("-f", str(file), "import", "--from", "kubernetes", "live", *words, "--adopt")
            found: dict[str, Any] = yaml.safe_load(file.read_text())["deployments"][name]
        return found

    def kubectl(self, *words: str, on: str = PROD, stdin: str = "", within: float = 120) -> str:
        """Run kubectl as somebody who is not us, in the namespace of one of our clusters."""
        return self.cluster.kubectl("--namespace", self._namespaces[on], *words, stdin=stdin, within=within)

    def visible_devices(self, pod: str, on: str) -> str:
        """Return which devices a container was given."""
        return self.kubectl("exec", pod, "--", "sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES", on=on).strip()

    def group(self) -> str:
        """Return the ReplicaSet that has pods now."""
        found = json.loads(self.kubectl("get", "replicasets", "-o", "json"))["items"]
        return str(next(one["metadata"]["name"] for one in found if one["spec"]["replicas"]))

    def say(self, *words: str) -> str:
        """Run a command of ours, and return what it says."""
        return self._stage.must(*words)

    def load(self, *words: str) -> "subprocess.Popen[str]":
        """Begin to send requests."""
        return self._stage.start("load", *words[:1], *self._files, *words[1:], "-o", "json")

    def replace_daemon(self) -> None:
        """Kill the daemon, and start the next one at once."""
        kill(self._stage.daemon())
        self._stage.must("daemon", "start", "--background")

    # ---- measuring ----

    def measure_capacity(self) -> None:
        """Find out how much two replicas answer at most."""
        self.capacity = result(self.load(NAME, "--concurrency", "16", "--duration", "12s"))["rate"]

    def told(self, story: Story) -> Told:
        """Let it happen under load."""
        rate = SHARE * self.capacity * story.least / 2
        seconds = 2 * CALM + story.lasts
        words = ("--rate", f"{rate:.2f}", "--connections", "50", "--duration", f"{seconds:.0f}s")
        process = self.load(*story.to(), "--versions", "1,2", *words)
        time.sleep(CALM)
        began = time.monotonic()
        seen = story.happens() or ""
        took = time.monotonic() - began
        if took > story.lasts:
            print(f"    {story.name}: took {took:.1f} s, longer than the load lasts", flush=True)
        counts = sent(result(process))
        story.ends()
        return Told(name=story.name, planned=story.planned, rate=rate, took=took, sent=counts, seen=seen)


@contextmanager
def at_work(model: Path) -> Iterator[Bench]:
    """Yield a fleet that serves on a cluster of two nodes, until the block ends."""
    cluster = Cluster.start()
    try:
        for devices in ({GPU: 2, MIG: 2}, {}):
            cluster.add_node(spec=NodeSpec(gpus=devices))
        cluster.wait_ready()
        with (
            cluster.namespace("live") as native,
            cluster.namespace("placed") as directed,
            tempfile.TemporaryDirectory(prefix="roadstead-load-") as folder,
            running(
                FLEET,
                model=model,
                kubeconfig=cluster.kubeconfig,
                namespace=native,
                directed=directed,
                image=IMAGE,
            ) as stage,
        ):
            requests, expected = write(Path(folder), count=40, versions=(1, 2))
            files = ("--requests", str(requests), "--expect", str(expected))
            bench = Bench(stage, cluster, model, files, **{PROD: native, PLACED: directed})
            bench.settled()
            yield bench
    finally:
        cluster.stop()
