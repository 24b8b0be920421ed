"""What a backend plugin offers whose clusters can be pretended: a world of them in virtual time, with faults to order.

A plugin that has this names the factory in :attr:`roadstead.spi.records.BackendPlugin.simulation`. Everything here
follows from the calls, the clock and the seed: the same ones give the same world.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Protocol

from roadstead.model import Quota
from roadstead.spi.backend import Backend, BackendContext
from roadstead.spi.runtime import Runtime
from roadstead.traffic import Endpoint
from roadstead.units import Cpus, Memory
from roadstead.world import ModelState

__all__ = ["ModelFault", "Now", "SimulatedBackend", "Simulation"]

Now = Callable[[], int]
"""What time it is there, in milliseconds since the epoch."""


@enum.unique
class ModelFault(enum.Enum):
    """What a model does to every server that is to serve it; one that ``FLAPS`` is well and unwell by turns."""

    NEVER_LOADS = "never-loads"
    FAILS = "fails"
    CRASHES = "crashes"
    EATS_MEMORY = "eats-memory"
    FLAPS = "flaps"


class SimulatedBackend(Backend, Protocol):
    """A cluster that is pretended, and what can be done to it from outside of the contract.

    Whoever names a node or a replica that is not there gets a ``KeyError``.
    """

    @property
    def asks_runtime(self) -> bool:
        """Whether readiness is the runtime's word; else the cluster reports it by itself."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes that there are, shown to anybody or not."""

    def model_states(self) -> Mapping[str, ModelState]:
        """Return what every running server says of its model; the same object while nothing changed."""

    def running(self, deployment: str) -> tuple[str, ...]:
        """Return the replicas of a deployment whose servers run, the oldest first."""

    def next_due(self) -> int | None:
        """Return when something may happen next by itself, in milliseconds since the epoch; ``None`` for never."""

    def partition(self, *, parted: bool) -> None:
        """Let the cluster answer nobody, or answer again; its servers go on."""

    def crash(self, replica: str, *, out_of_memory: bool = False) -> None:
        """End the server of a replica."""

    def afflict(self, source: str, fault: ModelFault | None) -> None:
        """Let a model (``source``, or ``source/VERSION``) do something to its servers from now on, or end that."""

    def lose_node(self, name: str) -> None:
        """Take a node away for good."""

    def silence_node(self, name: str) -> None:
        """Let a node lose its power."""

    def return_node(self, name: str) -> None:
        """Let a silent node start again."""

    def use_foreign(self, name: str, *, cpu: Cpus, memory: Memory, gpu_memory: Memory = Memory(0)) -> None:
        """Let others than we hold so much of a node, ``gpu_memory`` of each of its devices."""

    def limit(self, quota: Quota | None) -> None:
        """Give us another quota in the cluster itself."""


class Simulation(Protocol):
    """A world of pretended clusters on one network, in one time."""

    @property
    def runtime(self) -> Runtime:
        """The engine that every server there runs."""

    def cluster(self, context: BackendContext, seed: int) -> SimulatedBackend:
        """Return a new, empty cluster; what is left to chance there follows from ``seed`` and its name."""

    def serves(self, endpoint: Endpoint) -> bool:
        """Return whether a server at that address would answer a request with any version of its model."""
