"""What it costs to know 5,000 pods: our reflector and the official client, on the same pods of a real API server.

    python -m benchmarks.kubernetes_client         # prints a table, writes benchmarks/results/kubernetes_client.json

It starts a control plane of its own (see ``tests/cluster``) without nodes, and makes the pods, which stay pending. Each
measurement is a process of its own, so that memory is that of one way only: *first* is from connecting until all pods
are known, *again* a list of the same. In the first round every pod is changed once, for the CPU time of an event. The
server is the same machine's and slows both down alike; CPU is what the client itself used. Peaks are of resident memory
above what the imports took.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import attrs
import kubernetes
import psutil
from rich.console import Console
from rich.table import Table

from roadstead.units import Duration
from roadstead_backends.kubernetes.access import FromFiles, Login
from roadstead_backends.kubernetes.objects import Pod
from roadstead_backends.kubernetes.reflector import Following, Reflector
from roadstead_backends.kubernetes.transport import Transport
from tests.cluster.cluster import Cluster

RESULTS: Final = Path(__file__).parent / "results" / "kubernetes_client.json"
NAMESPACE: Final = "many"
PATH: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
PATIENCE: Final = Duration(600_000)
WRITERS: Final = 12
WAYS: Final = ("ours", "official", "paged")


@attrs.frozen(kw_only=True)
class Cost:
    """What one measurement took: seconds on the wall and of CPU, and the peak of memory above the start, in MB."""

    wall: float
    cpu: float
    peak: float


# ---- one process each ----


def measured(work: Callable[[], None]) -> Cost:
    """Return what ``work`` costs this process; the peak is of the process's life so far."""
    before = psutil.Process().memory_info().rss
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Cost(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu, peak=max(0, peak - before) / 1e6)


def ours(kubeconfig: Path, count: int, *, watch: bool) -> dict[str, Any]:
    """Know all pods by the reflector; then list them again; then see all of them change, where that is asked."""
    transport = Transport(Login(FromFiles(paths=(kubeconfig,))), cluster="here")
    reflector = Reflector(transport, PATH, Pod, following=Following())
    reflector.start()
    told: dict[str, Any] = {"first": attrs.asdict(measured(lambda: must(reflector.wait_until_synced(PATIENCE))))}
    must(len(reflector.objects()) == count)
    reflector.changes()
    told["again"] = attrs.asdict(measured(lambda: must(reflector.refresh(PATIENCE))))
    must(not reflector.changes())
    if watch:
        cpu = time.process_time()
        print("ready", flush=True)  # whoever changes the pods waits for that
        version = int(sys.stdin.readline())
        while reflector.version < version:
            reflector._wait(lambda: reflector.version >= version, Duration(1_000))  # noqa: SLF001  # polling would cost
        told["watch"] = {
            "cpu_per_event": (time.process_time() - cpu) / count,
            "changed": len(reflector.changes().objects),
        }
    reflector.close()
    transport.close()
    return told


def official(kubeconfig: Path, count: int, *, pages: bool) -> dict[str, Any]:
    """Know all pods by the official client's typed list, in one page or in pages of 500."""
    kubernetes.config.load_kube_config(str(kubeconfig))  # type: ignore[no-untyped-call]
    api = kubernetes.client.CoreV1Api()

    def whole() -> None:
        must(len(api.list_namespaced_pod(NAMESPACE).items) == count)

    def paged() -> None:
        pods, following = [], None
        while following != "":
            page = api.list_namespaced_pod(NAMESPACE, limit=500, _continue=following)
            pods += page.items
            must(page.metadata is not None)
            following = page.metadata._continue or ""  # type: ignore[union-attr]  # noqa: SLF001  # its own name
        must(len(pods) == count)

    return {"first": attrs.asdict(measured(paged if pages else whole))}


def must(done: bool) -> None:  # noqa: FBT001  # an assertion that python -O does not take away
    """End the measurement where it did not do what it measures."""
    if not done:
        raise RuntimeError("the measurement did not do what it is to measure")


# ---- the cluster ----


def pod(at: int) -> dict[str, Any]:
    """Return a pod as a group of ours has them, in size: probes, resources, volumes, a restricted context."""
    probe = {"grpc": {"port": 8500}, "periodSeconds": 5, "failureThreshold": 3}
    container = {
        "name": "server",
        "image": "registry.example/serving/tensorflow:2.20.0",
        "args": ["--port=8500", "--rest_api_port=8501", "--model_name=minilm", "--model_base_path=/models/minilm"],
        "ports": [{"name": "grpc", "containerPort": 8500}, {"name": "rest", "containerPort": 8501}],
        "resources": {"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}},
        "startupProbe": probe,
        "livenessProbe": probe,
        "readinessProbe": probe,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
    }
    labels = {"app.kubernetes.io/managed-by": "roadstead", "roadstead.dev/deployment": f"minilm-{at % 50}"}
    metadata = {"name": f"minilm-{at:05}", "labels": labels, "annotations": {"roadstead.dev/generation": "1"}}
    volumes = [{"name": "models", "hostPath": {"path": "/srv/models"}}]
    return {"metadata": metadata, "spec": {"containers": [container], "volumes": volumes}}


def changed_all(cluster: Cluster, count: int) -> int:
    """Change every pod once, and return the last version that came of it."""

    def change(at: int) -> int:
        body = {"metadata": {"annotations": {"example.com/mark": "1"}}}
        return int(cluster.api.patch(f"{PATH}/minilm-{at:05}", body)["metadata"]["resourceVersion"])

    with ThreadPoolExecutor(WRITERS) as writers:
        return max(writers.map(change, range(count)))


def run(way: str, cluster: Cluster, count: int, *, watch: bool = False) -> dict[str, Any]:
    """Have one measurement made in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.kubernetes_client", "--way", way, "--pods", str(count)]
    command += ["--watch"] if watch else []
    with subprocess.Popen(
        [*command, "--kubeconfig", str(cluster.kubeconfig)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if line == "ready\n":
            print(changed_all(cluster, count), file=process.stdin, flush=True)
            line = process.stdout.readline()
    must(process.returncode == 0)
    told: dict[str, Any] = json.loads(line)
    return told


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Return all figures, each way so many times, in turn."""
    cluster = Cluster.start()
    try:
        cluster.part("kube-scheduler").kill()  # it would write into each pod that there is no node for it
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        cluster.api.wait(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default", bool)
        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(lambda at: cluster.api.create(PATH, pod(at)), range(count)))
        size = len(cluster.api.call("GET", PATH)) / count
        rounds = []
        for at in range(repeats):
            told = {way: run(way, cluster, count, watch=way == "ours" and at == 0) for way in WAYS}
            rounds.append(told)
            print(f"round {at + 1} of {repeats}: {json.dumps(told)}", file=sys.stderr)
    finally:
        cluster.stop()
    return {"pods": count, "bytes_per_pod": round(size), "rounds": rounds}


def show(figures: dict[str, Any]) -> None:
    """Print the medians, with the range of the time on the wall."""
    table = Table(title=f"{figures['pods']} pods of {figures['bytes_per_pod']} bytes, {len(figures['rounds'])} rounds")
    for heading in ("", "wall s", "from - to", "CPU s", "peak MB"):
        table.add_column(heading, justify="right" if heading else "left")
    for title, way, what in (
        ("reflector: first list", "ours", "first"),
        ("reflector: listed again", "ours", "again"),
        ("official client, typed", "official", "first"),
        ("official client, typed, pages of 500", "paged", "first"),
    ):
        costs = [Cost(**one[way][what]) for one in figures["rounds"]]
        walls = [cost.wall for cost in costs]
        table.add_row(
            title,
            f"{statistics.median(walls):.2f}",
            f"{min(walls):.2f} - {max(walls):.2f}",
            f"{statistics.median(cost.cpu for cost in costs):.2f}",
            f"{statistics.median(cost.peak for cost in costs):.0f}",
        )
    Console(width=100).print(table)
    event = figures["rounds"][0]["ours"]["watch"]["cpu_per_event"] * 1e6
    print(f"reflector: {event:.0f} us of CPU for an event of a watch, over {figures['pods']} of them")


def main() -> None:
    """Measure, print and write; or be one of the measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pods", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--watch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kubeconfig", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way == "ours":
        print(json.dumps(ours(asked.kubeconfig, asked.pods, watch=asked.watch)))
    elif asked.way is not None:
        print(json.dumps(official(asked.kubeconfig, asked.pods, pages=asked.way == "paged")))
    else:
        figures = measure(asked.pods, asked.repeats)
        machine = {"python": platform.python_version(), "cpus": psutil.cpu_count(), "client": kubernetes.__version__}
        RESULTS.write_text(json.dumps({"machine": machine, **figures}, indent=1) + "\n")
        show(figures)


if __name__ == "__main__":
    main()
