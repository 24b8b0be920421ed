"""What a stage is furnished with: clusters, gateways, and a time that stands still until it is told to pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs

from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.spi.runtime import Runtime
from roadstead.testing.faults.wires import Drivable
from roadstead.testing.proxy import Proxy
from roadstead.world import ModelState, Node, Snapshot

__all__ = ["Props", "Stageable", "Time"]


class Stageable(Drivable, Protocol):
    """A simulated cluster: what it does shows, and nodes can be taken from it."""

    def truth(self) -> Snapshot:
        """Return what is really there."""

    def model_states(self) -> Mapping[str, ModelState]:
        """Return what every server would say."""

    def reconnect(self) -> None:
        """Be as for a new process."""

    def lose_node(self, name: str) -> None:
        """Take a node away with all that runs there."""

    def set_node(self, node: Node) -> None:
        """Add a node."""


class Time(Protocol):
    """A clock that only moves when told."""

    def now(self) -> int:
        """Return the milliseconds since the epoch."""

    def advance(self, ms: int) -> None:
        """Move on."""


@attrs.frozen(kw_only=True)
class Props:
    """What a stage is furnished with; all of it new for each run.

    ``began`` says when servers began to run and to serve, as far as clusters still order them by that. ``period_ms`` is
    how often clusters probe servers by themselves, 0 where they do not.
    """

    time: Time
    clusters: Mapping[str, Stageable]
    proxies: Mapping[str, Proxy]
    runtimes: Mapping[str, Runtime]
    policies: Mapping[str, PlacementPolicy]
    scalers: Mapping[str, ScalingPolicy]
    began: Callable[[], Iterable[int]] = tuple
    period_ms: int = 0
