"""The placement policies that come with Roadstead: ``spread`` and ``binpack``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.policies import Candidate, Candidates
from roadstead.spi.records import PolicyKind, PolicyPlugin

if TYPE_CHECKING:
    from roadstead.spi.policies import Ints

__all__ = ["BinPack", "Spread", "roadstead_policies"]


class Spread:
    """Fewest siblings first, then the node that is emptiest afterwards.

    One lost node costs a deployment as little as possible.
    """

    def key(self, candidate: Candidate) -> tuple[int, ...]:
        """Return the number of siblings, then the fuller of CPU and memory, in thousandths."""
        return (candidate.siblings, fullness(candidate), -candidate.free_gpu)

    def keys(self, candidates: Candidates) -> tuple[Ints, ...]:
        """Return the same for all nodes at once."""
        return (candidates.siblings, fullnesses(candidates), -candidates.free_gpu)


class BinPack:
    """The fullest node first: empty nodes, and whole devices, stay free for what needs them whole."""

    def key(self, candidate: Candidate) -> tuple[int, ...]:
        """Return what is left free, GPUs before CPU and memory, because they are what runs out."""
        return (candidate.free_gpu, candidate.device_left, -fullness(candidate))

    def keys(self, candidates: Candidates) -> tuple[Ints, ...]:
        """Return the same for all nodes at once."""
        return (candidates.free_gpu, candidates.device_left, -fullnesses(candidates))


def fullness(candidate: Candidate) -> int:
    """Return the fuller of CPU and memory with the replica on the node, in thousandths of what the node has."""
    cpu = 1000 - 1000 * candidate.free_cpu.milli // max(1, candidate.cpu.milli)
    memory = 1000 - 1000 * candidate.free_memory.bytes // max(1, candidate.memory.bytes)
    return max(cpu, memory)


def fullnesses(candidates: Candidates) -> Ints:
    """Return the :func:`fullness` of every node."""
    # Deferred on purpose: numpy is a fifth of a small daemon, which has not so many nodes.
    import numpy as np  # noqa: PLC0415

    cpu = 1000 - 1000 * candidates.free_cpu // np.maximum(1, candidates.cpu)
    memory = 1000 - 1000 * candidates.free_memory // np.maximum(1, candidates.memory)
    return np.maximum(cpu, memory)


@hookimpl
def roadstead_policies() -> Iterable[PolicyPlugin]:
    """Bring both policies."""
    yield PolicyPlugin(
        name="spread",
        decides=PolicyKind.PLACEMENT,
        factory=Spread,
        summary="fewest replicas of the same deployment on a node, then the emptiest node",
    )
    yield PolicyPlugin(
        name="binpack",
        decides=PolicyKind.PLACEMENT,
        factory=BinPack,
        summary="the fullest node that fits, so that empty nodes and whole GPUs stay free",
    )
