"""What the namespace's own rules allow of a replica: how much it may have, and which storage it can be given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from roadstead.capabilities import Bounds
from roadstead.units import Cpus, Memory
from roadstead_backends.kubernetes.objects import LimitRange, StorageClass, VolumeClaim
from roadstead_backends.kubernetes.quantities import cpus_left, cpus_used, memory_left, memory_used

__all__ = ["Rules"]

_LATE: Final = "WaitForFirstConsumer"
_OURS: Final = frozenset({"Container", "Pod"})
"""The types of limits that a replica falls under: it is one container in one pod."""

T = TypeVar("T")


class Rules:
    """LimitRanges, claims and kinds of storage, as they are now."""

    def __init__(self) -> None:
        self._limits: dict[str, LimitRange] = {}
        self._claims: dict[str, VolumeClaim] = {}
        self._storage: dict[str, StorageClass] = {}

    def put_limits(self, name: str, limits: LimitRange | None) -> None:
        """Note a LimitRange of the namespace as it is now."""
        _put(self._limits, name, limits)

    def put_claim(self, name: str, claim: VolumeClaim | None) -> None:
        """Note a claim of the namespace as it is now."""
        _put(self._claims, name, claim)

    def put_storage(self, name: str, storage: StorageClass | None) -> None:
        """Note a kind of storage as it is now."""
        _put(self._storage, name, storage)

    @property
    def bounds(self) -> Bounds:
        """The strictest of all limits."""
        limits = [one for held in self._limits.values() for one in held.spec.limits if one.type in _OURS]
        most, least = [one.max for one in limits], [one.min for one in limits]
        return Bounds(
            least_cpu=max(_all(least, "cpu", cpus_used), key=_milli, default=None),
            most_cpu=min(_all(most, "cpu", cpus_left), key=_milli, default=None),
            least_memory=max(_all(least, "memory", memory_used), key=_bytes, default=None),
            most_memory=min(_all(most, "memory", memory_left), key=_bytes, default=None),
        )

    @property
    def late_claims(self) -> frozenset[str]:
        """The claims whose volumes wait until the cluster's own scheduler has picked a node."""
        return frozenset(
            name
            for name, claim in self._claims.items()
            if claim.status.phase != "Bound"
            and (storage := self._storage.get(claim.spec.storage_class_name)) is not None
            and storage.volume_binding_mode == _LATE
        )


def _put(held: dict[str, T], name: str, thing: T | None) -> None:
    if thing is None:
        held.pop(name, None)
    else:
        held[name] = thing


def _all(limits: Iterable[Mapping[str, str]], what: str, read: Callable[[str], T]) -> list[T]:
    return [read(one[what]) for one in limits if what in one]


def _milli(amount: Cpus) -> int:
    return amount.milli


def _bytes(amount: Memory) -> int:
    return amount.bytes
