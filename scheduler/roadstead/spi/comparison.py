"""What a backend brings so that we can be compared with what its orchestrator does by itself, on the same work."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import attrs

from roadstead.model import Template
from roadstead.spi.runtime import Launch

__all__ = ["Loses", "Rival", "Standing", "Work"]


@attrs.frozen(kw_only=True)
class Work:
    """What everybody in a comparison is asked for: ``replicas`` servers of ``template``, under a name of their own.

    ``launch`` is the runtime's rendering of ``template``. ``max_surge`` and ``max_unavailable`` bound a rollout.
    """

    name: str
    replicas: int
    template: Template
    launch: Launch
    max_surge: int = 1
    max_unavailable: int = 0


@attrs.frozen(kw_only=True)
class Standing:
    """How far somebody has come, as the orchestrator tells.

    ``current`` names the server processes that are ready and were started from the newest work, each process by a name
    that no other ever has. ``ready`` counts those of earlier work as well. ``others`` are the replicas of earlier work
    that are still there, ready or not, stopping ones included.
    """

    current: frozenset[str] = frozenset()
    ready: int = 0
    others: int = 0


class Rival(Protocol):
    """A served model as an orchestrator's own means keep it, without us.

    A backend's plugin record names what makes one from a :class:`roadstead.spi.backend.BackendContext`. Calls come from
    one thread, are requests and not waits, and raise :class:`roadstead.errors.RoadsteadError`.
    """

    def ask(self, work: Work) -> None:
        """Have that work done: begun if there was none, else rolled from what was asked for before."""

    def standing(self) -> Standing:
        """Return how far it has come."""

    def lose(self) -> str:
        """End one ready server without notice, as a failing machine would; return its name in the standing."""

    def end(self) -> bool:
        """Take everything down; return whether nothing is left. To be repeated until it is so."""

    def close(self) -> None:
        """Release what this object holds."""


@runtime_checkable
class Loses(Protocol):
    """A cluster on which one server can be ended as a failing machine would: for comparisons and for rehearsals."""

    def lose(self, replica: str) -> None:
        """End the replica's server at once and without notice, and let whoever heals there find out.

        No such replica, or no server: :class:`roadstead.errors.Conflict`.
        """
