"""Serve the quickstart's model on a real Kubernetes that is started for it: ``make demo-kubernetes``.

Stays until Ctrl-C, or with ``--once`` until the model has answered, and takes the cluster and the daemon away.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from configs.minilm.embed import SENTENCES, embed
from tests.cluster import binary, prerequisites
from tests.cluster.cluster import Cluster
from tests.cluster.places import ROOT

FLEET: Final = "configs/demo_kubernetes/fleet.yaml"
NAMESPACE: Final = "models"
MODEL: Final = "minilm"
NODES: Final = 2
NEXT: Final = (
    ("kubectl -n models get pods -o wide", "the replicas, on which nodes"),
    ("kubectl -n models delete pod --all", "lose them; the address goes on answering as soon as one is back"),
    ("roadstead scale minilm 3", "one more"),
    ("roadstead why minilm", "why it is as it is, in numbers"),
    ("kubectl drain node-1 --ignore-daemonsets", "empty a node, never below the floor"),
)


def roadstead(environment: Mapping[str, str], *arguments: str) -> str:
    """Run a command of ours on the demo's fleet, and return what it printed."""
    command = [str(Path(sys.executable).with_name("roadstead")), "-f", FLEET, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    """Start a cluster and a daemon, ask the model something, tell how to go on, and wait for Ctrl-C."""
    lacking = prerequisites.lacking()
    if lacking is not None:
        print(f"no Kubernetes here: {lacking}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    cluster = Cluster.start()
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "XDG_STATE_HOME": str(cluster.plane.folder / "state"),
    }
    try:
        for _ in range(NODES):
            cluster.add_node(wait=False)
        for node in cluster.nodes.values():
            node.wait_ready()
        cluster.wait_ready()
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        print(f"Kubernetes with {NODES} nodes works after {time.monotonic() - began:.0f} s; deploying {MODEL}")
        roadstead(environment, "daemon", "start", "--background")
        roadstead(environment, "apply", "--yes")
        where = json.loads(roadstead(environment, "endpoints", MODEL, "-o", "json"))
        address = next(f"{one['host']}:{one['port']}" for one in where["addresses"] if one["model"] == MODEL)
        print(told(cluster, address), flush=True)
        if "--once" not in sys.argv:
            if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
                webbrowser.open(f"http://{address}/v1/models/{MODEL}")
            signal.pause()
    except KeyboardInterrupt:
        print("stopping")
    except subprocess.CalledProcessError as error:
        return int(error.returncode)  # it has said why
    finally:
        # In this order: the gateway serves until the last replica is gone, and outlives a cluster that just vanishes.
        with contextlib.suppress(subprocess.CalledProcessError):
            roadstead(environment, "daemon", "stop", "--stop-replicas", "--yes")
        cluster.stop()
    return 0


def told(cluster: Cluster, address: str) -> str:
    """Ask the model through its address, and return what to show."""
    vectors = embed(address, SENTENCES, model=MODEL, timeout=60)
    pods = cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "wide")
    width = max(len(command) for command, _ in NEXT)
    lines = [
        *("", pods, f"Asked over gRPC Predict at {address}, how alike are these?", ""),
        *(
            f"  {likeness:6.3f}  {SENTENCES[0]!r} and {sentence!r}"
            for sentence, likeness in zip(SENTENCES[1:], vectors[1:] @ vectors[0], strict=True)
        ),
        *("", f"gRPC   {address}", f"REST   http://{address}/v1/models/{MODEL}"),
        *("", "In another shell, here:", ""),
        f"  export KUBECONFIG={cluster.kubeconfig} XDG_STATE_HOME={cluster.plane.folder / 'state'}",
        f"  alias kubectl='{binary.built()} kubectl' roadstead='.venv/bin/roadstead -f {FLEET}'",
        *(f"  {command:<{width}}  # {what}" for command, what in NEXT),
        *("", "Ctrl-C ends it."),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
