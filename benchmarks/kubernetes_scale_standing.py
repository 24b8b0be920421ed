"""Many pods that stand as they are, for `benchmarks.kubernetes_scale`: written one by one, and replaced by nobody.

On a small machine the cluster's own controllers take longest by far to make ten thousand pods. To know what knowing
them costs, it does not matter who made them: here all are written as a kubelet would leave them, on a real API server,
and the daemon made their groups. Until :func:`come_to_life` the controllers are not there: nothing is replaced.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.fleet import until
from benchmarks.kubernetes_scale_scene import EACH, NATIVE, PATIENCE, SLOW_HEARTBEAT, Scene
from tests.cluster.standin_node import Node, NodeShape, status_of

__all__ = ["come_to_life", "made_to_stand"]

_WRITERS: Final = 12
_CONTROLLERS: Final = "kube-controller-manager", "kube-scheduler"
_SETS: Final = f"/apis/apps/v1/namespaces/{NATIVE}/replicasets"
_PODS: Final = f"/api/v1/namespaces/{NATIVE}/pods"

Json = dict[str, Any]


def made_to_stand(scene: Scene, pods: int) -> None:
    """Have the daemon make its groups, and write the nodes and pods of them."""
    for part in _CONTROLLERS:
        scene.cluster.part(part).kill()
    with ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(lambda number: _write_node(scene, number), range(scene.nodes)))
        scene.begin()
        scene.declare(NATIVE, pods // EACH)
        until(lambda: len(_sets(scene)) == pods // EACH, every=2.0, within=PATIENCE)
        wanted = [(one, at, number) for at, one in enumerate(_sets(scene)) for number in range(EACH)]
        list(writers.map(lambda one: _write_pod(scene, *one), wanted))
    scene.wait_settled()


@contextmanager
def come_to_life(scene: Scene) -> Iterator[None]:
    """Have somebody stand in for the nodes, and bring the controllers back, until they know all that stands there."""
    with scene.stand_in(SLOW_HEARTBEAT):
        for part in _CONTROLLERS:
            scene.cluster.part(part).start()
        until(lambda: all(map(_is_counted, _budgets(scene))), every=2.0, within=PATIENCE)
        scene.wait_settled()
        yield


def _budgets(scene: Scene) -> list[Json]:
    found: list[Json] = scene.cluster.api.get(f"/apis/policy/v1/namespaces/{NATIVE}/poddisruptionbudgets")["items"]
    return found


def _is_counted(budget: Json) -> bool:
    """Return whether the controllers have seen all pods that a budget is about."""
    return bool(budget["status"].get("currentHealthy") == EACH)


def _sets(scene: Scene) -> list[Json]:
    found: list[Json] = scene.cluster.api.get(_SETS)["items"]
    return found


def _write_node(scene: Scene, number: int) -> None:
    name = f"n-{number:05}"
    node = Node(NodeShape(name=name), number)
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    scene.cluster.api.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}, **status_of(node)})


def _write_pod(scene: Scene, group: Json, at: int, number: int) -> None:
    """Write one pod of a group as it looks when it has run for a while: made, placed, running, ready."""
    name, template = f"{group['metadata']['name']}-{number:05}", group["spec"]["template"]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": group["metadata"]["name"],
        "uid": group["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    node = f"n-{(at * EACH + number) % scene.nodes:05}"
    meta = {**template["metadata"], "name": name, "ownerReferences": [owner]}
    scene.cluster.api.create(_PODS, {"metadata": meta, "spec": {**template["spec"], "nodeName": node}})
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    container = {
        "name": template["spec"]["containers"][0]["name"],
        "image": template["spec"]["containers"][0]["image"],
        "imageID": f"standin@sha256:{'0' * 64}",
        "containerID": f"standin://{name}/0",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": moment}},
    }
    kinds = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": moment} for kind in kinds]
    address = f"10.{100 + at // 256}.{at % 256}.{number}"
    status = {
        "phase": "Running",
        "startTime": moment,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": conditions,
        "containerStatuses": [container],
    }
    scene.cluster.api.patch(f"{_PODS}/{name}/status", {"status": status}, kind="strategic")
