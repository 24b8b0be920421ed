"""What stands against one more replica on each node of a cluster, looked at once for all who ask for the same.

A survey is kept with the ledger and looks again only at nodes where something was given away since: where thousands of
deployments wait for the same, why they wait is found out once.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

import attrs

from roadstead.decide.capacity import Kind, kind_of
from roadstead.decide.ledger import Freed, Ledger
from roadstead.decide.rooms import Demand, Obstacle, ObstacleKind, node_room, obstacles
from roadstead.reasons import Change
from roadstead.units import Cpus, Memory
from roadstead.world import Node, Snapshot

__all__ = ["NO_MATCH", "Entry", "Ranked", "Sight", "Survey", "amount", "survey"]

NO_MATCH = frozenset({ObstacleKind.UNSCHEDULABLE, ObstacleKind.CONSTRAINT, ObstacleKind.GPU_KIND})
"""What stands against a replica on a node however empty that is."""

_DIVISIBLE = {ObstacleKind.CPU: "cpu", ObstacleKind.MEMORY: "memory", ObstacleKind.DISK: "disk"}
_MIB = 2**20


def survey(snapshot: Snapshot, ledger: Ledger, demand: Demand) -> Survey:
    """Return the survey for whoever asks for what ``demand`` does, as of now."""
    return ledger.follower(demand.cluster, _Surveys, _Surveys).of(snapshot, ledger, demand)


class _Surveys:
    """The surveys of one cluster; follows the ledger by writing down where something changed."""

    def __init__(self) -> None:
        self._known: dict[Kind, Survey] = {}
        self._changed: list[str] = []

    def follow(self, node: str) -> None:
        self._changed.append(node)

    def of(self, snapshot: Snapshot, ledger: Ledger, demand: Demand) -> Survey:
        kind = kind_of(ledger, demand)
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = Survey(snapshot, ledger, demand, len(self._changed))
        found.catch_up(self._changed)
        return found


class Ranked(Protocol):
    """What would have to change on a node; the least ``size`` is the cheapest."""

    @property
    def size(self) -> tuple[int, ...]:
        """What it is compared by."""


Entry = tuple[tuple[int, ...], str, Ranked]
"""A size, the name of the node, and what would have to change there."""


@attrs.frozen(kw_only=True)
class Sight:
    """How much stands against it: on how many nodes each thing, and of all nodes how many do not match, or are full.

    ``room`` is for how many replicas the nodes have room, caps of a spread aside.
    """

    labels: Mapping[str, int]
    unmatched: int
    blocked: int
    room: int


class Survey:
    """What stands against one more replica on each node, and how much room each has.

    ``changes`` keeps what was found out to be enough, by how many replicas are asked for.
    """

    def __init__(self, snapshot: Snapshot, ledger: Ledger, demand: Demand, seen: int) -> None:
        self.snapshot = snapshot
        self.changes: dict[int, Change | None] = {}
        self._ledger = ledger
        self._demand = demand
        self._seen = seen
        self.stands: dict[str, tuple[Obstacle, ...]] = {}
        self.rooms: dict[str, int] = {}
        self._labels: Counter[str] = Counter()
        self._unmatched = self._blocked = self._room = 0
        self._ranked: dict[int, list[Entry]] = {}
        for node in snapshot.nodes:
            self._look_at(node)

    def stand(self, node: Node, freed: Freed | None) -> tuple[Obstacle, ...]:
        """Return what stands against one more replica on a node; with ``freed``, if that were gone."""
        if freed is None and node.name in self.stands:
            return self.stands[node.name]
        return obstacles(node, self._ledger, self._demand, freed)

    def room_on(self, node: Node, freed: Freed | None) -> int:
        """Return how many more a node has room for."""
        if freed is None and node.name in self.rooms:
            return self.rooms[node.name]
        return 0 if self.stand(node, freed) else node_room(node, self._ledger, self._demand, freed)

    def sight(self, freed: Freed | None) -> Sight:
        """Return what all nodes come to; with ``freed``, if that were gone."""
        node = self._node_of(freed)
        labels, unmatched, blocked, room = self._labels, self._unmatched, self._blocked, self._room
        if node is not None:
            now, then = self.stands[node.name], self.stand(node, freed)
            labels = labels.copy()
            labels.subtract(_labels(now))
            labels.update(_labels(then))
            unmatched += _is_unmatched(then) - _is_unmatched(now)
            blocked += bool(then) - bool(now)
            room += self.room_on(node, freed) - self.rooms[node.name]
        return Sight(labels=labels, unmatched=unmatched, blocked=blocked, room=room)

    def _node_of(self, freed: Freed | None) -> Node | None:
        here = freed is not None and freed.cluster == self._demand.cluster
        return self.snapshot.by_node.get(freed.node) if here and freed is not None else None

    def catch_up(self, changed: list[str]) -> None:
        """Look again at the nodes of ``changed`` that were not looked at since they did."""
        names = {name for name in changed[self._seen :] if name in self.stands}
        self._seen = len(changed)
        if not names:
            return
        self.changes.clear()
        self._ranked.clear()
        for name in names:
            self._count(self.stands.pop(name), self.rooms.pop(name), -1)
            self._look_at(self.snapshot.by_node[name])

    def _look_at(self, node: Node) -> None:
        self.stands[node.name] = self.stand(node, None)
        self.rooms[node.name] = self.room_on(node, None)
        self._count(self.stands[node.name], self.rooms[node.name], 1)

    def _count(self, stand: tuple[Obstacle, ...], room: int, sign: int) -> None:
        for label in _labels(stand):
            self._labels[label] += sign
        self._unmatched += sign * _is_unmatched(stand)
        self._blocked += sign * bool(stand)
        self._room += sign * room

    # ---- the cheapest of all nodes ----

    def first(
        self, lacking: int, missing: Callable[[Node, int], Ranked | None], but: Collection[str]
    ) -> Iterator[Entry]:
        """Yield the least of what is ``missing`` on any node but those named, if there is one.

        ``missing`` is asked about a node and how many it would have to take: so many as are ``lacking`` besides those
        that it has room for. Its answers must depend on nothing else, and are kept.
        """
        ranked = self._ranked.get(lacking)
        if ranked is None:
            ranked = self._ranked[lacking] = []
            for node in self.snapshot.nodes:
                wanted = lacking + self.rooms[node.name]
                if wanted > 0 and not _is_unmatched(self.stands[node.name]):
                    found = missing(node, wanted)
                    if found is not None:
                        insort(ranked, (found.size, node.name, found), key=lambda entry: entry[:2])
        yield from [entry for entry in ranked[: len(but) + 1] if entry[1] not in but][:1]


def _is_unmatched(stand: tuple[Obstacle, ...]) -> bool:
    return any(one.kind in NO_MATCH for one in stand)


def _labels(stand: tuple[Obstacle, ...]) -> set[str]:
    return {_label(one) for one in stand}


def _label(obstacle: Obstacle) -> str:
    if obstacle.kind in _DIVISIBLE:
        key = _DIVISIBLE[obstacle.kind]
        free, asked = amount(key, _rounded_down(key, obstacle.free)), amount(key, obstacle.asked)
        return f"{obstacle.kind.value} ({free} free, {asked} asked)"
    if obstacle.kind in {ObstacleKind.GPU, ObstacleKind.GPU_KIND}:
        return f"{obstacle.kind.value} ({obstacle.subject} asked)"
    return f"{obstacle.kind.value} {obstacle.subject}".rstrip()


def amount(key: str, value: int) -> str:
    """Return so much CPU, memory or disk, as it is written in the fleet file."""
    return str(Cpus(value)) if key == "cpu" else str(Memory(value))


def _rounded_down(key: str, value: int) -> int:
    return value if key == "cpu" or value <= _MIB else value - value % _MIB
