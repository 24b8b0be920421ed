"""What only real nodes show: pods that go on through adoption, a kernel that holds limits, devices and their loss."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from roadstead.errors import OutOfCapacity, Retryable
from roadstead.model import GpuPartition, Resources, Scheduling, WholeGpus
from roadstead.reasons import ReasonCode
from roadstead.spi.backend import ABSENT, GroupOrder
from roadstead.world import Phase, Replica, Snapshot
from roadstead_backends.kubernetes.backend import KubernetesBackend
from roadstead_backends.kubernetes.connect import connect
from roadstead_backends.kubernetes.importing import imported
from tests.cluster.cluster import Cluster
from tests.cluster.node import GPUS
from tests.cluster.node_files import NodeSpec
from tests.cluster.pods import is_pod_ready, said_by
from tests.cluster.waiting import until as wait_until
from tests.kubernetes.orders import order_of
from tests.kubernetes.test_backend import OWNER_ID, context_for, only, order_for, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

Open = Callable[..., KubernetesBackend]

LEGACY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: legacy}
spec:
  replicas: 2
  selector: {matchLabels: {app: legacy}}
  template:
    metadata: {labels: {app: legacy}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: tf
          image: localhost/roadstead/host:1
          command: [python, -m, roadstead.testing.server, 0.0.0.0, "8501", tensorflow_model_server]
          args: [--model_name=minilm, --model_base_path=/models/minilm]
          resources: {limits: {cpu: 100m, memory: 64Mi}}
          readinessProbe: {httpGet: {port: 8501, path: /}, periodSeconds: 1}
          volumeMounts: [{name: models, mountPath: /models}]
      volumes: [{name: models, hostPath: {path: /usr}}]
---
apiVersion: v1
kind: Service
metadata: {name: legacy}
spec: {selector: {app: legacy}, ports: [{port: 80, targetPort: 8501}]}
"""


@pytest.fixture
def opened(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Open]:
    """Opens backends of the test's namespace, and closes them afterwards."""
    made: list[KubernetesBackend] = []

    def make(scheduling: Scheduling = Scheduling.NATIVE) -> KubernetesBackend:
        made.append(connect(attrs.evolve(context_for(cluster, namespace, tmp_path), scheduling=scheduling)))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


# ---- adoption ----


class Client:
    """Asks a Service for something again and again, in a block, and counts what became of it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.answers = Counter[str]()

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.02):
            try:
                self.answers[said_by(self._url)] += 1
            except OSError as error:
                self.answers[f"{type(error).__name__}: {error}"] += 1


def adopted(backend: KubernetesBackend, order: GroupOrder) -> None:
    """Ask for it as often as it takes."""

    def asked() -> bool:
        backend.observe()
        try:
            backend.apply(order, 2, expect=ABSENT)
        except Retryable:
            return False
        return True

    wait_until(asked, every=0.1)


def test_clients_of_a_deployment_notice_nothing_while_it_is_taken_over(
    cluster: Cluster, namespace: str, opened: Open
) -> None:
    """The pods are the same ones, none was restarted, and every request that was sent meanwhile was answered."""
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=LEGACY)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/legacy"
    cluster.api.wait(path, lambda one: one.get("status", {}).get("readyReplicas") == 2)
    service = cluster.api.get(f"/api/v1/namespaces/{namespace}/services/legacy")
    template = imported(next(yaml.safe_load_all(LEGACY))).template
    assert template is not None
    order = attrs.evolve(order_of(template), adopts="deployment/legacy", owner_id=OWNER_ID, fleet="tests")

    def pods() -> dict[str, int]:
        found = cluster.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
        return {one["metadata"]["uid"]: one["status"]["containerStatuses"][0]["restartCount"] for one in found}

    def reached() -> bool:
        try:
            return said_by(url) == "serving"
        except OSError:
            return False

    before, backend = pods(), opened()
    url = f"http://{service['spec']['clusterIP']}/"
    wait_until(reached)  # the node's rules for a new Service may come after its pods are ready
    with Client(url) as client:
        wait_until(lambda: client.answers.total() >= 20)
        adopted(backend, order)
        until(backend, lambda seen: [2] == [len(group.replicas) for group in seen.groups])
        assert cluster.api.find(path) is None
        later = client.answers.total() + 20
        wait_until(lambda: client.answers.total() >= later)
    assert ["serving"] == list(client.answers)
    assert before == pods()


# ---- limits ----


def test_a_server_that_the_kernel_ended_at_its_limit_is_said_to_have_been(
    cluster: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """What fills its memory here is not its own, but counts for it; the last exit and the reason both say it."""
    backend = opened()
    backend.apply(order_for(tmp_path), 1, expect=ABSENT)
    pod = replica(until(backend, running(1))).id
    cluster.api.wait(f"/api/v1/namespaces/{namespace}/pods/{pod}", is_pod_ready)  # containerd tells of no kill before
    fill = ["dd", "if=/dev/zero", "of=/dev/shm/full", "bs=1M", "count=60"]
    with contextlib.suppress(RuntimeError):  # it may be ended with the container
        cluster.kubectl("-n", namespace, "exec", pod, "--", *fill)
    seen = until(backend, lambda now: (last := replica(now).last_exit) is not None and last.out_of_memory)
    assert 1 <= replica(seen).restarts or replica(seen).phase is not Phase.RUNNING
    told = until(backend, lambda now: (why := replica(now).reason) is not None and why.code is ReasonCode.OUT_OF_MEMORY)
    reason = replica(told).reason
    assert reason is not None
    assert reason.detail.startswith("the kernel ended it at its memory limit")


# ---- devices ----


@pytest.fixture(scope="module")
def gpu_node(cluster: Cluster) -> Iterator[str]:
    """The name of a node with a device of each of two kinds."""
    if not cluster.is_ours:
        pytest.skip("a node of our own is needed")
    spec = NodeSpec(
        gpus={"nvidia.com/gpu": 1, "nvidia.com/mig-1g.10gb": 1}, taints=("nvidia.com/gpu=there:NoSchedule",)
    )
    yield cluster.add_node("gpus", spec).name
    cluster.remove_node("gpus")


ASKED = {"gpu-0": WholeGpus(count=1), "mig-1g.10gb": GpuPartition(profile="1g.10gb")}


def replica(seen: Snapshot) -> Replica:
    """Return the only replica."""
    (found,) = only(seen).replicas
    return found


def running(count: int) -> Callable[[Snapshot], bool]:
    """Return whether so many replicas run."""
    return lambda seen: count == phases(seen)[Phase.RUNNING]


def slots(seen: Snapshot) -> list[Replica]:
    """Return the replicas that have no place yet."""
    return [one for one in only(seen).replicas if one.phase is Phase.SLOT]


def phases(seen: Snapshot) -> Counter[Phase]:
    """Return how many replicas are in each phase."""
    return Counter(one.phase for group in seen.groups for one in group.replicas)


def devices(seen: Snapshot, node: str) -> set[str]:
    """Return the devices that a node offers, as a snapshot shows them."""
    return {device.id for one in seen.nodes if one.name == node for device in one.devices}


def order_with(folder: Path, gpu: Any) -> GroupOrder:
    """Return an order for replicas with a device each."""
    return order_for(folder, resources=Resources(gpu=gpu))


@pytest.mark.parametrize("device", ASKED)
def test_the_scheduler_gives_devices_until_there_are_none(
    cluster: Cluster, namespace: str, gpu_node: str, opened: Open, tmp_path: Path, device: str
) -> None:
    """The second replica waits, and says for what; without their plugin there are none, and who has one keeps it."""
    backend = opened()
    wait_until(lambda: devices(backend.observe(), gpu_node) == set(ASKED), what="the devices")
    backend.apply(order_with(tmp_path, ASKED[device]), 2, expect=ABSENT)
    seen = until(backend, lambda now: running(1)(now) and any(one.reason for one in slots(now)))
    (waiting,) = slots(seen)
    assert waiting.reason is not None
    assert ReasonCode.NO_CAPACITY is waiting.reason.code
    assert f"Insufficient nvidia.com/{device.removesuffix('-0')}" in waiting.reason.raw
    plugin = cluster.node(gpu_node).parts[GPUS]
    plugin.kill()
    gone = until(backend, lambda now: not devices(now, gpu_node))
    assert 1 == phases(gone)[Phase.RUNNING]
    plugin.start()
    until(backend, lambda now: devices(now, gpu_node) == set(ASKED))


def test_our_placement_gives_devices_until_there_are_none(
    cluster: Cluster, namespace: str, gpu_node: str, opened: Open, tmp_path: Path
) -> None:
    """A device that is taken, or went with its plugin, is refused before the kubelet has to."""
    backend = opened(Scheduling.DIRECTED)
    wait_until(lambda: devices(backend.observe(), gpu_node) == set(ASKED), what="the devices")
    backend.apply(order_with(tmp_path, ASKED["gpu-0"]), 2, expect=ABSENT)
    first, second = only(until(backend, lambda now: phases(now)[Phase.SLOT] == 2)).replicas
    backend.bind(first.id, gpu_node, ("gpu-0",))
    with pytest.raises(OutOfCapacity, match="device gpu-0 of node gpus is taken"):
        backend.bind(second.id, gpu_node, ("gpu-0",))
    until(backend, running(1))
    plugin = cluster.node(gpu_node).parts[GPUS]
    plugin.kill()
    until(backend, lambda now: not devices(now, gpu_node))
    with pytest.raises(OutOfCapacity, match="no device 'gpu-0'"):
        backend.bind(second.id, gpu_node, ("gpu-0",))
    assert 1 == phases(backend.observe())[Phase.RUNNING]
    plugin.start()
