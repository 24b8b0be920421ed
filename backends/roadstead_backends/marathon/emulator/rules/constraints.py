"""What a placement constraint may look like (``SchedulingValidation``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from roadstead_backends.marathon.emulator.documents.java_patterns import NoPattern, java_pattern
from roadstead_backends.marathon.emulator.refusals import Refusal

__all__ = ["OPERATORS", "constraint_fault", "converted"]

OPERATORS: Final = ("UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS")
_LITERAL: Final = re.compile(r"[a-zA-Z0-9_/.-]*")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_UNSUPPORTED: Final = (
    "IS only supports Mesos text and float values"
    " (see http://mesos.apache.org/documentation/latest/attributes-resources/)"
)


def constraint_fault(parts: Sequence[str]) -> str | None:
    """What is wrong with a constraint, in Marathon's words, or None."""
    if not 2 <= len(parts) <= 3:
        return "Each constraint must have either 2 or 3 fields"
    if not parts[0]:
        return "illegal constraint specification"
    operator, value = parts[1].upper(), parts[2] if len(parts) == 3 else None
    if operator not in OPERATORS:
        return "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS"
    return _value_fault(operator, value)


def _value_fault(operator: str, value: str | None) -> str | None:
    match operator:
        case "UNIQUE" if value is not None:
            return "UNIQUE does not accept a value"
        case "GROUP_BY" if value is not None and not _is_integer(value):
            return "GROUP BY must define an integer value or else no value at all"
        case "MAX_PER" if value is None or not _is_integer(value):
            return "MAX_PER requires an integer value"
        case "LIKE" | "UNLIKE":
            return _pattern_fault(value)
        case "IS" if not _LITERAL.fullmatch(value or ""):
            return _UNSUPPORTED
    return None


def _pattern_fault(value: str | None) -> str | None:
    if value is None:
        return "LIKE and UNLIKE require a non-empty, regular expression value"
    try:
        java_pattern(value)
    except NoPattern:
        return "is not a valid regular expression"
    return None


def _is_integer(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and -(2**31) <= int(text) < 2**31


def converted(parts: Sequence[str]) -> None:
    """Refuse, as the conversion after validation does, what only passed because validation ignores case."""
    if parts[1] not in OPERATORS:
        raise Refusal(500, {"message": f"illegal constraint specification {','.join(parts)}"})
