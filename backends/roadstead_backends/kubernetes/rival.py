"""What Kubernetes has of its own to keep a model served: a plain Deployment, to be compared with.

Its pods are what ours are (:mod:`roadstead_backends.kubernetes.translate`), so that only who looks after them differs.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from roadstead.errors import Conflict
from roadstead.spi.backend import BackendContext, GroupOrder
from roadstead.spi.comparison import Standing, Work
from roadstead.template import revision
from roadstead.world import GroupKey
from roadstead_backends.kubernetes import names, translate
from roadstead_backends.kubernetes.connect import open_transport
from roadstead_backends.kubernetes.faults import NotFound
from roadstead_backends.kubernetes.objects import Pod
from roadstead_backends.kubernetes.reading import incarnation, is_ready, server_status
from roadstead_backends.kubernetes.transport import APPLY, Transport

__all__ = ["PlainDeployment", "plain_deployment"]

Json = dict[str, Any]

_MANAGER: Final = "roadstead-comparison"


class _Pods(msgspec.Struct, frozen=True):
    items: tuple[Pod, ...]


def plain_deployment(context: BackendContext) -> PlainDeployment:
    """Return what makes a plain Deployment on that cluster; nothing is asked of it yet."""
    transport, namespace = open_transport(context)
    return PlainDeployment(transport, namespace, context)


class PlainDeployment:
    """A Deployment with nobody's eyes on it but Kubernetes' own."""

    def __init__(self, transport: Transport, namespace: str, context: BackendContext) -> None:
        self._transport = transport
        self._namespace = namespace
        self._fleet, self._owner_id = context.fleet, context.owner_id
        self._pods = msgspec.json.Decoder(_Pods)
        self._name = self._revision = ""

    def ask(self, work: Work) -> None:
        """Apply the Deployment, which begins or rolls it."""
        self._revision = revision(work.template)
        self._name = names.settled_name(self._fleet, work.name)
        path, query = self._path("deployments", self._name), {"fieldManager": _MANAGER, "force": "true"}
        body = msgspec.json.encode(self._document(work))
        self._transport.call("PATCH", path, query=query, body=body, content_type=APPLY, subject=self._name)

    def standing(self) -> Standing:
        """Return what the pods are."""
        pods = self._found()
        ready = [pod for pod in pods if _is_ready(pod)]
        return Standing(
            current=frozenset(_process(pod) for pod in ready if self._is_current(pod)),
            ready=len(ready),
            others=sum(not self._is_current(pod) for pod in pods),
        )

    def lose(self) -> str:
        """Remove a ready pod without waiting for its node."""
        victim = next((pod for pod in self._found() if _is_ready(pod) and self._is_current(pod)), None)
        if victim is None:
            raise Conflict("no pod is ready", cluster=self._transport.cluster, subject=self._name, hint="observe again")
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": victim.metadata.uid}}
        self._remove("pods", victim.metadata.name, body)
        return _process(victim)

    def end(self) -> bool:
        """Remove the Deployment and its pods; return whether none is left."""
        if self._name:
            self._remove("deployments", self._name, {"propagationPolicy": "Background"})
        return not self._found()

    def close(self) -> None:
        """End the connections."""
        self._transport.close()

    def _document(self, work: Work) -> Json:
        key = GroupKey(work.name, self._revision)
        order = GroupOrder(
            key=key,
            fleet=self._fleet,
            owner="comparison",
            owner_id=self._owner_id,
            generation=1,
            template=work.template,
            launch=work.launch,
        )
        labels = names.deployment_labels(self._fleet, self._owner_id, work.name)
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self._name, "labels": labels},
            "spec": {
                "replicas": work.replicas,
                "selector": {"matchLabels": labels},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": work.max_surge, "maxUnavailable": work.max_unavailable},
                },
                "revisionHistoryLimit": 0,
                "template": translate.pod_template(order, directed=False),
            },
        }

    def _found(self) -> tuple[Pod, ...]:
        query = {"labelSelector": f"{names.FLEET}={self._fleet},{names.OWNER_ID}={self._owner_id}"}
        return self._pods.decode(self._transport.call("GET", self._path("pods"), query=query).body).items

    def _is_current(self, pod: Pod) -> bool:
        return pod.metadata.labels.get(names.REVISION) == self._revision

    def _remove(self, kind: str, name: str, options: Json) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        try:
            self._transport.call("DELETE", self._path(kind, name), body=msgspec.json.encode(body), subject=name)
        except NotFound:
            return

    def _path(self, kind: str, name: str = "") -> str:
        root = "/apis/apps/v1" if kind == "deployments" else "/api/v1"
        path = f"{root}/namespaces/{self._namespace}/{kind}"
        return f"{path}/{quote(name, safe='')}" if name else path


def _is_ready(pod: Pod) -> bool:
    return is_ready(pod) and pod.metadata.deletion is None


def _process(pod: Pod) -> str:
    """Return the name of the pod's server process: another after each restart."""
    status = server_status(pod)
    return incarnation(pod, status) if status is not None else pod.metadata.uid
