"""How many of those that clients are sent to really answer, counted again only where something changed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from roadstead.mappings import changed, with_changes
from roadstead.world import Listed, ModelState

__all__ = ["Answering"]

_NOBODY: Mapping[str, ModelState] = MappingProxyType({})


class Answering:
    """Counts, for each deployment, who of its endpoints has a model to answer with, whatever anybody believes."""

    def __init__(self) -> None:
        self._states: dict[str, Mapping[str, ModelState]] = {}
        self._endpoints: Mapping[str, tuple[Listed, ...]] = MappingProxyType({})
        self._counts: Mapping[str, int] = MappingProxyType({})
        self._listed_of: dict[tuple[str, str], str] = {}

    def counts(
        self, states: Mapping[str, Mapping[str, ModelState]], endpoints: Mapping[str, tuple[Listed, ...]]
    ) -> Mapping[str, int]:
        """Return the count of every deployment that has endpoints; the same object where nothing changed.

        ``states`` is what all servers of each cluster would say, by replica id. It and ``endpoints`` are compared with
        those of the last time by identity.
        """
        names = set(changed(self._endpoints, endpoints))
        for cluster, said in states.items():
            for replica in changed(self._states.get(cluster, _NOBODY), said):
                name = self._listed_of.get((cluster, replica))
                if name is not None:
                    names.add(name)
        self._states, self._endpoints = dict(states), endpoints
        self._counts = with_changes(self._counts, {name: self._count(name) for name in names})
        return self._counts

    def _count(self, name: str) -> int | None:
        entries = self._endpoints.get(name)
        if entries is None:
            return None
        self._listed_of.update({(entry.cluster, entry.replica): name for entry in entries})
        return sum(self._answers(entry) for entry in entries)

    def _answers(self, entry: Listed) -> bool:
        state = self._states.get(entry.cluster, _NOBODY).get(entry.replica)
        return state is not None and bool(state.versions)
