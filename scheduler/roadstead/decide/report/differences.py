"""Two templates side by side, field by field, under the names that the fleet file gives the fields."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import attrs

from roadstead.model import Constraint, Secret, Template, Variable
from roadstead.units import Cpus, Duration, GpuShare, Memory

__all__ = ["FieldChange", "differences"]

_AMOUNTS = (Cpus, Memory, Duration, GpuShare)
_ABSENT = "none"


@attrs.frozen(kw_only=True)
class FieldChange:
    """One field, spelt as in the fleet file; ``replaces`` says that a change of it replaces replicas."""

    field: str
    old: str
    new: str
    replaces: bool


def differences(old: Template, new: Template, *, replaces: bool = True) -> tuple[FieldChange, ...]:
    """Return every field that is not the same in both, in the order of the template.

    Between two revisions a difference ``replaces`` replicas; between two versions that are loaded in place it does not.
    """
    before, after = dict(_flat("", old)), dict(_flat("", new))
    names = dict.fromkeys((*before, *after))
    return tuple(
        FieldChange(field=name, old=before.get(name, _ABSENT), new=after.get(name, _ABSENT), replaces=replaces)
        for name in names
        if before.get(name, _ABSENT) != after.get(name, _ABSENT)
    )


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, _AMOUNTS) or not attrs.has(type(value)):
        yield from _leaf(prefix, value)
        return
    for field in attrs.fields(type(value)):
        name = f"{prefix}.{field.name}" if prefix else field.name
        yield from _flat(name, getattr(value, field.name))


def _leaf(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, tuple) and value and isinstance(value[0], Variable):
        for variable in value:
            yield f"{prefix}.{variable.name}", variable.value
    elif isinstance(value, tuple) and value and isinstance(value[0], Secret):
        for secret in value:
            yield f"{prefix}.{secret.name}", f"{secret.ref} (version {secret.version})"
    elif isinstance(value, tuple) and value and isinstance(value[0], Constraint):
        yield prefix, "; ".join(_constraint(one) for one in value)
    elif isinstance(value, tuple):
        yield prefix, " ".join(str(one) for one in value) or _ABSENT
    else:
        yield prefix, _text(value)


def _constraint(constraint: Constraint) -> str:
    return " ".join((constraint.attribute, constraint.operator.value, ",".join(constraint.values))).strip()


def _text(value: Any) -> str:
    if value is None or value == "":
        return _ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)
