"""What stands on a simulated cluster for deployments as a whole, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["Standing"]

_NOTHING: Mapping[str, int] = MappingProxyType({})


class Standing:
    """How many replicas of each deployment nobody may disturb, by the fleet that says so; one fleet has the say."""

    def __init__(self) -> None:
        self._floors: dict[str, Mapping[str, int]] = {}

    def floor(self, deployment: str) -> int:
        """Return how many replicas of a deployment nobody may disturb."""
        owner = self.owner(deployment)
        return self._floors[owner][deployment] if owner is not None else 0

    def owner(self, deployment: str) -> str | None:
        """Return whose word stands for a deployment, if anybody's does."""
        return next((owner for owner, floors in self._floors.items() if deployment in floors), None)

    def owners(self) -> frozenset[str]:
        """Return everybody whose word stands."""
        return frozenset(owner for owner, floors in self._floors.items() if floors)

    def put(self, deployment: str, floor: int | None, owner_id: str) -> None:
        """Let another number stand, or nothing any more."""
        before = self.owner(deployment)
        if before is not None and (before != owner_id or floor is None):
            left = {name: value for name, value in self._floors[before].items() if name != deployment}
            self._floors[before] = MappingProxyType(left)
        floors = self.shown_to(owner_id)
        if floor is not None and floors.get(deployment) != floor:
            self._floors[owner_id] = MappingProxyType({**floors, deployment: floor})

    def shown_to(self, owner_id: str) -> Mapping[str, int]:
        """Return what stands on the word of one fleet; the same object while it did not change."""
        return self._floors.get(owner_id, _NOTHING)
