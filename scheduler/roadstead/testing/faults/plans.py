"""Which faults are tried: each alone, every pair that lies close together, and random swarms of them."""

from __future__ import annotations

import random
from collections.abc import Iterator

from roadstead.testing.faults.calls import Call, Fault, Kind, kinds_of
from roadstead.testing.faults.telling import Telling

__all__ = ["WINDOW", "Swarm", "singles", "window"]

WINDOW = 8
"""How many calls after the first fault the second one may be."""

SWARM_CALLS = 150
"""For how many calls a swarm lasts: faults must stop before all can come to rest."""


def singles(reference: Telling) -> Iterator[tuple[Fault, ...]]:
    """Yield every fault of every call of a run without any."""
    for call in reference.calls:
        for kind in kinds_of(call):
            yield (Fault(call.number, kind),)


def window(plan: tuple[Fault, ...], told: Telling) -> tuple[Call, ...]:
    """Return the calls after the last fault of a run at which another one is to be tried."""
    last = plan[-1].number
    return tuple(told.calls[last + 1 : last + 1 + WINDOW])


class Swarm:
    """Random faults that follow from ``seed``: only some kinds of them, more or less often."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # repeatable on purpose
        self._rate = self._random.choice([0.02, 0.05, 0.1, 0.2])
        self._kinds = frozenset(self._random.sample(list(Kind), self._random.randint(3, len(Kind))))

    def __call__(self, call: Call) -> Kind | None:
        """Return what goes wrong with a call, if anything does."""
        if call.number >= SWARM_CALLS or self._random.random() >= self._rate:
            return None
        fitting = [kind for kind in kinds_of(call) if kind in self._kinds]
        return self._random.choice(fitting) if fitting else None
