"""The scene of `benchmarks.kubernetes_live`: a cluster of two real nodes, a fleet on it, and what clients send.

One node has devices that are not there, which a real device plugin offers. Two namespaces: in one the cluster picks
nodes, in the other we do.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.fleet import Stage, running, until
from benchmarks.live import Scene
from configs.minilm.workload import write
from roadstead.decide.report import Life, RolloutState
from tests.cluster.cluster import Cluster
from tests.cluster.node_files import NodeSpec

__all__ = ["GPU", "GPUS_ON", "HERE", "IMAGE", "MIG", "PLACED", "PROD", "SHARE", "Bench", "at_work"]

SHARE: Final = 0.5
"""Of what the fewest replicas of a story can answer: how much is asked for."""
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


class Bench(Scene):
    """The fleet, the cluster, and what clients send."""

    def __init__(self, stage: Stage, cluster: Cluster, model: Path, files: tuple[str, ...], **places: str) -> None:
        super().__init__(stage, files, home=PROD, share=SHARE, patience=180)
        self.cluster = cluster
        self.model = model
        self._namespaces = places

    # ---- looking ----

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
