"""What a key may be and is by default, in words and as JSON: shared by the schema and the reference page."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import singledispatch
from pathlib import Path

from roadstead.config.entries import PortRange
from roadstead.config.shapes import (
    ABSENT,
    Amount,
    ByKind,
    Choice,
    Flag,
    Forms,
    Json,
    Later,
    ListOf,
    Maybe,
    Named,
    Options,
    PluginName,
    Shape,
    Table,
    Text,
    Whole,
)
from roadstead.config.texts import alternatives
from roadstead.units import Cpus, Duration, GpuShare, Memory

__all__ = ["default_value", "described"]


def default_value(default: object) -> object:
    """Return a default as a fleet file writes it, or :data:`ABSENT` where the keys below it say more.

    >>> default_value(Duration(5000)), default_value(()), default_value(None)
    ('5s', [], None)
    """
    match default:
        case None | bool() | int() | str():
            return default
        case Cpus() | Memory() | Duration() | GpuShare() | PortRange():
            return str(default)
        case Path():
            return default.as_posix()
        case enum.Enum():
            return str(default.value)
        case tuple():
            return [default_value(one) for one in default]
        case Mapping() if not default:
            return {}
        case _:
            return ABSENT


@singledispatch
def described(shape: Shape) -> str:
    """Return what ``shape`` may be, in a few words."""
    raise TypeError(f"{shape!r} is no shape")


@described.register
def _text(shape: Text) -> str:
    return f"{shape.noun}: {shape.rule}" if shape.rule else shape.noun


@described.register
def _whole(shape: Whole) -> str:
    if shape.least == shape.most:
        return str(shape.least)
    if shape.most >= 2**31 - 1:
        return f"a whole number of at least {shape.least}" if shape.least > -(2**31) else "a whole number"
    return f"a whole number, {shape.least} to {shape.most}"


@described.register
def _flag(shape: Flag) -> str:
    return "true or false" if shape.only is None else str(shape.only).lower()


@described.register
def _amount(shape: Amount) -> str:
    least = f", at least {shape.least}" if str(shape.least) not in ("0", "0s") else ""
    unit = f"a bare number is {shape.unit}" if shape.unit else ""
    return f"{shape.noun} ({'; '.join(part for part in (shape.examples, unit) if part)}){least}"


@described.register
def _choice(shape: Choice) -> str:
    words = (f"`{value.word}`{f' ({value.doc})' if value.doc else ''}" for value in shape.values if not value.unbuilt)
    return alternatives(words)


@described.register
def _plugin_name(shape: PluginName) -> str:
    return f"a {shape.kind}: {alternatives(f'`{name}`' for name in shape.names)}"


@described.register
def _json(shape: Json) -> str:
    return f"{shape.noun}, as a mapping"


@described.register
def _later(shape: Later) -> str:
    return f"not yet: {shape.reason} ({shape.hint})"


@described.register
def _maybe(shape: Maybe) -> str:
    return f"{described(shape.shape)}; or null"


@described.register
def _list_of(shape: ListOf) -> str:
    return f"a list, each item {described(shape.item)}"


@described.register
def _named(shape: Named) -> str:
    return f"a mapping from {described(shape.names)}"


@described.register
def _by_kind(shape: ByKind) -> str:
    return shape.noun


@described.register
def _forms(shape: Forms) -> str:
    return f"a mapping with {alternatives(f'`{form.marker}`' for form in shape.forms)}"


@described.register
def _options(shape: Options) -> str:
    return f"a mapping; its keys depend on `{shape.by}`"


@described.register
def _table(_shape: Table) -> str:
    return "a mapping"
