"""What happens under load in `benchmarks.kubernetes_live`: each story ends as it began."""

import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.fleet import until
from benchmarks.kubernetes_scene import HERE, IMAGE, PROD, Bench
from benchmarks.live import Story
from benchmarks.underload import NAME

BAD_VERSION: Final = 9
LEGACY: Final = "legacy"
NEWEST: Final = 2
"""What a plain server serves that is given the model's folder."""


def stories(bench: Bench) -> Iterator[Story]:
    """Yield everything that happens, one after the other."""
    yield Story(name="scale 1 to 4 to 1", happens=lambda: bench.scale(4, 1), lasts=45, replicas=1, least=1)
    yield Story(name="roll to version 2 and back", happens=bench.roll, lasts=90)
    yield Story(name="a version that is not there, and back", happens=lambda: _bad_version(bench), lasts=150)
    yield Story(name="kubectl drain of a node, and uncordon", happens=lambda: _drain(bench), lasts=60)
    yield Story(name="kubectl scale to 1 by somebody", happens=lambda: _foreign_scale(bench), lasts=45, least=1)
    yield Story(name="another memory limit by somebody", happens=lambda: _foreign_limit(bench), lasts=60)
    yield Story(name="migration to local and back", happens=partial(bench.migrate, HERE, None), lasts=90)
    for moment in (1.0, 4.0, 8.0):
        name = f"migration to local and back, the daemon killed after {moment:.0f} s of each"
        yield Story(name=name, happens=partial(bench.migrate, HERE, moment), lasts=120)
    yield Story(name="the API server killed and back", happens=lambda: _api_server(bench), lasts=30)
    yield Story(
        name="a Deployment of somebody adopted",
        happens=lambda: _adopt(bench),
        lasts=45,
        replicas=1,
        to=lambda: _begin_legacy(bench),
        ends=lambda: _end_legacy(bench),
    )
    yield Story(name="a pod killed", happens=lambda: _pod_killed(bench), lasts=45, least=1, planned=False)
    dies = partial(_node_dies, bench)
    yield Story(name="a node dies, and comes back", happens=dies, lasts=120, least=1, planned=False)


def _bad_version(bench: Bench) -> None:
    bench.edit("version: 1}", f"version: {BAD_VERSION}}}")
    bench.rolled_back()
    bench.edit(f"version: {BAD_VERSION}}}", "version: 1}")
    bench.settled()


def _drain(bench: Bench) -> None:
    victim = max(filter(None, bench.nodes()))
    bench.kubectl("drain", victim, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s", within=90)
    until(lambda: victim not in bench.nodes(), within=60)
    bench.settled()
    bench.kubectl("uncordon", victim)


def _foreign_scale(bench: Bench) -> None:
    bench.kubectl("scale", "replicaset", bench.group(), "--replicas=1")
    until(lambda: (found := bench.status()) is not None and (found.serving or 0) < 2, within=30)
    bench.settled()


def _foreign_limit(bench: Bench) -> None:
    limits = {"limits": {"memory": "1100Mi"}, "requests": {"memory": "1100Mi"}}
    change = {"spec": {"template": {"spec": {"containers": [{"name": "server", "resources": limits}]}}}}
    bench.kubectl("patch", "replicaset", bench.group(), "--field-manager=somebody", "-p", json.dumps(change))

    def is_back() -> bool:
        path = "jsonpath={.spec.template.spec.containers[0].resources.limits.memory}"
        return bench.kubectl("get", "replicaset", bench.group(), "-o", path) == "1Gi"

    until(is_back, every=0.5, within=60)
    bench.settled()


def _api_server(bench: Bench) -> None:
    part = bench.cluster.part("kube-apiserver")
    part.kill()
    time.sleep(5)
    part.start()
    bench.cluster.plane.wait_ready()
    bench.settled()


def _pod_killed(bench: Bench) -> None:
    found = bench.status()
    assert found is not None
    victim = found.replicas[0].id
    bench.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
    until(lambda: (now := bench.status()) is not None and victim not in {one.id for one in now.replicas})
    bench.settled()


def _node_dies(bench: Bench) -> None:
    victim = max(filter(None, bench.nodes()))
    bench.cluster.node(victim).power_off()
    until(lambda: bench.serves_without(victim), every=0.2, within=120)
    bench.cluster.node(victim).power_on()
    bench.cluster.node(victim).wait_ready()
    bench.settled()


# ---- adoption ----


def _legacy(model: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return somebody's Deployment with two pods, and the Service that their clients know."""
    mount, labels = {"name": "models", "mountPath": str(model), "readOnly": True}, {"app": LEGACY}
    container = {
        "name": "tf",
        "image": IMAGE,
        "command": ["python", "-m", "roadstead_plugins.runtimes.tf_serving.server"],
        "args": [
            *("--host=0.0.0.0", "--port=8500", "--rest_api_port=8501"),
            *(f"--model_name={NAME}", f"--model_base_path={model}"),
        ],
        "ports": [{"containerPort": 8500}, {"containerPort": 8501}],
        "resources": {"limits": {"cpu": "400m", "memory": "1Gi"}},
        "readinessProbe": {"tcpSocket": {"port": 8500}, "periodSeconds": 1},
        "volumeMounts": [mount],
    }
    pod = {"containers": [container], "volumes": [{"name": "models", "hostPath": {"path": str(model)}}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": LEGACY},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": LEGACY},
        "spec": {"selector": labels, "ports": [{"port": 8500}]},
    }
    return deployment, service


def _begin_legacy(bench: Bench) -> tuple[str, ...]:
    """Have somebody's servers run, and return where their clients send requests."""
    both = "\n---\n".join(json.dumps(one) for one in _legacy(bench.model))
    bench.kubectl("apply", "-f", "-", stdin=both)
    bench.kubectl("rollout", "status", f"deployment/{LEGACY}", "--timeout=120s", within=130)
    address = bench.kubectl("get", "service", LEGACY, "-o", "jsonpath={.spec.clusterIP}")
    return f"{address}:8500", "--model", NAME


def _adopt(bench: Bench) -> str:
    """Import what runs, save what the import wrote, and wait until it is ours."""
    before = _pods(bench)
    declared = bench.imported(LEGACY)
    declared["model"]["version"] = NEWEST  # the one thing that its report asks a person to look at
    bench.declare(LEGACY, {**declared, "clusters": PROD})
    bench.settled(LEGACY, version=NEWEST)
    assert not bench.kubectl("get", "deployments", "-o", "name").strip(), "the Deployment is still there"
    assert _pods(bench) == before, f"{_pods(bench)} is not {before}"
    return f"{len(before)} pods, the same uids and no restart before and after; the Deployment is gone"


def _end_legacy(bench: Bench) -> None:
    bench.withdraw(LEGACY)
    bench.kubectl("delete", "service", LEGACY)


def _pods(bench: Bench) -> Mapping[str, int]:
    """Return the uids of the pods that were somebody else's, with how often each was restarted."""
    found = json.loads(bench.kubectl("get", "pods", "-l", f"app={LEGACY}", "-o", "json"))["items"]
    return {one["metadata"]["uid"]: one["status"]["containerStatuses"][0]["restartCount"] for one in found}
