"""Pods for tests of the cluster itself, as the API has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.request import urlopen

from tests.cluster.api import Api, Json
from tests.cluster.images import BUSYBOX
from tests.cluster.waiting import PATIENCE_S

__all__ = ["is_pod_ready", "pod", "restricted", "said_by", "start_pod", "wait_ended", "web_server"]

FOREVER: Final = ("sleep", "1000000")


def pod(
    name: str,
    command: Sequence[str] = FOREVER,
    *,
    image: str = BUSYBOX,
    limits: Mapping[str, str] | None = None,
    node: str | None = None,
    restart: str = "Never",
) -> Json:
    """Return a pod of one container, labelled with its name, that may be stopped at once."""
    container = {
        "name": "main",
        "image": image,
        "command": list(command),
        "resources": {"limits": dict(limits or {})},
    }
    spec: Json = {
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
    }
    if node is not None:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def web_server(name: str, says: str, *, node: str | None = None) -> Json:
    """Return a pod that answers every request on port 8080 with a text."""
    script = f"busybox mkdir /tmp/www; printf %s '{says}' > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    server = pod(name, ["sh", "-c", script], node=node)
    container = server["spec"]["containers"][0]
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    return server


def is_pod_ready(found: Json) -> bool:
    """Whether a pod says that it is ready."""
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def start_pod(api: Api, namespace: str, wanted: Json, *, within: float = PATIENCE_S) -> Json:
    """Create a pod and return it once it is ready."""
    place = f"/api/v1/namespaces/{namespace}/pods"
    api.create(place, wanted)
    return api.wait(f"{place}/{wanted['metadata']['name']}", is_pod_ready, within=within)


def wait_ended(api: Api, namespace: str, name: str, *, within: float = PATIENCE_S) -> Json:
    """Return what a pod's only container ended with, once it has."""
    found = api.wait(
        f"/api/v1/namespaces/{namespace}/pods/{name}",
        lambda seen: seen["status"].get("phase") in {"Succeeded", "Failed"},
        within=within,
    )
    ended: Json = found["status"]["containerStatuses"][0]["state"]["terminated"]
    return ended


def restricted(wanted: Json) -> Json:
    """Return a pod changed so that the strictest pod security standard lets it in."""
    spec: Json = {
        **wanted["spec"],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [*wanted["spec"].get("volumes", []), {"name": "tmp", "emptyDir": {}}],
    }
    for container in spec["containers"]:
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        container["volumeMounts"] = [*container.get("volumeMounts", []), {"name": "tmp", "mountPath": "/tmp"}]
    return {**wanted, "spec": spec}


def said_by(url: str) -> str:
    """Return what a server answers, from this side of the cluster's network."""
    with urlopen(url, timeout=10) as answer:  # noqa: S310  # an address of the cluster's own
        text: str = answer.read().decode()
        return text
