"""The calls that change something in a cluster, each made once, with its precondition.

Whoever calls decides; here it is only done. What the API server answers to a write is handed to ``told``, so that no
look at the cluster is behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from roadstead.units import Duration
from roadstead_backends.kubernetes.faults import NotFound
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.objects import Budget, Pod, ReplicaSet, Service
from roadstead_backends.kubernetes.transport import APPLY, MERGE, Answer, Transport

__all__ = ["PATCH", "Writer"]

Json = dict[str, Any]
T = TypeVar("T")

PATCH: Final = "application/json-patch+json"
_DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_FIRST_TO_GO: Final = "-1000"


class Writer:
    """Changes objects in one namespace.

    ``manager`` is the name by which the API server remembers that counts and metadata are ours. Templates are written
    under another one: a manager that once owned a template, and then applies without it, would remove it.
    """

    def __init__(self, transport: Transport, place: Place, manager: str, told: Callable[[str, Any], None]) -> None:
        self._transport = transport
        self._place = place
        self._manager = manager
        self._maker = f"{manager}-template"
        self._told = told
        self._sets = msgspec.json.Decoder(ReplicaSet)
        self._pods = msgspec.json.Decoder(Pod)
        self._services = msgspec.json.Decoder(Service)
        self._budgets = msgspec.json.Decoder(Budget)

    @property
    def managers(self) -> frozenset[str]:
        """The names under which we write."""
        return frozenset({self._manager, self._maker})

    # ---- groups ----

    def create_group(self, document: Json, subject: str) -> ReplicaSet:
        """Make a ReplicaSet; raises ``AlreadyExists`` where there is one of that name, whoever's it is."""
        answer = self._transport.call(
            "POST",
            self._path("replicasets"),
            query={"fieldManager": self._maker, "fieldValidation": "Strict"},
            body=msgspec.json.encode(document),
            subject=subject,
        )
        return self._group_told(answer)

    def read_group(self, name: str, subject: str) -> ReplicaSet | None:
        """Return a ReplicaSet as it is now, whoever's it is; ``None`` where there is none."""
        answer = self._read(self._path("replicasets", name), subject)
        return self._sets.decode(answer.body) if answer is not None else None

    def read_whole(self, kind: str, name: str, subject: str) -> Json | None:
        """Return all of an object, field for field; ``None`` where there is none."""
        answer = self._read(self._path(kind, name), subject)
        if answer is None:
            return None
        whole: Json = msgspec.json.decode(answer.body)
        return whole

    def apply_counts(self, document: Json, stored: ReplicaSet, subject: str) -> ReplicaSet:
        """Write a group's count and metadata to exactly this state of the object; raises ``Conflict`` for another."""
        meta = {"uid": stored.metadata.uid, "resourceVersion": stored.metadata.resource_version}
        answer = self._transport.call(
            "PATCH",
            self._path("replicasets", stored.metadata.name),
            query={"fieldManager": self._manager, "fieldValidation": "Strict", "force": "true"},
            body=msgspec.json.encode({**document, "metadata": {**document["metadata"], **meta}}),
            content_type=APPLY,
            subject=subject,
        )
        return self._group_told(answer)

    def patch_group(self, version: str, name: str, operations: list[Json], subject: str) -> ReplicaSet:
        """Change a ReplicaSet by operations, in exactly this resource version; raises ``Conflict`` in another."""
        # Not a test: one that fails is answered as a request that is wrong in itself would be.
        condition = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        answer = self._transport.call(
            "PATCH",
            self._path("replicasets", name),
            query={"fieldManager": self._maker, "fieldValidation": "Strict"},
            body=msgspec.json.encode([condition, *operations]),
            content_type=PATCH,
            subject=subject,
        )
        return self._group_told(answer)

    def delete_group(self, stored: ReplicaSet, subject: str) -> ReplicaSet | None:
        """Remove a ReplicaSet once its pods are gone, and have these end; ``None`` where it is gone already.

        In the foreground: as long as a pod is left, the object is there, so that what still holds room is seen.
        """
        meta = stored.metadata
        body = {
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": meta.uid, "resourceVersion": meta.resource_version},
        }
        try:
            answer = self._delete(self._path("replicasets", meta.name), body, subject)
        except NotFound:
            return None
        left = self._sets.decode(answer.body) if b'"kind":"ReplicaSet"' in answer.body[:200] else None
        if left is not None:
            self._told("replicasets", left)
        return left

    # ---- pods ----

    def delete_pod(self, pod: Pod, grace: Duration, subject: str) -> None:
        """End a pod within a grace, at least a second: with none at all, nobody would wait for it to end."""
        body = {
            "gracePeriodSeconds": _seconds(grace),
            "preconditions": {"uid": pod.metadata.uid},
        }
        self._delete_quietly(self._path("pods", pod.metadata.name), body, subject)

    def bury_pod(self, pod: Pod, subject: str) -> None:
        """Remove what is left of a pod that has ended."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.metadata.uid}}
        self._delete_quietly(self._path("pods", pod.metadata.name), body, subject)

    def evict_pod(self, pod: Pod, grace: Duration | None, subject: str) -> None:
        """End a pod if the disruption budget allows it now; raises ``Retryable`` where it does not.

        Within its own grace where none is given.
        """
        options: Json = {"preconditions": {"uid": pod.metadata.uid}}
        if grace is not None:
            options["gracePeriodSeconds"] = _seconds(grace)
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.metadata.name, "namespace": self._place.namespace},
            "deleteOptions": options,
        }
        path = f"{self._path('pods', pod.metadata.name)}/eviction"
        self._transport.call("POST", path, body=msgspec.json.encode(body), subject=subject)

    def bind_pod(self, pod: Pod, node: str, annotations: dict[str, str], subject: str) -> None:
        """Put a pod on a node; raises ``Conflict`` where it has one."""
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.metadata.name, "uid": pod.metadata.uid, "annotations": annotations},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        path = f"{self._path('pods', pod.metadata.name)}/binding"
        self._transport.call("POST", path, body=msgspec.json.encode(body), subject=subject)

    def prefer_to_go(self, pod: Pod, *, first: bool, subject: str) -> None:
        """Have a pod be among the first that its ReplicaSet gives up, or like any other again."""
        cost = pod.metadata.annotations.get(_DELETION_COST)
        if (cost == _FIRST_TO_GO) == first:
            return
        change = {
            "metadata": {
                "uid": pod.metadata.uid,
                "annotations": {_DELETION_COST: _FIRST_TO_GO if first else None},
            }
        }
        try:
            answer = self._transport.call(
                "PATCH",
                self._path("pods", pod.metadata.name),
                query={"fieldManager": self._manager},
                body=msgspec.json.encode(change),
                content_type=MERGE,
                subject=subject,
            )
        except NotFound:
            return
        self._told("pods", self._pods.decode(answer.body))

    # ---- what stands beside ----

    def put_service(self, document: Json, stored: Service | None, subject: str) -> Service:
        """Make a Service, or write one of ours as it should be; raises ``AlreadyExists`` where there is another's."""
        uid = stored.metadata.uid if stored is not None else None
        return self._put("services", document, uid, self._services, subject)

    def put_budget(self, document: Json, stored: Budget | None, subject: str) -> Budget:
        """Make a disruption budget, or write one of ours as it should be."""
        uid = stored.metadata.uid if stored is not None else None
        return self._put("poddisruptionbudgets", document, uid, self._budgets, subject)

    def read_service(self, name: str, subject: str) -> Service | None:
        """Return a Service as it is now, whoever's it is; ``None`` where there is none."""
        answer = self._read(self._path("services", name), subject)
        return self._services.decode(answer.body) if answer is not None else None

    def read_budget(self, name: str, subject: str) -> Budget | None:
        """Return a disruption budget as it is now, whoever's it is; ``None`` where there is none."""
        answer = self._read(self._path("poddisruptionbudgets", name), subject)
        return self._budgets.decode(answer.body) if answer is not None else None

    def remove(self, kind: str, meta: Meta, subject: str) -> bool:
        """Remove an object of ours; return whether it was still there."""
        path = self._path(kind, meta.name)
        return self._delete_quietly(path, {"preconditions": {"uid": meta.uid}}, subject)

    # ---- how it is asked ----

    def _put(self, kind: str, document: Json, uid: str | None, decoder: msgspec.json.Decoder[T], subject: str) -> T:
        """Make an object, or apply one that exists with this uid: what others made under our name is not taken over."""
        query = {"fieldManager": self._manager, "fieldValidation": "Strict"}
        if uid is None:
            path, body = self._path(kind), msgspec.json.encode(document)
            answer = self._transport.call("POST", path, query=query, body=body, subject=subject)
        else:
            meta = {**document["metadata"], "uid": uid}
            answer = self._transport.call(
                "PATCH",
                self._path(kind, meta["name"]),
                query={**query, "force": "true"},
                body=msgspec.json.encode({**document, "metadata": meta}),
                content_type=APPLY,
                subject=subject,
            )
        written = decoder.decode(answer.body)
        self._told(_FEEDS[kind], written)
        return written

    def _group_told(self, answer: Answer) -> ReplicaSet:
        written = self._sets.decode(answer.body)
        self._told("replicasets", written)
        return written

    def _read(self, path: str, subject: str) -> Answer | None:
        try:
            return self._transport.call("GET", path, subject=subject)
        except NotFound:
            return None

    def _delete(self, path: str, options: Json, subject: str) -> Answer:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        return self._transport.call("DELETE", path, body=msgspec.json.encode(body), subject=subject)

    def _delete_quietly(self, path: str, options: Json, subject: str) -> bool:
        try:
            self._delete(path, options, subject)
        except NotFound:
            return False
        return True

    def _path(self, kind: str, name: str = "") -> str:
        path = self._place.path(_GROUPS.get(kind, ""), kind)
        return f"{path}/{quote(name, safe='')}" if name else path


_GROUPS: Final = {"replicasets": "apps/v1", "poddisruptionbudgets": "policy/v1"}
_FEEDS: Final = {"services": "services", "poddisruptionbudgets": "budgets"}


def _seconds(grace: Duration) -> int:
    return max(1, -(-grace.ms // 1000))
