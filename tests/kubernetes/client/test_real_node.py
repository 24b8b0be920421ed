"""What a real kubelet says of a pod: what it uses, and what it prints."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.errors import Rejected
from roadstead_backends.kubernetes.access import FromFiles, Login
from roadstead_backends.kubernetes.logs import Log
from roadstead_backends.kubernetes.transport import Transport
from roadstead_backends.kubernetes.usage import UsageReader
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

_BUSY = "i=0; while true; do i=$((i+1)); if [ $((i % 20000)) = 0 ]; then echo line $((i / 20000)); fi; done"
_ENDS = "echo first; sleep 1; echo last; exit 1"


@pytest.fixture
def transport(cluster: Cluster) -> Iterator[Transport]:
    """Connect to the cluster."""
    connected = Transport(Login(FromFiles(paths=(Path(cluster.kubeconfig),))), cluster="prod")
    yield connected
    connected.close()


def _run(cluster: Cluster, namespace: str, script: str) -> str:
    """Run a script in a pod of one container, and wait until it runs."""
    container = {
        "name": "server",
        "image": "localhost/roadstead/busybox:1",
        "command": ["/bin/sh", "-c", script],
        "resources": {"limits": {"cpu": "200m", "memory": "64Mi"}},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    pods = f"/api/v1/namespaces/{namespace}/pods"
    cluster.api.create(pods, {"metadata": {"name": "busy", "labels": {"app": "busy"}}, "spec": spec})
    cluster.api.wait(f"{pods}/busy", lambda pod: pod.get("status", {}).get("containerStatuses"))
    return pods


def test_what_it_uses_is_what_its_limit_lets_it(cluster: Cluster, namespace: str, transport: Transport) -> None:
    """A fifth of a processor, read through the API server, where no metrics API is served."""
    _run(cluster, namespace, _BUSY)
    moments = itertools.count(0.0, 20.0)  # each look is a reading
    moment = 0.0
    reader = UsageReader(transport, namespace, "app=busy", now=lambda: moment)

    def known() -> bool:
        nonlocal moment
        moment = next(moments)
        usage = reader.read({"busy": "node-1"}).get("busy")
        return usage is not None and usage.memory is not None and usage.cpu is not None and 100 < usage.cpu.milli < 300

    assert until(known, every=1.0, what="the use of a pod")


def test_its_output_is_followed_over_a_restart_of_it(cluster: Cluster, namespace: str, transport: Transport) -> None:
    """Every line once, and the end when the pod is gone."""
    pods = _run(cluster, namespace, _ENDS)
    said: list[bytes] = []
    reading = threading.Thread(
        target=lambda: said.extend(Log.of_pod(transport, namespace, "busy", "server").read(tail=None, follow=True))
    )
    reading.start()
    until(lambda: said.count(b"last\n") >= 2, every=0.2, what="a second life")
    cluster.api.delete(f"{pods}/busy")
    reading.join(timeout=120)
    assert not reading.is_alive()
    assert [b"first\n", b"last\n"] * (len(said) // 2) == said[: len(said) // 2 * 2]


def test_no_such_pod_has_no_output(namespace: str, transport: Transport) -> None:
    """As every backend says it."""
    with pytest.raises(Rejected, match="not found"):
        next(Log.of_pod(transport, namespace, "nobody", "server").read(tail=1, follow=False))


def test_the_last_lines_are_the_last_ones(cluster: Cluster, namespace: str, transport: Transport) -> None:
    """As many as were asked for, as soon as there are so many."""
    _run(cluster, namespace, "for i in 1 2 3 4 5; do echo line $i; done; sleep 600")

    def last() -> bool:
        lines = list(Log.of_pod(transport, namespace, "busy", "server").read(tail=2, follow=False))
        return lines == [b"line 4\n", b"line 5\n"]

    assert until(last, every=0.2, what="the last two lines")
