"""What a Kubernetes cluster can do, by its version and by who picks the node. Pure."""

from __future__ import annotations

from typing import Final

from roadstead.capabilities import Bounds, Capabilities, Engine, GpuKind, Limit
from roadstead.model import Scheduling
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.rules import Rules

__all__ = ["OLDEST", "capabilities"]

OLDEST: Final = 30
"""The first minor version whose pods can sleep before they end without a program for it in the image."""

_IMAGE_VOLUMES: Final = 35
"""The first minor version where an image can be a volume without anybody having switched that on."""


def capabilities(
    place: Place, *, minor: int | None, notes: tuple[str, ...], rules: Rules | None = None
) -> Capabilities:
    """Return what a cluster of version 1.``minor`` can do; ``None`` while nobody has asked it."""
    schemes = {"file", "pvc", "http", "https", "s3", "gs"}
    if minor is not None and minor >= _IMAGE_VOLUMES:
        schemes.add("oci")
    return Capabilities(
        scheduling=frozenset({Scheduling.DIRECTED if place.directed else Scheduling.NATIVE}),
        exact_retire=False,
        heals_alone=not place.directed,
        evicts=True,
        reverts=True,
        reports_ready=True,
        settles=True,
        gpu=frozenset({GpuKind.WHOLE, GpuKind.PARTITION}),
        cpu_limit=Limit.CFS,
        memory_limit=Limit.CGROUP,
        gpu_limit=Limit.MIG,
        engine=Engine.IMAGE,
        schemes=frozenset(schemes),
        undigested=frozenset({"s3", "gs"}),
        caps_at_one=not place.directed,
        roots=place.model_roots,
        secrets=frozenset({"kubernetes"}),
        bounds=rules.bounds if rules is not None else Bounds(),
        late_claims=rules.late_claims if rules is not None and place.directed else frozenset(),
        version=f"1.{minor}" if minor is not None else "",
        notes=(*notes, *_notes(directed=place.directed, minor=minor)),
    )


def _notes(*, directed: bool, minor: int | None) -> tuple[str, ...]:
    found = ["who goes when a group shrinks is the cluster's choice; ours is a preference"]
    if directed:
        found.append("nobody places replacements while the daemon is dead")
    if minor is not None and minor < OLDEST:
        found.append(f"Kubernetes 1.{minor} is older than 1.{OLDEST}, the oldest that this backend can be used with")
    return tuple(found)
