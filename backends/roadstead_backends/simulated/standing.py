"""What stands on a simulated cluster for deployments as a whole, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

__all__ = ["Standing"]


@attrs.frozen
class _Rule:
    owner_id: str
    floor: int


class Standing:
    """How many replicas of each deployment nobody may disturb, by the fleet that says so."""

    def __init__(self) -> None:
        self._rules: dict[str, _Rule] = {}
        self._shown: tuple[str, Mapping[str, int]] | None = None

    def floor(self, deployment: str) -> int:
        """Return how many replicas of a deployment nobody may disturb."""
        rule = self._rules.get(deployment)
        return rule.floor if rule is not None else 0

    def owner(self, deployment: str) -> str | None:
        """Return whose word stands for a deployment, if anybody's does."""
        rule = self._rules.get(deployment)
        return rule.owner_id if rule is not None else None

    def owners(self) -> frozenset[str]:
        """Return everybody whose word stands."""
        return frozenset(rule.owner_id for rule in self._rules.values())

    def put(self, deployment: str, floor: int | None, owner_id: str) -> None:
        """Let another number stand, or nothing any more."""
        before = dict(self._rules)
        self._rules.pop(deployment, None)
        if floor is not None:
            self._rules[deployment] = _Rule(owner_id, floor)
        if before != self._rules:
            self._shown = None

    def shown_to(self, owner_id: str) -> Mapping[str, int]:
        """Return what stands on the word of one fleet; the same object while it did not change."""
        if self._shown is None or self._shown[0] != owner_id:
            rules = sorted(self._rules.items())
            shown = {name: rule.floor for name, rule in rules if rule.owner_id == owner_id}
            self._shown = owner_id, MappingProxyType(shown)
        return self._shown[1]
