"""What a telling comes to beside the one without faults."""

from __future__ import annotations

import attrs

from roadstead.testing.faults.calls import Fault, Kind
from roadstead.testing.faults.telling import Ending, Telling

__all__ = ["Difference", "Verdict", "compared", "verdict"]


_ENDS_NO_SERVER = frozenset({Kind.CLOCK_FORTH, Kind.CLOCK_BACK})
"""What is no reason to start another server process; what holds up a turn may be one where a cluster heals alone."""


@attrs.frozen(kw_only=True)
class Verdict:
    """What one plan showed.

    ``lost`` replicas are wanted and not ready at the end, ``duplicated`` ones are more than are wanted of a deployment,
    ``orphaned`` ones are of a revision or on a cluster where none should be.
    """

    faults: tuple[Fault, ...]
    applied: int
    violations: tuple[str, ...]
    lost: int = 0
    duplicated: int = 0
    orphaned: int = 0
    recovery: int = 0


def verdict(told: Telling, reference: Telling) -> Verdict:
    """Judge what came of a story with faults by what came of it without any."""
    right, ending = reference.ending, told.ending
    assert right is not None, "a story comes to rest without faults"
    violations = list(told.wrong)
    if told.faults and told.applied != told.faults:
        violations.append(f"only {told.applied} were really applied")
    made = Verdict(faults=told.applied, applied=len(told.applied), violations=(), recovery=told.recovery)
    if ending is None:
        return attrs.evolve(made, violations=tuple(violations))
    if all(one.kind in _ENDS_NO_SERVER for one in told.applied) and told.started != reference.started:
        violations.append(f"{told.started} server processes begin, and {reference.started} without faults")
    difference = compared(ending, right)
    if ending != right:
        violations.append(f"it ends otherwise: {difference.words}")
    return attrs.evolve(
        made,
        violations=tuple(violations),
        lost=difference.lost,
        duplicated=difference.duplicated,
        orphaned=difference.orphaned,
    )


@attrs.frozen(kw_only=True)
class Difference:
    """What one ending has that another has not; replicas are counted as in :class:`Verdict`."""

    words: str
    lost: int
    duplicated: int
    orphaned: int


def compared(ending: Ending, right: Ending) -> Difference:
    """Return how ``ending`` differs from how it should be."""
    should, living = right.living(), ending.living()
    wanted, ready = right.ready(), ending.ready()
    over = living - should
    strange = sum(count for key, count in over.items() if not should[key])
    return Difference(
        words=_difference(ending, right),
        lost=(wanted - ready).total(),
        duplicated=over.total() - strange,
        orphaned=strange,
    )


def _difference(ending: Ending, right: Ending) -> str:
    parts = (
        (set(ending.groups) ^ set(right.groups), "groups"),
        (set(ending.routes) ^ set(right.routes), "routes"),
        (ending.held ^ right.held, "held"),
    )
    return "; ".join(f"{name} {sorted(map(str, found))}" for found, name in parts if found)
