"""Whether an agent meets a constraint, given where instances already are (``mesosphere.mesos.Constraints``)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.documents.java_patterns import java_pattern

__all__ = ["Attribute", "Place", "meets", "meets_all", "value_of"]

Attribute = str | float | tuple[tuple[int, int], ...] | frozenset[str]
"""What Mesos knows as text, scalar, ranges or set."""

_THOUSANDTH: Final = Decimal("0.001")


@attrs.frozen(kw_only=True)
class Place:
    """Where an instance is, or an offer comes from."""

    hostname: str
    region: str | None = None
    zone: str | None = None
    attributes: Mapping[str, Attribute] = attrs.field(factory=dict)


def value_of(place: Place, field: str) -> str | None:
    """The value that constraints on ``field`` compare, as text; None where the agent has none."""
    match field:
        case "hostname" | "@hostname":
            return place.hostname
        case "@region":
            return place.region
        case "@zone":
            return place.zone
    attribute = place.attributes.get(field)
    match attribute:
        case None:
            return None
        case str():
            return attribute
        case frozenset():
            return "{" + ",".join(sorted(attribute)) + "}"
        case tuple():
            return "[" + ",".join(f"{low}-{high}" for low, high in sorted(attribute)) + "]"
    return _scalar(float(attribute))


def _scalar(number: float) -> str:
    """A scalar with at most three digits after the point, ties to even."""
    rounded = Decimal(repr(number)).quantize(_THOUSANDTH, rounding=ROUND_HALF_EVEN).normalize()
    return f"{rounded:f}"


def meets_all(
    place: Place, constraints: Sequence[Sequence[str]], placed: Sequence[Place], instances: int, *, quota: bool
) -> bool:
    """Whether ``place`` meets every constraint of an app with these instances placed."""
    return all(meets(place, each, placed, instances, quota=quota) for each in constraints)


def meets(place: Place, constraint: Sequence[str], placed: Sequence[Place], instances: int, *, quota: bool) -> bool:
    """Whether ``place`` meets one constraint; ``quota`` chooses between the two ways to spread by ``GROUP_BY``."""
    field, operator = constraint[0], constraint[1]
    wanted = constraint[2] if len(constraint) > 2 else ""
    value = value_of(place, field)
    if value is None:
        return operator == "UNLIKE"
    taken = [each for each in (value_of(one, field) for one in placed) if each is not None]
    match operator:
        case "UNIQUE":
            return value not in taken
        case "CLUSTER":
            return value == wanted if wanted else (not taken or value == taken[0])
        case "LIKE":
            return _pattern(wanted).fullmatch(value) is not None
        case "UNLIKE":
            return _pattern(wanted).fullmatch(value) is None
        case "MAX_PER":
            return taken.count(value) < int(wanted)
        case "IS":
            return value == _literal(wanted)
        case "GROUP_BY":
            return _groups(value, taken, instances, wanted, quota=quota)
    raise ValueError(f"no constraint operator {operator!r}")


def _literal(wanted: str) -> str:
    """A number rounded as scalars are; any other text as it is."""
    try:
        return _scalar(float(wanted))
    except ValueError:
        return wanted


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    return java_pattern(text)


def _groups(value: str, taken: Sequence[str], instances: int, wanted: str, *, quota: bool) -> bool:
    counts = Counter(taken)
    if quota:
        return _by_quota(value, counts, instances, int(wanted) if wanted else 0)
    if value not in counts:
        return True
    return len(counts) >= (int(wanted) if wanted else 0) and counts[value] == min(counts.values())


def _by_quota(value: str, counts: Counter[str], instances: int, groups: int) -> bool:
    """Whether the group of that value is below its share: instances over groups, the first few one more."""
    if groups <= 0:
        return False  # the original divides by zero here, and its launch queue stops
    share, rest = divmod(instances, groups)
    if value not in counts and len(counts) >= groups:
        return False
    if counts[value] < share:
        return True
    over = sum(1 for count in counts.values() if count > share)
    return counts[value] == share and over < rest
