"""What a live cluster must offer for stories to be told on it: once for each backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import attrs

from roadstead.model import ClusterSpec, PlacementSpec, Resources
from roadstead.spi.runtime import Launch
from roadstead.testing.faults.telling import Remains
from roadstead.testing.http_faults import FaultProxy
from roadstead.testing.live_faults.calls import Dialect
from roadstead.units import Duration
from roadstead.world import Endpoint

__all__ = ["Elects", "LiveCluster", "Standing", "Tally", "Terms"]


@attrs.frozen(kw_only=True)
class Terms:
    """On what terms servers run there: ``sources`` are two models, or what counts as such."""

    sources: tuple[str, str]
    launch: Launch
    placement: PlacementSpec
    resources: Resources
    node_lost_after: Duration = Duration(30_000)


@attrs.frozen(kw_only=True)
class Standing:
    """What really is there, by the cluster's own word and nobody's interpretation of ours.

    ``groups`` are ours. ``beside`` is what else of ours stands, each thing with what matters about it, such as
    ``budget of 1``. ``strangers`` are the objects of others, each with all that nobody but them may change.
    ``ending`` counts replicas that are on their way out.
    """

    groups: tuple[Remains, ...]
    beside: frozenset[str] = frozenset()
    strangers: frozenset[str] = frozenset()
    ending: int = 0


class Tally:
    """How many replicas there were at once, from :meth:`begin` on; whoever sees the cluster change calls :meth:`see`.

    ``ready`` are those that serve and were not told to stop, ``alive`` all that were not told and were asked for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready = 0
        self._alive = 0
        self._fewest = 0
        self._most = 0
        self.started: set[str] = set()

    def see(self, *, ready: Iterable[str], alive: Iterable[str], unasked: int = 0) -> None:
        """Take in who is ready and who is there at all now, each by a name that no other replica ever has.

        ``unasked`` of those who are there are more than anybody asked the cluster for: it made them by itself.
        """
        names = frozenset(alive)
        with self._lock:
            self._ready, self._alive = len(frozenset(ready)), len(names) - unasked
            self._fewest = min(self._fewest, self._ready)
            self._most = max(self._most, self._alive)
            self.started |= names

    def begin(self) -> None:
        """Count from now on."""
        with self._lock:
            self._fewest, self._most = self._ready, self._alive

    @property
    def range(self) -> tuple[int, int]:
        """The fewest that were ready at once, and the most that were there."""
        with self._lock:
            return self._fewest, self._most


class LiveCluster(Protocol):
    """One cluster, with nothing of ours on it when a story begins, and what can happen to it."""

    @property
    def spec(self) -> ClusterSpec:
        """The cluster in the fleet file, which is reached through the proxy."""

    @property
    def proxy(self) -> FaultProxy:
        """What stands before its API."""

    @property
    def dialect(self) -> Dialect:
        """How its API is spoken to."""

    @property
    def terms(self) -> Terms:
        """On what terms servers run there."""

    @property
    def tally(self) -> Tally:
        """Sees every change there, not through the proxy."""

    def serves(self, endpoint: Endpoint, timeout: Duration) -> bool:
        """Return whether the server at an address answers."""

    def standing(self) -> Standing:
        """Return what is there now, asked not through the proxy."""

    def meddle(self) -> None:
        """Change, as somebody else, what is stored of the one group, and end one of its replicas."""

    def resize(self, count: int) -> None:
        """Change, as somebody else, how many replicas the one group has."""

    def empty_a_node(self) -> Callable[[], None]:
        """Have an administrator drain a node that replicas are on, and return how to take it back into use."""


@runtime_checkable
class Elects(Protocol):
    """A cluster whose API is answered by one of several servers, which they elect."""

    def depose(self) -> Callable[[], None]:
        """Have the one that leads be lost, and return how to bring it back."""
