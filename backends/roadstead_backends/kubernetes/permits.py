"""What a cluster would refuse us, asked before anything is tried: SelfSubjectAccessReviews."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from roadstead.model import Scheduling
from roadstead.spi.backend import BackendContext
from roadstead.spi.records import Lack
from roadstead_backends.kubernetes.connect import open_transport
from roadstead_backends.kubernetes.leases import lease_name
from roadstead_backends.kubernetes.rights import Profile, Right, rights_for
from roadstead_backends.kubernetes.transport import Transport

__all__ = ["lacking", "refused"]

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def lacking(context: BackendContext) -> tuple[Lack, ...]:
    """Return what the cluster would refuse us, one for each loss; raises where it does not answer.

    Where our placement is to pick nodes, that is in the way; where it is not, what only counts room is worth knowing.
    """
    transport, namespace = open_transport(context)
    directed = context.scheduling is Scheduling.DIRECTED
    asked = rights_for(Profile.DIRECTED if directed else Profile.CAPACITY)
    try:
        lost: dict[str, list[Right]] = {}
        for right in refused(transport, namespace, context.fleet, asked):
            lost.setdefault(right.without, []).append(right)
    finally:
        transport.close()
    return tuple(
        Lack(
            what=f"{without}: it may not {', '.join(map(str, rights))}",
            hint=_hint(rights),
            is_in_the_way=directed or (rights[0].profile is Profile.NATIVE and rights[0].group != _LEASES),
        )
        for without, rights in lost.items()
    )


_LEASES: Final = "coordination.k8s.io"


def _hint(rights: Iterable[Right]) -> str:
    profile = max(right.profile for right in rights)
    return f"bind the role of configs/kubernetes/rbac/{profile.name.lower()}.yaml"


def refused(transport: Transport, namespace: str, fleet: str, rights: Iterable[Right]) -> Iterator[Right]:
    """Yield those of ``rights`` that we do not have."""
    for right in rights:
        body = msgspec.json.encode(_review(right, namespace, fleet))
        answer = msgspec.json.decode(transport.call("POST", _REVIEWS, body=body, subject=str(right)).body)
        if not answer["status"].get("allowed", False):
            yield right


def _review(right: Right, namespace: str, fleet: str) -> dict[str, Any]:
    resource, _, part = right.resource.partition("/")
    attributes = {"group": right.group, "resource": resource, "verb": right.verb}
    if part:
        attributes["subresource"] = part
    if not right.everywhere:
        attributes["namespace"] = namespace
    if right.named:
        attributes["name"] = lease_name(fleet)
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
