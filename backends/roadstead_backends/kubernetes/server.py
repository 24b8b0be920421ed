"""What is asked of an API server once, about the server itself and about storage."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from roadstead.errors import Forbidden, Rejected
from roadstead_backends.kubernetes.faults import NotFound
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.transport import Transport

__all__ = ["must_not_wait_for_a_node", "server_minor"]

_LATE: Final = "WaitForFirstConsumer"


def server_minor(transport: Transport) -> int | None:
    """Return the minor version of the API server; ``None`` where it does not say one."""
    said = msgspec.json.decode(transport.call("GET", "/version").body)
    digits = "".join(filter(str.isdigit, str(said.get("minor", ""))))
    return int(digits) if digits else None


def must_not_wait_for_a_node(transport: Transport, place: Place, pod: dict[str, Any], subject: str) -> None:
    """Refuse a claim whose volume gets its place only when the cluster's own scheduler has picked a node.

    Where placement is ours, that never happens. A claim that is not there yet is left to the kubelet's word.
    """
    for volume in pod["spec"].get("volumes", ()):
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim is not None and _is_late(transport, place, claim):
            raise Rejected(
                f"the volume of claim {claim} waits for the cluster's own scheduler ({_LATE})",
                cluster=transport.cluster,
                subject=subject,
                hint="bind the claim first, use a storage class that binds at once, or scheduling: native",
            )


def _is_late(transport: Transport, place: Place, name: str) -> bool:
    claim = _read(transport, f"{place.path('', 'persistentvolumeclaims')}/{quote(name, safe='')}")
    if claim is None or claim.get("status", {}).get("phase") == "Bound":
        return False
    storage = claim["spec"].get("storageClassName")
    found = _read(transport, f"/apis/storage.k8s.io/v1/storageclasses/{quote(storage, safe='')}") if storage else None
    return found is not None and found.get("volumeBindingMode") == _LATE


def _read(transport: Transport, path: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = msgspec.json.decode(transport.call("GET", path).body)
    except (NotFound, Forbidden):
        return None
    return found
