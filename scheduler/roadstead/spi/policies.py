"""The policy protocols: decisions that the fleet file chooses by name, pure like all that decides.

A policy ranks or answers; it never acts and never sees a clock. The core checks what comes back: a policy cannot place
on a node that does not fit, grow over a quota, leave the bounds that the fleet file gives it, or scale down on what was
not measured.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from roadstead.autoscaling import AutoscalingSpec, Metric, MetricTarget, Windows
from roadstead.units import Cpus, Memory

__all__ = [
    "AutoscalingSpec",
    "Candidate",
    "Metric",
    "MetricTarget",
    "PlacementPolicy",
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


@attrs.frozen(kw_only=True)
class ScalingQuestion:
    """How much there was of one metric, for a policy that says how many replicas that makes.

    ``stable`` and ``panic`` are averages over the windows of these names, of the whole deployment: what all replicas
    together had to do, in the unit of ``target``. They are ``None`` where nothing could be measured, which is never 0.
    Of latency, which does not add up, it is the 99th percentile times the replicas that gave it, so that dividing by
    the target is right for every metric.

    ``ready`` are the replicas that serve now, ``wanted`` were wanted before. ``elapsed_ms`` is the time since this
    policy was last asked for this deployment and metric, and ``memory`` what it answered then; empty the first time.
    """

    spec: AutoscalingSpec
    target: MetricTarget
    stable: int | None
    panic: int | None
    ready: int
    wanted: int
    elapsed_ms: int
    memory: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class ScalingAnswer:
    """How many replicas a policy wants, and why, in a sentence with the numbers; ``memory`` is for its next question.

    Time in ``memory`` is counted with :attr:`ScalingQuestion.elapsed_ms`, and never an instant: a clock may jump.
    """

    wanted: int = attrs.field(validator=attrs.validators.ge(0))
    because: str
    memory: tuple[int, ...] = ()


class ScalingPolicy(Protocol):
    """Says how many replicas a load makes."""

    def answer(self, question: ScalingQuestion) -> ScalingAnswer:
        """Return how many replicas this load makes: the same answer to the same question, always.

        The core asks once for each of the deployment's metrics, takes the largest answer, keeps it within the bounds,
        does not lower what is wanted while something is not measured, and waits for ``scale_down_after`` before it
        lowers it. It does not ask where neither average is known.
        """
