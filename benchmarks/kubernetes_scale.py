"""What one cluster of 1,000 nodes and 10,000 pods costs a daemon, and how soon it acts there.

    python -m benchmarks.kubernetes_scale    # about half an hour; writes benchmarks/results/kubernetes_scale.{json,md}
    python -m benchmarks.kubernetes_scale --sizes 100x1000 --standing 1000x10000

A real control plane is started (`make test-kubernetes` builds it), with nodes that are stood in for. A daemon deploys
on it, is started anew, is watched while nothing happens and while things do: somebody scales a group, pods die, a tenth
of the nodes falls silent. In the same run kube-scheduler and our placement give nodes to as many waiting pods.
"""

import argparse
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import cattrs
import psutil

from benchmarks.fleet import until
from benchmarks.kubernetes_scale_report import Asking, Bound, Cost, Found, Looked, Rest, Size, Vanished, report
from benchmarks.kubernetes_scale_scene import EACH, NATIVE, PATIENCE, PLACED, Asked, Life, Scene, Spent, at_scale
from benchmarks.kubernetes_scale_standing import come_to_life, made_to_stand
from benchmarks.underload import RESULTS
from roadstead.model import Reach
from roadstead.spi.backend import BackendContext
from roadstead.world import Snapshot
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.access import FromFiles, Login
from roadstead_backends.kubernetes.backend import KubernetesBackend
from roadstead_backends.kubernetes.connect import connect
from roadstead_backends.kubernetes.options import KubernetesOptions
from roadstead_backends.kubernetes.transport import Transport

SIZES: Final = "100x1000,300x3000,1000x10000"
STRATEGIC: Final = "application/strategic-merge-patch+json"
TIMES: Final = 20
"""How often each reaction is measured, and each look."""
VANISHING: Final = 10
"""One of so many nodes falls silent."""
CALM: Final = 2.5
"""Seconds without news before a reaction is measured: while news do not end, a daemon paces its turns."""
APART: Final = 10
"""One of so many pods is for each of those who bind."""


# ---- a daemon on a cluster ----


def deployed(scene: Scene, pods: int) -> Cost:
    """Have a daemon make so many pods from nothing."""
    scene.begin()
    began = time.time()
    scene.declare(NATIVE, pods // EACH)
    ended = scene.wait_settled()
    spent = scene.spent()
    writes = sum(one.is_write for one in scene.audit.asked())
    return Cost(wall=ended - began, cpu=spent.cpu, rss=spent.rss, writes=writes)


def synced(scene: Scene) -> Cost:
    """Start a daemon on what is there already: from its first request until it says that all of it is as asked."""
    started = scene.begin()
    ended = scene.wait_settled(every=0.5)
    spent, began = scene.spent(), scene.audit.first(started, lambda _: True).at
    return Cost(wall=ended - began, cpu=spent.cpu, rss=spent.rss)


def looked(scene: Scene) -> Looked:
    """Have a process of its own look at the cluster with the backend alone."""
    first = scene.cluster.api.get(f"/apis/apps/v1/namespaces/{NATIVE}/replicasets", limit=1)["items"][0]
    owner_id = first["metadata"]["labels"][names.OWNER_ID]
    words = ["--look", owner_id, "--kubeconfig", str(scene.kubeconfig)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kubernetes_scale", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return cattrs.structure(json.loads(done.stdout), Looked)


def at_rest(scene: Scene, seconds: float) -> Rest:
    """Count what is asked while nothing happens."""
    cpu, began = scene.spent().cpu, time.time()
    time.sleep(seconds)
    ended, used = time.time(), scene.spent().cpu - cpu
    counts = scene.audit.between(began, ended)
    writes = {(one.verb, one.resource) for one in scene.audit.asked() if one.is_write}
    asked = tuple(
        Asking(verb=verb, resource=resource_, count=count, is_write=(verb, resource_) in writes)
        for (verb, resource_), count in counts.most_common()
    )
    return Rest(seconds=ended - began, cpu=used, asked=asked)


def scaled_back(scene: Scene) -> tuple[float, ...]:
    """Scale groups that are ours, and return how long it takes until we write to each."""
    path = f"/apis/apps/v1/namespaces/{NATIVE}/replicasets"
    found = scene.cluster.api.get(path, limit=TIMES)["items"]
    took = []
    for name in [one["metadata"]["name"] for one in found]:
        time.sleep(CALM)
        began = time.time()
        scene.cluster.api.patch(f"{path}/{name}/scale", {"spec": {"replicas": EACH - 1}})
        ours = scene.audit.first(began, partial(_is_about, "patch", "replicasets", name))
        took.append(ours.at - began)
    scene.wait_settled()
    return tuple(took)


def bound_again(scene: Scene) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """End pods that we placed; return how long it takes until others are seen, and from then on until we bind them."""
    slots, binds = [], []
    ours = {one.owner: key for key, one in scene.pods.lives.items() if one.namespace == PLACED and one.leaving is None}
    for owner, (namespace, name) in list(ours.items())[:TIMES]:
        time.sleep(CALM)
        began = time.time()
        scene.cluster.api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", gracePeriodSeconds=0)
        successor, life = until(partial(_made_since, scene, owner, began), every=0.005)
        bind = scene.audit.first(began, partial(_is_about, "create", "pods/binding", successor))
        slots.append(life.seen - began)
        binds.append(max(0.0, bind.at - life.seen))
    scene.wait_settled()
    return tuple(slots), tuple(binds)


def _is_about(verb: str, resource_: str, name: str, one: Asked) -> bool:
    return (one.verb, one.resource, one.name) == (verb, resource_, name)


def _made_since(scene: Scene, owner: str, since: float) -> tuple[str, Life] | None:
    lives = list(scene.pods.lives.items())
    return next(((key[1], one) for key, one in lives if one.owner == owner and one.seen > since), None)


def vanished(scene: Scene) -> Vanished:
    """Let a tenth of the nodes fall silent, and wait until as many pods as asked for are ready elsewhere."""
    gone = {f"n-{number:05}" for number in range(scene.nodes - scene.nodes // VANISHING, scene.nodes)}
    on_them = [one for one in scene.pods.lives.values() if one.leaving is None and one.node in gone]
    cpu, began = scene.spent().cpu, time.time()
    scene.nodes_say(f"silence {' '.join(sorted(gone))}")
    until(lambda: all(one.leaving is not None for one in on_them), every=0.2, within=PATIENCE)

    def elsewhere() -> int:
        lives = list(scene.pods.lives.values())
        return sum(one.is_ready and one.leaving is None and one.node not in gone for one in lives)

    until(lambda: elsewhere() >= scene.wanted, every=0.2, within=PATIENCE)
    replaced = time.time()
    until(scene.is_settled, every=1.0, within=PATIENCE)
    settled = time.time()
    return Vanished(
        nodes=len(gone),
        pods=len(on_them),
        given_up=min(one.leaving or began for one in on_them) - began,
        replaced=replaced - began,
        settled=settled - began,
        writes=sum(one.is_write for one in scene.audit.asked() if began <= one.at < settled),
        cpu=scene.spent().cpu - cpu,
    )


# ---- who binds how fast ----


def bound_by_scheduler(scene: Scene, pods: int) -> Bound:
    """Let kube-scheduler give nodes to pods that all wait."""
    scheduler = scene.cluster.part("kube-scheduler")
    scheduler.freeze()
    scene.declare(NATIVE, pods // EACH)
    until(lambda: len(_waiting(scene, NATIVE)) >= pods, every=0.1, within=PATIENCE)
    waiting, cpu, began = _waiting(scene, NATIVE), Spent.by(scheduler.pid).cpu, time.time()
    scheduler.thaw()
    ended = _all_bound(waiting)
    used = Spent.by(scheduler.pid).cpu - cpu
    scene.wait_settled()
    return Bound(who="kube-scheduler", pods=len(waiting), wall=ended - began, cpu=used)


def bound_by_us(scene: Scene, pods: int) -> Bound:
    """Let our placement give nodes to pods that all wait."""
    controllers, daemon = scene.cluster.part("kube-controller-manager"), scene.daemon
    assert daemon is not None
    controllers.freeze()  # no pod is made before all groups are
    before = _sets(scene)
    scene.declare(PLACED, pods // EACH)
    until(lambda: _sets(scene) >= before + pods // EACH, every=0.1, within=PATIENCE)
    os.kill(daemon.pid, signal.SIGSTOP)
    controllers.thaw()
    until(lambda: len(_waiting(scene, PLACED)) >= pods, every=0.1, within=PATIENCE)
    waiting, cpu, began = _waiting(scene, PLACED), Spent.by(daemon.pid).cpu, time.time()
    os.kill(daemon.pid, signal.SIGCONT)
    ended = _all_bound(waiting)
    used = Spent.by(daemon.pid).cpu - cpu
    scene.wait_settled()
    return Bound(who="our placement", pods=len(waiting), wall=ended - began, cpu=used)


def _sets(scene: Scene) -> int:
    return sum(one.verb == "create" and one.resource == "replicasets" for one in scene.audit.asked())


def _waiting(scene: Scene, namespace: str) -> list[Life]:
    return [one for one in scene.pods.here(namespace) if one.bound is None]


def _all_bound(pods: list[Life]) -> float:
    until(lambda: all(one.bound is not None for one in pods), every=0.05, within=PATIENCE)
    return max(one.bound or 0.0 for one in pods)


# ---- the backend alone, in a process of its own ----


def look(kubeconfig: Path, owner_id: str) -> Looked:
    """Look at the cluster, again and again, while nothing and while one thing changes there."""
    context = BackendContext(
        cluster=NATIVE,
        fleet="scale",
        owner_id=owner_id,
        options=KubernetesOptions(kubeconfig=kubeconfig, namespace=NATIVE),
        scheduling=None,
        root=Path(),
        reach=Reach.NONE,
    )
    before, wall, cpu = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
    backend = connect(context)
    snapshot = backend.observe()
    first = Cost(
        wall=time.perf_counter() - wall,
        cpu=time.process_time() - cpu,
        rss=(psutil.Process().memory_info().rss - before) / 1e6,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before

    nothing = [_looked(backend)[0] for _ in range(TIMES)]
    writer = Transport(Login(FromFiles(paths=(kubeconfig,))), cluster=NATIVE)
    one = [_after_an_event(writer, backend, group.replicas[0].id) for group in snapshot.groups[:TIMES]]
    writer.close()
    backend.close()
    return Looked(
        first=first,
        peak=peak / 1e6,
        objects=len(snapshot.nodes) + sum(len(group.replicas) for group in snapshot.groups),
        nothing=statistics.median(nothing),
        one=statistics.median(one),
    )


def _looked(backend: KubernetesBackend) -> tuple[float, Snapshot]:
    """Look once, and return what that cost this thread."""
    began = time.thread_time()
    snapshot = backend.observe()
    return time.thread_time() - began, snapshot


def _after_an_event(writer: Transport, backend: KubernetesBackend, pod: str) -> float:
    """Let one pod be unready, and return what the look costs that shows it; then let it be ready again."""
    took = 0.0
    for status in ("False", "True"):
        _, before = _looked(backend)
        body = {"status": {"conditions": [{"type": "Ready", "status": status}]}}
        path = f"/api/v1/namespaces/{NATIVE}/pods/{pod}/status"
        writer.call("PATCH", path, body=json.dumps(body).encode(), content_type=STRATEGIC)
        snapshot = before
        while snapshot is before:
            took, snapshot = _looked(backend)
    return took


# ---- all of it ----


def measure(nodes: int, pods: int, rest: float) -> Size:
    """Return everything at one size."""
    apart = pods // APART
    load = os.getloadavg()[0]
    with at_scale(nodes) as scene:
        first = deployed(scene, pods - 2 * apart)
        _say("deployed", first)
        bound = [bound_by_scheduler(scene, apart), bound_by_us(scene, apart)]
        _say("bound", *bound)
        scene.end()
        alone = looked(scene)
        _say("looked", alone)
        again = synced(scene)
        _say("synced", again)
        resting = at_rest(scene, rest)
        _say("at rest", resting)
        scaled = scaled_back(scene)
        slots, binds = bound_again(scene)
        _say("reactions", scaled, slots, binds)
        lost = vanished(scene)
        _say("vanished", lost)
        return Size(
            nodes=nodes,
            pods=scene.wanted,
            deployments=sum(scene.declared.values()),
            load=load,
            deployed=first,
            synced=again,
            looked=alone,
            scaled_back=scaled,
            seen_slot=slots,
            bound_again=binds,
            rest=resting,
            vanished=lost,
            bound=tuple(bound),
        )


def measure_standing(nodes: int, pods: int, rest: float) -> Size:
    """Return what can be known at a size of which only the objects are there, until the controllers come to them."""
    load = os.getloadavg()[0]
    with at_scale(nodes, standing=True) as scene:
        made_to_stand(scene, pods)
        _say("stands", scene.spent())
        scene.end()
        alone = looked(scene)
        _say("looked", alone)
        again = synced(scene)
        _say("synced", again)
        resting = at_rest(scene, rest)
        _say("at rest", resting)
        scaled = scaled_back(scene)
        _say("reactions", scaled)
        with come_to_life(scene):
            lost = vanished(scene)
        _say("vanished", lost)
        return Size(
            nodes=nodes,
            pods=scene.wanted,
            deployments=sum(scene.declared.values()),
            load=load,
            synced=again,
            looked=alone,
            rest=resting,
            scaled_back=scaled,
            vanished=lost,
        )


def _say(what: str, *found: object) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}: {' '.join(map(str, found))}", flush=True)


def main() -> int:
    """Measure, print, and write the results; or be the process that looks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default=SIZES, help="NODESxPODS, smallest first (default: %(default)s)")
    parser.add_argument("--standing", default="", help="NODESxPODS of which only the objects are there")
    parser.add_argument("--rest", type=float, default=300.0, help="seconds at rest (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--look", metavar="OWNER_ID", help=argparse.SUPPRESS)
    parser.add_argument("--kubeconfig", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.look is not None:
        print(json.dumps(attrs.asdict(look(given.kubeconfig, given.look))))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # with the daemon, which would outlive it
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    found = Found(machine=machine, sizes=())
    asked = [(size, measure) for size in given.sizes.split(",") if size]
    asked += [(size, measure_standing) for size in given.standing.split(",") if size]
    for size, how in asked:
        nodes, _, pods = size.partition("x")
        found = attrs.evolve(found, sizes=(*found.sizes, how(int(nodes), int(pods), given.rest)))
        # Kept after each: the last one takes longest.
        (given.results / "kubernetes_scale.json").write_text(json.dumps(attrs.asdict(found), indent=1) + "\n")
        (given.results / "kubernetes_scale.md").write_text(report(found))
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
