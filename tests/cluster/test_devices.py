"""Devices that are not there are offered, handed out, used up and lost as real ones are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.node import GPUS, KUBELET
from tests.cluster.node_files import NodeSpec
from tests.cluster.pods import pod, start_pod
from tests.cluster.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

GPU = "nvidia.com/gpu"
MIG = "nvidia.com/mig-1g.10gb"
PRODUCT = "nvidia.com/gpu.product"
KEPT = {"cpu": "500m"}


@pytest.fixture(scope="module")
def gpu_node(cluster: Cluster) -> Iterator[str]:
    """The name of a node with devices of two kinds."""
    if not cluster.is_ours:
        pytest.skip("a node of our own is needed")
    spec = NodeSpec(gpus={GPU: 2, MIG: 3}, labels={PRODUCT: "A100"}, taints=(f"{GPU}=there:NoSchedule",), reserved=KEPT)
    yield cluster.add_node("gpus", spec).name
    cluster.remove_node("gpus")


def allocatable(cluster: Cluster, node: str, resource: str) -> str | None:
    """Return how many of a resource a node says pods may have."""
    found: str | None = cluster.api.get(f"/api/v1/nodes/{node}")["status"]["allocatable"].get(resource)
    return found


def test_a_node_is_as_it_was_asked_for(cluster: Cluster, gpu_node: str) -> None:
    """Its labels, its taints, and how much of the machine it keeps from pods are those of its spec."""
    node = cluster.api.get(f"/api/v1/nodes/{gpu_node}")
    assert "A100" == node["metadata"]["labels"][PRODUCT]
    assert {"key": GPU, "value": "there", "effect": "NoSchedule"} in node["spec"]["taints"]
    capacity, offered = node["status"]["capacity"]["cpu"], node["status"]["allocatable"]["cpu"]
    assert f"{int(capacity) * 1000 - 500}m" == offered


def test_devices_are_offered_handed_out_and_used_up(cluster: Cluster, gpu_node: str, namespace: str) -> None:
    """A pod sees the devices it got; one that asks for more than are left waits, and is told why."""
    until(lambda: allocatable(cluster, gpu_node, GPU) == "2", what="two devices")
    assert "3" == allocatable(cluster, gpu_node, MIG)
    start_pod(cluster.api, namespace, pod("first", limits={GPU: "2", MIG: "1"}))
    shown = cluster.kubectl("--namespace", namespace, "exec", "first", "--", "sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES")
    assert shown.startswith(("GPU-fake-", "MIG-1G.10GB-fake-"))
    place = f"/api/v1/namespaces/{namespace}/pods"
    cluster.api.create(place, pod("second", limits={GPU: "1"}))
    waiting = cluster.api.wait(f"{place}/second", lambda seen: seen["status"].get("conditions"))
    assert "Insufficient nvidia.com/gpu" in waiting["status"]["conditions"][0]["message"]


def test_devices_vanish_with_their_plugin_and_come_back_with_it(cluster: Cluster, gpu_node: str) -> None:
    """Nothing is left to give while the plugin is dead."""
    plugin = cluster.node(gpu_node).parts[GPUS]
    plugin.kill()
    until(lambda: allocatable(cluster, gpu_node, GPU) == "0", what="no devices")
    plugin.start()
    until(lambda: allocatable(cluster, gpu_node, GPU) == "2", what="two devices again")


def test_devices_are_handed_out_again_after_the_kubelet_was_restarted(
    cluster: Cluster, gpu_node: str, namespace: str
) -> None:
    """A kubelet that starts anew has forgotten the plugin, which begins anew, too."""
    node = cluster.node(gpu_node)
    node.parts[KUBELET].restart()
    # A set, for what comes before the plugin is known again is rejected for good, and made anew.
    late = pod("late", limits={GPU: "1"}, restart="Always")
    spec = {"selector": {"matchLabels": {"app": "late"}}, "template": late}
    place = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    cluster.api.create(place, {"metadata": {"name": "late"}, "spec": spec})
    cluster.api.wait(f"{place}/late", lambda seen: seen["status"].get("readyReplicas") == 1)


def test_a_broken_device_is_not_offered(cluster: Cluster, gpu_node: str) -> None:
    """The plugin calls a device unhealthy while the file of its name is there."""
    folder = cluster.node(gpu_node).files.disk / "lib/kubelet/device-plugins/unhealthy"
    folder.mkdir()
    (folder / "GPU-fake-0").touch()
    until(lambda: allocatable(cluster, gpu_node, GPU) == "1", what="one device")
    (folder / "GPU-fake-0").unlink()
    until(lambda: allocatable(cluster, gpu_node, GPU) == "2", what="both devices")
