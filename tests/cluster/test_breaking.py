"""What a test can break, and what comes of it: kubelets, wires, power, etcd, the API server."""

from __future__ import annotations

import pytest
import urllib3

from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import API_SERVER, ETCD
from tests.cluster.node import KUBELET
from tests.cluster.pods import is_pod_ready, said_by, start_pod, web_server

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]


def test_pods_survive_their_kubelet(two_nodes: Cluster, namespace: str) -> None:
    """A killed kubelet takes nothing with it; started again, it finds the same container."""
    node = two_nodes.node("node-2")
    server = start_pod(two_nodes.api, namespace, web_server("web", "hello", node=node.name))
    before = server["status"]["containerStatuses"][0]["containerID"]
    node.parts[KUBELET].kill()
    node.wait_lost()
    assert "hello" == said_by(f"http://{server['status']['podIP']}:8080/")
    node.parts[KUBELET].start()
    node.wait_ready()
    after = two_nodes.api.wait(f"/api/v1/namespaces/{namespace}/pods/web", is_pod_ready)
    assert before == after["status"]["containerStatuses"][0]["containerID"]


def test_a_silent_node_is_lost_and_its_pods_go_on(two_nodes: Cluster, namespace: str) -> None:
    """No heartbeat for eight seconds makes a node not ready, while its pods still answer."""
    node = two_nodes.node("node-2")
    server = start_pod(two_nodes.api, namespace, web_server("web", "hello", node=node.name))
    node.fall_silent()
    node.wait_lost()
    assert "hello" == said_by(f"http://{server['status']['podIP']}:8080/")
    node.speak_again()
    node.wait_ready()


def test_a_cut_network_takes_a_node_and_its_pods_away(two_nodes: Cluster, namespace: str) -> None:
    """Behind a pulled wire nothing answers; put back, the same container does."""
    node = two_nodes.node("node-2")
    server = start_pod(two_nodes.api, namespace, web_server("web", "hello", node=node.name))
    node.cut_network()
    node.wait_lost()
    with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        said_by(f"http://{server['status']['podIP']}:8080/")
    node.join_network()
    node.wait_ready()
    assert "hello" == said_by(f"http://{server['status']['podIP']}:8080/")


def test_a_node_without_power_is_lost_and_returns_with_its_disk(two_nodes: Cluster, namespace: str) -> None:
    """Its processes are gone at once; switched on again, it starts its pods again."""
    node = two_nodes.node("node-2")
    lasting = web_server("web", "hello", node=node.name)
    lasting["spec"]["restartPolicy"] = "Always"
    before = start_pod(two_nodes.api, namespace, lasting)
    node.power_off()
    node.wait_lost()
    node.power_on()
    node.wait_ready()

    def started_again(seen: dict[str, object]) -> bool:
        return is_pod_ready(seen) and seen["status"]["containerStatuses"][0]["restartCount"] > 0  # type: ignore[index]

    after = two_nodes.api.wait(f"/api/v1/namespaces/{namespace}/pods/web", started_again)
    assert before["metadata"]["uid"] == after["metadata"]["uid"]
    assert "hello" == said_by(f"http://{after['status']['podIP']}:8080/")


def test_a_frozen_etcd_makes_a_write_hang_and_a_cached_read_answer(control_plane: Cluster) -> None:
    """What needs etcd times out; a list that may be old is answered from the API server's memory."""
    api = control_plane.api
    control_plane.part(ETCD).freeze()
    try:
        assert api.get("/api/v1/namespaces", resourceVersion=0)["items"]
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            api._pool.request("GET", f"{api.server}/api/v1/namespaces/default", timeout=1, retries=False)
    finally:
        control_plane.part(ETCD).thaw()
    control_plane.plane.wait_ready()


def test_a_killed_api_server_returns_with_everything(control_plane: Cluster, namespace: str) -> None:
    """The API server keeps nothing of its own: what was written is there when it is started again."""
    control_plane.part(API_SERVER).kill()
    with pytest.raises(urllib3.exceptions.HTTPError):
        control_plane.api.get("/version")
    control_plane.part(API_SERVER).start()
    control_plane.plane.wait_ready()
    assert control_plane.api.find(f"/api/v1/namespaces/{namespace}") is not None
