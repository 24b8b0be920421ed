"""Taking over what somebody else made: a Deployment's current ReplicaSet, or a bare one, without restarting a pod.

Nothing of a template that makes a server is written: labels and annotations are added, to the ReplicaSet, to what it
makes pods from, and to its pods. A ReplicaSet does not replace pods because of that.

Every step may be the last before a crash, and all of it may be done again. A Deployment is let go of first, with
``Orphan``: as long as it is there, it would take the change back. Its ReplicaSet is marked before, so that it is found
again when its Deployment is gone.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import attrs
import msgspec

from roadstead.errors import Rejected, Retryable
from roadstead.model import Template
from roadstead.spi.backend import GroupOrder
from roadstead.template import canonical, revision
from roadstead.world import GroupKey
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.faults import NotFound
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.importing import imported, ports_of
from roadstead_backends.kubernetes.objects import ReplicaSet
from roadstead_backends.kubernetes.translate import canonical_json
from roadstead_backends.kubernetes.transport import MERGE, Transport

__all__ = ["Adopter", "as_live"]

Json = dict[str, Any]

_LET_GO_AFTER_MS: Final = 500
_SETS: Final = msgspec.json.Decoder(ReplicaSet)


def as_live(ordered: Template, live: Template) -> Template:
    """Return the template of what runs: what can be read from it, and what cannot as it was ordered.

    A server does not say its version or what its probes mean, so these count as equal.
    """
    known = live.resources
    return attrs.evolve(
        ordered,
        model=attrs.evolve(ordered.model, name=live.model.name, source=live.model.source),
        runtime=attrs.evolve(ordered.runtime, image=live.runtime.image, args=live.runtime.args),
        resources=attrs.evolve(ordered.resources, cpu=known.cpu, memory=known.memory, gpu=known.gpu),
        env=live.env,
        secrets=tuple(_as_known(one, ordered) for one in live.secrets),
    )


def _as_known(secret: Any, ordered: Template) -> Any:
    """Return a secret with the version that was ordered: nothing that runs says one."""
    versions = {one.name: one.version for one in ordered.secrets}
    return attrs.evolve(secret, version=versions.get(secret.name, secret.version))


class Adopter:
    """Takes over foreign objects of one namespace."""

    def __init__(self, transport: Transport, place: Place) -> None:
        self._transport = transport
        self._place = place

    def take_over(self, order: GroupOrder) -> ReplicaSet | None:
        """Make the object that ``order`` names a group of ours and return it, ``None`` where it is not there any more.

        Raises ``Retryable`` while it is being let go of, and ``Rejected`` for what cannot be taken over.
        """
        kind, _, name = order.adopts.partition("/")
        subject = order.adopts
        if kind == "deployment":
            found = self._let_go(name, order)
        elif kind == "replicaset":
            found = self._read(self._sets(name), subject)
        else:
            raise self._rejected(subject, f"{kind!r} cannot be adopted", "write deployment/NAME or replicaset/NAME")
        if found is None or names.OWNER_ID in (found["metadata"].get("labels") or {}):
            return None
        if any(owner.get("controller") for owner in found["metadata"].get("ownerReferences", ())):
            raise Retryable("somebody else still looks after it", cluster=self._place_name, subject=subject)
        return self._claim(found, order)

    # ---- a Deployment ----

    def _let_go(self, name: str, order: GroupOrder) -> Json | None:
        """Return the ReplicaSet that a Deployment has left, having removed the Deployment where it is still there."""
        path = f"{self._place.path('apps/v1', 'deployments')}/{quote(name, safe='')}"
        deployment = self._read(path, order.adopts)
        if deployment is None:
            marked = self._list("replicasets", {"labelSelector": f"{names.ADOPTING}={name}"})
            return marked[0] if marked else None
        if "deletionTimestamp" not in deployment["metadata"]:
            current = self._current(deployment, order)
            self._patch(
                self._sets(current["metadata"]["name"]), {"metadata": {"labels": {names.ADOPTING: name}}}, order
            )
            meta = deployment["metadata"]
            body = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": "Orphan",
                "preconditions": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
            }
            self._transport.call("DELETE", path, body=msgspec.json.encode(body), subject=order.adopts)
        raise Retryable(
            "its Deployment lets go of it", cluster=self._place_name, subject=order.adopts, after_ms=_LET_GO_AFTER_MS
        )

    def _current(self, deployment: Json, order: GroupOrder) -> Json:
        """Return the ReplicaSet that has all pods of a Deployment; in the middle of a rollout there is none."""
        uid = deployment["metadata"]["uid"]
        owned = [
            one
            for one in self._list("replicasets", {})
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences", ()))
        ]
        revision_key = "deployment.kubernetes.io/revision"
        newest = deployment["metadata"].get("annotations", {}).get(revision_key)
        current = [one for one in owned if one["metadata"].get("annotations", {}).get(revision_key) == newest]
        others = [one for one in owned if one not in current and one.get("status", {}).get("replicas")]
        if len(current) != 1 or others:
            raise self._rejected(order.adopts, "it is in the middle of a rollout", "wait until it has ended")
        return current[0]

    # ---- its ReplicaSet ----

    def _claim(self, found: Json, order: GroupOrder) -> ReplicaSet:
        read = imported({**found, "kind": "ReplicaSet"})
        if read.template is None:
            raise self._rejected(order.adopts, read.refused, "take `adopt` out of the fleet file")
        template = as_live(order.template, read.template)
        order = attrs.evolve(order, key=GroupKey(order.key.deployment, revision(template)), template=template)
        labels, around = names.group_labels(order), {names.PORTS: ports_of(found)}
        self._mark_pods(found, labels, around, order)
        adopted = self._patch(self._sets(found["metadata"]["name"]), _claimed(found, order, labels, around), order)
        self._mark_pods(found, labels, around, order)  # those that it made before it knew
        return _SETS.decode(adopted)

    def _mark_pods(self, found: Json, labels: dict[str, str], around: dict[str, str], order: GroupOrder) -> None:
        selector = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"]["matchLabels"].items())
        uid = found["metadata"]["uid"]
        for pod in self._list("pods", {"labelSelector": selector}):
            meta = pod["metadata"]
            owned = any(owner["uid"] == uid for owner in meta.get("ownerReferences", ()))
            if owned and names.OWNER_ID not in meta.get("labels", {}):
                path = f"{self._place.path('', 'pods')}/{quote(meta['name'], safe='')}"
                body = {"metadata": {"uid": meta["uid"], "labels": labels, "annotations": around}}
                self._patch(path, body, order)

    # ---- how it is asked ----

    @property
    def _place_name(self) -> str:
        return self._transport.cluster

    def _sets(self, name: str) -> str:
        return f"{self._place.path('apps/v1', 'replicasets')}/{quote(name, safe='')}"

    def _read(self, path: str, subject: str) -> Json | None:
        try:
            found: Json = msgspec.json.decode(self._transport.call("GET", path, subject=subject).body)
        except NotFound:
            return None
        return found

    def _list(self, kind: str, query: dict[str, str]) -> list[Json]:
        group = "" if kind == "pods" else "apps/v1"
        answer = self._transport.call("GET", self._place.path(group, kind), query=query, subject=kind)
        found: list[Json] = msgspec.json.decode(answer.body)["items"]
        return found

    def _patch(self, path: str, body: Json, order: GroupOrder) -> bytes:
        encoded = msgspec.json.encode(body)
        return self._transport.call("PATCH", path, body=encoded, content_type=MERGE, subject=order.adopts).body

    def _rejected(self, subject: str, why: str, hint: str) -> Rejected:
        return Rejected(why, cluster=self._place_name, subject=subject, hint=hint)


def _claimed(found: Json, order: GroupOrder, labels: dict[str, str], around: dict[str, str]) -> Json:
    """Return what is added to a ReplicaSet: whose it is, what it is, and the same for the pods that it will make."""
    meta, template = found["metadata"], found["spec"]["template"]
    pods = template.get("metadata", {})
    added = {
        "labels": {**(pods.get("labels") or {}), **labels},
        "annotations": {**(pods.get("annotations") or {}), **around},
    }
    rendering = {**template, "metadata": {**pods, **added}}
    annotations = {
        names.ADOPTED: order.adopts,
        names.OWNER: order.owner,
        names.GENERATION: str(order.generation),
        names.TEMPLATE: canonical(order.template),
        names.RENDERING: canonical_json(rendering),
        names.WRITTEN: str(meta["generation"] + 1),
    }
    return {
        "metadata": {
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
            "labels": {**labels, names.ADOPTING: None},
            "annotations": annotations,
        },
        "spec": {"template": {"metadata": added}},
    }
