"""The harness itself: what it starts works as Kubernetes does, can be broken and mended, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
import urllib3

from tests.cluster import control_groups
from tests.cluster.cluster import Cluster, sweep
from tests.cluster.control_plane import API_SERVER, ETCD
from tests.cluster.images import HOST
from tests.cluster.machine import left_behind
from tests.cluster.node import GPUS, KUBELET, is_ready
from tests.cluster.node_files import NodeSpec
from tests.cluster.places import ROOT, run_folder
from tests.cluster.pods import is_pod_ready, pod, restricted, start_pod, wait_ended, web_server
from tests.cluster.waiting import until
from tests.tf_serving.saved_models import half_plus

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

GPU = "nvidia.com/gpu"
MIG = "nvidia.com/mig-1g.10gb"
PRODUCT = "nvidia.com/gpu.product"
KEPT = {"cpu": "500m"}


def said_by(url: str) -> str:
    """Return what a server answers, from this side of the cluster's network."""
    with urlopen(url, timeout=5) as answer:  # noqa: S310  # an address that the test made up
        text: str = answer.read().decode()
        return text


# ---- what is started works ----


def test_a_control_plane_answers_with_the_version_that_was_built(control_plane: Cluster) -> None:
    """The API server calls itself what go.mod pins."""
    assert "v1.37.2" == control_plane.api.get("/version")["gitVersion"]


def test_a_node_joins_the_cluster(cluster: Cluster) -> None:
    """A real kubelet registers, and the control plane finds it ready."""
    assert is_ready(cluster.api.get("/api/v1/nodes/node-1"))


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
    """A loop that would take a whole processor is throttled in most periods once it has had its fifth of one."""
    busy = start_pod(cluster.api, namespace, pod("busy", ["sh", "-c", "while :; do :; done"], limits={"cpu": "200m"}))
    group = f"kubepods/burstable/pod{busy['metadata']['uid']}"
    places = [path / group / "cpu.stat" for path in control_groups.present(cluster.node("node-1").files.cgroup)]

    def periods() -> tuple[int, int] | None:
        lines = [line for place in places if place.exists() for line in place.read_text().splitlines()]
        counted = dict(line.split() for line in lines)
        seen, throttled = int(counted["nr_periods"]), int(counted["nr_throttled"])
        return (seen, throttled) if seen >= 30 else None

    seen, throttled = until(periods, what="30 periods of the loop")
    assert throttled > seen / 2


# ---- devices ----


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
    node.wait_ready()
    start_pod(cluster.api, namespace, pod("late", limits={GPU: "1"}))


def test_a_broken_device_is_not_offered(cluster: Cluster, gpu_node: str) -> None:
    """The plugin calls a device unhealthy while the file of its name is there."""
    folder = cluster.node(gpu_node).files.disk / "lib/kubelet/device-plugins/unhealthy"
    folder.mkdir()
    (folder / "GPU-fake-0").touch()
    until(lambda: allocatable(cluster, gpu_node, GPU) == "1", what="one device")
    (folder / "GPU-fake-0").unlink()
    until(lambda: allocatable(cluster, gpu_node, GPU) == "2", what="both devices")


# ---- what can be broken ----


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


# ---- nothing is left ----


def traces(number: int) -> set[str]:
    """Return what there is of a cluster on this machine, so that the next one of that number is told from it."""
    device = f"roadstead{number}"
    found = {f"process {process.pid} {process.create_time()}" for process in left_behind(device)}
    found |= {f"{path} {path.stat().st_ino}" for path in control_groups.present(f"{device}-cluster")}
    found |= {path.read_text() for path in [run_folder(number) / "pki" / "authority.crt"] if path.exists()}
    index = Path(f"/sys/class/net/{device}/ifindex")
    return found | ({f"{device} {index.read_text()}"} if index.exists() else set())


def test_a_stopped_cluster_leaves_nothing(namespace: str, control_plane: Cluster) -> None:
    """A second cluster works beside the first; stopped, no process, group, interface, file or mount of it is left."""
    second = Cluster.start()
    number = second.plane.addresses.number
    try:
        second.add_node()
        second.wait_ready()
        start_pod(second.api, "default", pod("sleeps"))
        processes = [psutil.Process(part.pid) for part in second.plane.parts.values()]
        before = traces(number)
        assert len(before) > 4
    finally:
        second.stop()
    assert set() == before & traces(number)
    assert [] == [process for process in processes if process.is_running()]
    assert str(run_folder(number)) not in Path("/proc/mounts").read_text()
    assert control_plane.api.find(f"/api/v1/namespaces/{namespace}") is not None


def test_what_a_killed_run_left_is_swept(control_plane: Cluster) -> None:
    """When whoever started a cluster is killed its processes end by themselves, and the next start removes the rest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster", "up", "--nodes", "0"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    with process.stdout as output:
        number = int(Path(output.readline().split("=")[1]).parent.name)
        before = traces(number)
        assert len(before) > 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
    until(lambda: not any(each.startswith("process") for each in before & traces(number)))
    assert before & traces(number)
    sweep()
    assert set() == before & traces(number)
    assert control_plane.api.get("/version")


# ---- where it cannot be had, or is there already ----


def run_tests(*arguments: str, **environment: str) -> tuple[int, str]:
    """Return the exit code and the output of a run of pytest of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "kubernetes", *arguments, str(Path(__file__))],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=ROOT,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stdout


def test_where_no_cluster_can_be_started_one_line_says_so(tmp_path: Path) -> None:
    """Tests are skipped, not failed, and the run ends with how many they were and what is lacking."""
    code, said = run_tests("-k", "joins or answers", XDG_CACHE_HOME=str(tmp_path))
    assert 0 == code, said
    assert "KUBERNETES NOT TESTED: 4 tests skipped: the components of Kubernetes are not built" in said


def test_a_cluster_that_is_there_already_is_used_and_not_broken(control_plane: Cluster) -> None:
    """With the flag, tests run where KUBECONFIG points to, and those that would break something are skipped."""
    chosen = "version_that_was_built or frozen_etcd or plugin_and_come_back"
    code, said = run_tests("-k", chosen, "--existing-cluster", KUBECONFIG=str(control_plane.kubeconfig))
    assert 0 == code, said
    assert "1 passed, 2 skipped" in said
    assert control_plane.part(ETCD).is_running
