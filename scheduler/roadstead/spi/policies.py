"""The policy protocols: decisions that the fleet file chooses by name, pure like all that decides.

A policy ranks or answers; it never acts and never sees a clock. The core checks what comes back: a policy cannot place
on a node that does not fit, nor grow over a quota.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from roadstead.units import Cpus, Memory

__all__ = ["Candidate", "PlacementPolicy"]


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
