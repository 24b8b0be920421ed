"""The policy protocols: decisions that the fleet file chooses by name, pure like all that decides.

A policy ranks or answers; it never acts and never sees a clock. The core checks what comes back: a policy cannot place
on a node that does not fit, grow over a quota, leave the bounds that the fleet file gives it, or scale down on what was
not measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

from roadstead.autoscaling import AutoscalingSpec, Metric, MetricTarget, ScalingAnswer, ScalingQuestion, Windows
from roadstead.units import Cpus, Memory

if TYPE_CHECKING:  # numpy, which only many nodes are worth
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

__all__ = [
    "AutoscalingSpec",
    "Candidate",
    "Candidates",
    "Metric",
    "MetricTarget",
    "PlacementPolicy",
    "RanksTogether",
    "ScalingAnswer",
    "ScalingPolicy",
    "ScalingQuestion",
    "Windows",
]


@attrs.frozen(kw_only=True)
class Candidate:
    """One node that fits, with the devices that would be used, as it would look with the replica on it.

    ``siblings`` counts replicas of the same deployment already there. ``free_gpu`` is in thousandths of a device, and
    ``device_left`` is what would be left, in thousandths, on the fullest device used (0 for whole devices and without a
    GPU).
    """

    node: str
    siblings: int
    cpu: Cpus
    memory: Memory
    free_cpu: Cpus
    free_memory: Memory
    gpus: int = 0
    free_gpu: int = 0
    device_left: int = 0


class PlacementPolicy(Protocol):
    """Orders the nodes on which a replica fits."""

    def key(self, candidate: Candidate) -> tuple[int, ...]:
        """Return the sort key of ``candidate``: the smallest one is chosen, equal ones by the node's name.

        Integers only, so that the choice is the same on every machine.
        """


@attrs.frozen(kw_only=True, eq=False)
class Candidates:
    """All nodes of a cluster at once: the fields of :class:`Candidate` as columns, a row for each node.

    Arrays of 64-bit integers, CPU in milli-cores and memory in bytes, not to be changed. Rows of nodes on which the
    replica does not fit are among them, and what they hold means nothing.
    """

    siblings: Ints
    cpu: Ints
    memory: Ints
    free_cpu: Ints
    free_memory: Ints
    gpus: Ints
    free_gpu: Ints
    device_left: Ints


@runtime_checkable
class RanksTogether(Protocol):
    """A placement policy that can order ten thousand nodes fast enough to do so thousands of times a second."""

    def keys(self, candidates: Candidates) -> tuple[Ints, ...]:
        """Return the elements of :meth:`PlacementPolicy.key` as columns: the same numbers, for all nodes."""


class ScalingPolicy(Protocol):
    """Says how many replicas a load makes."""

    def answer(self, question: ScalingQuestion) -> ScalingAnswer:
        """Return how many replicas this load makes: the same answer to the same question, always.

        The core asks once for each of the deployment's metrics, takes the largest answer, keeps it within the bounds,
        does not lower what is wanted while something is not measured, and waits for ``scale_down_after`` before it
        lowers it. It does not ask where neither average is known.
        """
