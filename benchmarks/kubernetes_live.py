"""What clients see of a model on a real Kubernetes cluster while it is scaled, rolled, moved, drained and broken.

    python -m benchmarks.kubernetes_live    # about fifteen minutes; writes benchmarks/results/kubernetes-live.{json,md}

A cluster of two real nodes is started (`make test-kubernetes` builds what it consists of), and a daemon with a gateway
beside it. Real servers of two versions of MiniLM run in its containers, under `roadstead load`, which checks each
answer. Run it on a machine that does nothing else: the nodes share its processors.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import cattrs

from benchmarks.fleet import Stage, kill, running, until
from benchmarks.underload import NAME, RESULTS, ROOT, result, sent
from benchmarks.underload_report import Sent
from configs.minilm.workload import write
from roadstead.decide.report import DeploymentStatus, Life, RolloutState
from tests.cluster.cluster import Cluster
from tests.cluster.node_files import NodeSpec

SHARE: Final = 0.5
"""Of what the fewest replicas of a story can answer: how much is asked for."""
CALM: Final = 4.0
"""Seconds of load before and after what happens."""
IMAGE: Final = "localhost/roadstead/host:1"
PROD, HERE = "prod", "here"
BAD_VERSION: Final = 9

FLEET: Final = """
    version: 1
    fleet: live
    clusters:
      prod:
        backend: kubernetes
        options: {{kubeconfig: "{kubeconfig}", namespace: "{namespace}", model_roots: ["{model}"]}}
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
        rollout: {{max_surge: 1, max_unavailable: 0, progress_deadline: 30s}}
        drift: revert
    daemon: {{turn: 2s, http: "{http}", state: "{state}"}}
"""


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
    """What became of a story: how long it took, in seconds, and what its clients got."""

    name: str
    planned: bool
    rate: float
    took: float
    sent: Sent


@attrs.frozen(kw_only=True)
class Found:
    """Everything, with the machine that it was found on; ``capacity`` is that of two replicas, in requests a second."""

    machine: str
    capacity: float
    stories: tuple[Told, ...]


class Bench:
    """The fleet, the cluster, and what clients send."""

    def __init__(self, stage: Stage, cluster: Cluster, namespace: str, files: tuple[str, ...]) -> None:
        self._stage = stage
        self._cluster = cluster
        self._namespace = namespace
        self._files = files
        self.capacity = 0.0

    # ---- looking ----

    def status(self) -> DeploymentStatus | None:
        """Return what the daemon says of the deployment."""
        return self._stage.deployment(NAME)

    def settled(self, *, replicas: int = 2, version: int = 1, on: str = PROD) -> None:
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

    def kubectl(self, *words: str, within: float = 120) -> str:
        """Run kubectl as somebody who is not us."""
        return self._cluster.kubectl("--namespace", self._namespace, *words, within=within)

    def group(self) -> str:
        """Return the ReplicaSet that has pods now."""
        found = json.loads(self.kubectl("get", "replicasets", "-o", "json"))["items"]
        return str(next(one["metadata"]["name"] for one in found if one["spec"]["replicas"]))

    def say(self, *words: str) -> None:
        """Run a command of ours."""
        self._stage.must(*words)

    def replace_daemon(self) -> None:
        """Kill the daemon, and start the next one at once."""
        kill(self._stage.daemon())
        self._stage.must("daemon", "start", "--background")

    # ---- measuring ----

    def measure_capacity(self) -> None:
        """Find out how much two replicas answer at most."""
        words = ("--concurrency", "16", "--duration", "12s", "-o", "json")
        self.capacity = result(self._stage.start("load", NAME, *self._files, *words))["rate"]

    def told(self, story: Story) -> Told:
        """Let it happen under load."""
        rate = SHARE * self.capacity * story.least / 2
        seconds = 2 * CALM + story.lasts
        words = ("--rate", f"{rate:.2f}", "--connections", "50", "--duration", f"{seconds:.0f}s", "-o", "json")
        process = self._stage.start("load", NAME, *self._files, "--versions", "1,2", *words)
        time.sleep(CALM)
        began = time.monotonic()
        story.happens()
        took = time.monotonic() - began
        if took > story.lasts:
            print(f"    {story.name}: took {took:.1f} s, longer than the load lasts", flush=True)
        return Told(name=story.name, planned=story.planned, rate=rate, took=took, sent=sent(result(process)))


# ---- the stories ----


def stories(bench: Bench, cluster: Cluster) -> Iterator[Story]:
    """Yield everything that happens, one after the other; each ends as it began."""
    yield Story(name="scale 1 to 4 to 1", happens=lambda: _scale(bench), lasts=45, replicas=1, least=1)
    yield Story(name="roll to version 2 and back", happens=lambda: _roll(bench), lasts=90)
    yield Story(name="a version that is not there, and back", happens=lambda: _bad_version(bench), lasts=90)
    yield Story(name="kubectl drain of a node, and uncordon", happens=lambda: _drain(bench), lasts=60)
    yield Story(name="kubectl scale to 1 by somebody", happens=lambda: _foreign_scale(bench), lasts=45, least=1)
    yield Story(name="another memory limit by somebody", happens=lambda: _foreign_limit(bench), lasts=60)
    yield Story(name="migration to local and back", happens=lambda: _migrate(bench, killed=None), lasts=90)
    for moment in (1.0, 4.0, 8.0):
        name = f"migration to local and back, the daemon killed after {moment:.0f} s of each"
        yield Story(name=name, happens=partial(_migrate, bench, killed=moment), lasts=120)
    yield Story(name="the API server killed and back", happens=lambda: _api_server(bench, cluster), lasts=30)
    yield Story(name="a pod killed", happens=lambda: _pod_killed(bench), lasts=45, least=1, planned=False)
    dies = partial(_node_dies, bench, cluster)
    yield Story(name="a node dies, and comes back", happens=dies, lasts=120, least=1, planned=False)


def _scale(bench: Bench) -> None:
    for replicas in (4, 1):
        bench.say("scale", NAME, str(replicas), "--detach")
        bench.settled(replicas=replicas)


def _roll(bench: Bench) -> None:
    for was, now in ((1, 2), (2, 1)):
        bench.edit(f"version: {was}}}", f"version: {now}}}")
        bench.settled(version=now)


def _bad_version(bench: Bench) -> None:
    bench.edit("version: 1}", f"version: {BAD_VERSION}}}")
    bench.rolled_back()
    bench.edit(f"version: {BAD_VERSION}}}", "version: 1}")
    bench.settled()


def _drain(bench: Bench) -> None:
    victim = max(filter(None, bench.nodes()))
    bench.kubectl("drain", victim, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s", within=90)
    until(lambda: victim not in bench.nodes(), within=60)
    bench.settled()
    bench.kubectl("uncordon", victim)


def _foreign_scale(bench: Bench) -> None:
    bench.kubectl("scale", "replicaset", bench.group(), "--replicas=1")
    until(lambda: (found := bench.status()) is not None and (found.serving or 0) < 2, within=30)
    bench.settled()


def _foreign_limit(bench: Bench) -> None:
    limits = {"limits": {"memory": "1100Mi"}, "requests": {"memory": "1100Mi"}}
    change = {"spec": {"template": {"spec": {"containers": [{"name": "server", "resources": limits}]}}}}
    bench.kubectl("patch", "replicaset", bench.group(), "--field-manager=somebody", "-p", json.dumps(change))

    def is_back() -> bool:
        path = "jsonpath={.spec.template.spec.containers[0].resources.limits.memory}"
        return bench.kubectl("get", "replicaset", bench.group(), "-o", path) == "1Gi"

    until(is_back, every=0.5, within=60)
    bench.settled()


def _migrate(bench: Bench, killed: float | None) -> None:
    for words, to in ((("--to", HERE), HERE), (("--undo",), PROD)):
        began = time.monotonic()
        bench.say("migrate", NAME, *words, "--detach")
        if killed is not None:
            time.sleep(max(0.0, began + killed - time.monotonic()))
            bench.replace_daemon()
        bench.settled(on=to)


def _api_server(bench: Bench, cluster: Cluster) -> None:
    part = cluster.part("kube-apiserver")
    part.kill()
    time.sleep(5)
    part.start()
    cluster.plane.wait_ready()
    bench.settled()


def _pod_killed(bench: Bench) -> None:
    found = bench.status()
    assert found is not None
    victim = found.replicas[0].id
    bench.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
    until(lambda: (now := bench.status()) is not None and victim not in {one.id for one in now.replicas})
    bench.settled()


def _node_dies(bench: Bench, cluster: Cluster) -> None:
    victim = max(filter(None, bench.nodes()))
    cluster.node(victim).power_off()
    until(lambda: bench.serves_without(victim), every=0.2, within=120)
    cluster.node(victim).power_on()
    cluster.node(victim).wait_ready()
    bench.settled()


# ---- all of it ----


@contextmanager
def at_work(model: Path) -> Iterator[tuple[Bench, Cluster]]:
    """Yield a fleet that serves on a cluster of two nodes, until the block ends."""
    cluster = Cluster.start()
    try:
        for _ in range(2):
            cluster.add_node(spec=NodeSpec())
        cluster.wait_ready()
        with (
            cluster.namespace("live") as namespace,
            tempfile.TemporaryDirectory(prefix="roadstead-load-") as folder,
            running(FLEET, model=model, kubeconfig=cluster.kubeconfig, namespace=namespace, image=IMAGE) as stage,
        ):
            requests, expected = write(Path(folder), count=100, versions=(1, 2))
            bench = Bench(stage, cluster, namespace, ("--requests", str(requests), "--expect", str(expected)))
            bench.settled()
            yield bench, cluster
    finally:
        cluster.stop()


def measure(model: Path, only: Sequence[str]) -> Found:
    """Let everything happen whose name has one of the words ``only`` in it, where there are any."""
    told = []
    with at_work(model) as (bench, cluster):
        bench.measure_capacity()
        print(f"two replicas answer {bench.capacity:.1f} requests a second", flush=True)
        for story in stories(bench, cluster):
            if only and not any(word in story.name for word in only):
                continue
            bench.say("scale", NAME, str(story.replicas), "--detach")
            bench.settled(replicas=story.replicas)
            told.append(bench.told(story))
            one = told[-1]
            print(
                f"{one.name}: {one.took:.1f} s, {one.sent.sent} sent, {one.sent.failed} failed {one.sent.failures}",
                flush=True,
            )
            bench.settled(replicas=story.replicas)
    return Found(
        machine=f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        capacity=bench.capacity,
        stories=tuple(told),
    )


def merged(before: Found, now: Found) -> Found:
    """Return all of them, those that were told again as they are now; the capacity stays that of the whole run."""
    again = {one.name: one for one in now.stories}
    return attrs.evolve(before, stories=tuple(again.get(one.name, one) for one in before.stories))


def report(found: Found) -> str:
    """Return what was found, in Markdown."""
    how = (
        f"`python -m benchmarks.kubernetes_live` on {found.machine}: kubelet, containerd and runc on two nodes that "
        "share the machine, servers in containers, behind Envoy. "
        f"Two replicas answer {found.capacity:.0f} requests a second; {SHARE:.0%} of what the fewest replicas of each "
        "story can answer was asked for. Failed: an error, a wrong answer, or none in time."
    )
    head = "took (s) | requests/s | sent | failed | without an answer |\n|---|---:|---:|---:|---:|---:|"
    lines = [
        "# A model on Kubernetes, under load",
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
    return f"| {one.name} | {one.took:.1f} | {one.rate:.1f} | {counts.sent} | {counts.failed} | {counts.missing} |"


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description="Scale, roll, move, drain and break a model on Kubernetes under load.")
    parser.add_argument("only", nargs="*", help="words in the names of stories; the others' results are kept then")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "minilm")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not all((given.model / str(version) / "saved_model.pb").is_file() for version in (1, 2)):
        parser.error(f"{given.model} lacks a version: `python -m configs.minilm.export --version 2` writes one")
    found = measure(given.model.absolute(), given.only)
    kept = given.results / "kubernetes-live.json"
    if given.only and kept.exists():
        found = merged(cattrs.structure(json.loads(kept.read_text()), Found), found)
    text = report(found)
    given.results.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(attrs.asdict(found), indent=1) + "\n")
    kept.with_suffix(".md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
