"""What is started works as Kubernetes does: it joins, answers from all sides, and holds limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster import control_groups
from tests.cluster.cluster import Cluster
from tests.cluster.images import HOST
from tests.cluster.node import is_ready
from tests.cluster.places import ROOT
from tests.cluster.pods import pod, restricted, said_by, start_pod, wait_ended, web_server
from tests.cluster.waiting import until
from tests.tf_serving.saved_models import half_plus

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]


def test_a_control_plane_answers_with_the_version_that_was_built(control_plane: Cluster) -> None:
    """The API server calls itself what go.mod pins."""
    assert "v1.37.2" == control_plane.api.get("/version")["gitVersion"]


def test_a_node_joins_the_cluster(cluster: Cluster) -> None:
    """A real kubelet registers, and the control plane finds it ready."""
    assert is_ready(cluster.api.get("/api/v1/nodes/node-1"))


def test_the_router_is_found_where_it_was_when_a_node_has_gone(control_plane: Cluster) -> None:
    """Its address on the wire is its own, and none of those of the wires that end there."""
    router = control_plane.plane.router

    def address() -> str:
        (found,) = json.loads(router.run("ip", "-json", "link", "show", "machines"))
        return str(found["address"])

    before = address()
    lowest = "link add lowest address 00:00:00:00:00:02 type veth peer name end"
    router.network(lowest, "link set lowest master machines", "link set lowest up")
    with_it = address()
    router.network("link delete lowest")
    assert (before, before) == (with_it, address())


def test_a_pod_answers_from_outside_at_its_own_address(cluster: Cluster, namespace: str) -> None:
    """Pods are reached from where the tests run, without entering any namespace."""
    server = start_pod(cluster.api, namespace, web_server("web", "hello"))
    assert "hello" == said_by(f"http://{server['status']['podIP']}:8080/")


def test_a_service_answers_at_its_address(cluster: Cluster, namespace: str) -> None:
    """The router's proxy sends what comes for a ClusterIP to a ready pod behind it."""
    start_pod(cluster.api, namespace, web_server("web", "hello"))
    service = cluster.api.create(
        f"/api/v1/namespaces/{namespace}/services",
        {
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    )

    def answer() -> str | None:
        try:
            return said_by(f"http://{service['spec']['clusterIP']}/")
        except OSError:
            return None

    assert "hello" == until(answer, what="an answer of the Service")


def test_pods_reach_a_service_whose_pod_is_on_another_node(two_nodes: Cluster, namespace: str) -> None:
    """What a pod sends to a ClusterIP crosses nodes."""
    api = two_nodes.api
    start_pod(api, namespace, web_server("web", "hello", node="node-1"))
    ports = [{"port": 80, "targetPort": 8080}]
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}}
    address = api.create(f"/api/v1/namespaces/{namespace}/services", service)["spec"]["clusterIP"]
    client = pod("client", ["sh", "-c", f"until wget -q -O - http://{address}/; do sleep 0.2; done"], node="node-2")
    api.create(f"/api/v1/namespaces/{namespace}/pods", client)
    wait_ended(api, namespace, "client")
    assert two_nodes.kubectl("--namespace", namespace, "logs", "client").endswith("hello")


def test_a_pod_finds_the_api_server_as_it_does_everywhere(cluster: Cluster, namespace: str) -> None:
    """Variables, token and authority of a pod's account lead to the API server, whose certificate fits."""
    program = """if True:
        import os, ssl, time, urllib.error, urllib.request
        account = "/var/run/secrets/kubernetes.io/serviceaccount"
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        context = ssl.create_default_context(cafile=f"{account}/ca.crt")
        headers = {"Authorization": "Bearer " + open(f"{account}/token").read()}
        asked = urllib.request.Request(f"https://{host}/api/v1/secrets", headers=headers)
        try:
            urllib.request.urlopen(asked, context=context)
        except urllib.error.HTTPError as error:
            print(error.code, error.read().decode())
        """
    cluster.api.create(f"/api/v1/namespaces/{namespace}/pods", pod("asks", ["python", "-c", program], image=HOST))
    assert 0 == wait_ended(cluster.api, namespace, "asks")["exitCode"]
    said = cluster.kubectl("--namespace", namespace, "logs", "asks")
    assert said.startswith("403 ")
    assert f"system:serviceaccount:{namespace}:default" in said


def test_logs_and_commands_reach_a_pod(cluster: Cluster, namespace: str) -> None:
    """The API server reaches the kubelet, whose certificate it checks."""
    start_pod(cluster.api, namespace, pod("talks", ["sh", "-c", "echo said; exec sleep 1000000"]))
    assert "said\n" == cluster.kubectl("--namespace", namespace, "logs", "talks")
    assert "done\n" == cluster.kubectl("--namespace", namespace, "exec", "talks", "--", "echo", "done")


def test_the_host_image_runs_this_environment_as_an_ordinary_user(cluster: Cluster, namespace: str) -> None:
    """A pod that names the image finds this Python and this source tree, may not write to them, and is not root."""
    program = "import os, roadstead, attrs; print(os.getuid(), roadstead.__file__, os.access('/usr', os.W_OK))"
    cluster.api.create(f"/api/v1/namespaces/{namespace}/pods", pod("ours", ["python", "-c", program], image=HOST))
    assert 0 == wait_ended(cluster.api, namespace, "ours")["exitCode"]
    said = cluster.kubectl("--namespace", namespace, "logs", "ours")
    assert f"65532 {ROOT / 'scheduler/roadstead/__init__.py'} False\n" == said


def test_the_embedded_server_runs_in_a_container(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """Our server is a container's only process, under the strictest security, and answers at the pod's address."""
    half_plus(2.0, tmp_path / "models" / "half" / "1")
    program = ["python", "-m", "roadstead_plugins.runtimes.tf_serving.server", "--host=0.0.0.0", "--port=8500"]
    flags = ["--rest_api_port=8501", "--model_name=half", "--model_base_path=/models/half"]
    server = restricted(pod("server", [*program, *flags], image=HOST, limits={"cpu": "1", "memory": "1Gi"}))
    folder = {"path": str(tmp_path / "models"), "type": "Directory"}
    server["spec"]["volumes"].append({"name": "models", "hostPath": folder})
    (container,) = server["spec"]["containers"]
    container["volumeMounts"].append({"name": "models", "mountPath": "/models", "readOnly": True})
    container["startupProbe"] = {"grpc": {"port": 8500}, "periodSeconds": 1, "failureThreshold": 60}
    running = start_pod(cluster.api, namespace, server)
    assert '"state": "AVAILABLE"' in said_by(f"http://{running['status']['podIP']}:8501/v1/models/half")


def test_other_images_find_nothing_of_the_machine(cluster: Cluster, namespace: str) -> None:
    """Only containers of the host image get the machine's folders."""
    cluster.api.create(f"/api/v1/namespaces/{namespace}/pods", pod("bare", ["sh", "-c", "echo /usr/*"]))
    wait_ended(cluster.api, namespace, "bare")
    assert "/usr/*\n" == cluster.kubectl("--namespace", namespace, "logs", "bare")


# ---- limits are real ----


def test_a_container_over_its_memory_is_killed(cluster: Cluster, namespace: str) -> None:
    """The kernel ends what takes more than its limit, and the kubelet says why."""
    # Told to begin when it runs, and with a shell that outlives its child: containerd asks the kernel about kills only
    # once a container is started, and calls an end that it hears of before the kill an error like any other.
    waiting, taking = "until [ -e /tmp/go ]; do sleep 0.1; done", "dd if=/dev/zero of=/dev/null bs=200M count=1"
    script = f"{waiting}; {taking}; ended=$?; sleep 3; exit $ended"
    start_pod(cluster.api, namespace, pod("greedy", ["sh", "-c", script], limits={"memory": "32Mi"}))
    cluster.kubectl("--namespace", namespace, "exec", "greedy", "--", "sh", "-c", ": > /tmp/go")
    ended = wait_ended(cluster.api, namespace, "greedy")
    assert ("OOMKilled", 137) == (ended["reason"], ended["exitCode"])


def test_a_container_gets_no_more_processor_than_its_limit(cluster: Cluster, namespace: str) -> None:
    """A loop that would take a whole processor is throttled once it has had its fifth of one."""
    busy = start_pod(cluster.api, namespace, pod("busy", ["sh", "-c", "while :; do :; done"], limits={"cpu": "200m"}))
    group = f"kubepods/burstable/pod{busy['metadata']['uid']}"
    places = [path / group / "cpu.stat" for path in control_groups.present(cluster.node("node-1").files.cgroup)]

    def is_throttled() -> bool:
        lines = [line for place in places if place.exists() for line in place.read_text().splitlines()]
        return int(dict(line.split() for line in lines)["nr_throttled"]) >= 15

    until(is_throttled, what="15 periods in which the loop had to wait")  # a starved machine gives less before
