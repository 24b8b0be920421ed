"""A plugin's options, an attrs class, as a table of keys."""

from __future__ import annotations

import enum
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from roadstead.config.amounts import CPU, DURATION, GPU_SHARE, MEMORY
from roadstead.config.shapes import (
    ABSENT,
    Choice,
    Flag,
    Key,
    ListOf,
    Maybe,
    Named,
    Shape,
    Table,
    Text,
    Value,
    Whole,
    field_default,
)
from roadstead.config.texts import FILE_PATH
from roadstead.units import Cpus, Duration, GpuShare, Memory

__all__ = ["anchored", "options_table"]

_SIMPLE: Final[Mapping[object, Shape]] = {
    str: Text(controls=True),
    int: Whole(least=-(2**63), most=2**63 - 1),
    bool: Flag(),
    Cpus: CPU,
    Memory: MEMORY,
    Duration: DURATION,
    GpuShare: GPU_SHARE,
    Path: attrs.evolve(FILE_PATH, parse=lambda text: Path(str(FILE_PATH.parse(text)))),
}


def options_table(options: type[Any], plugin: str) -> Table:
    """Return the table of keys that makes an ``options``.

    A field may be a ``str``, ``int``, ``bool``, an amount, a ``Path``, an enum of texts, another attrs class, a tuple
    of these, a ``Mapping`` from ``str`` to them, or any of that ``| None``. Raises :class:`TypeError` for anything
    else: an error of the plugin.
    """
    hints = typing.get_type_hints(options)
    keys = tuple(
        _key(field, _shape(hints[field.name], f"{options.__name__}.{field.name}", plugin))
        for field in attrs.fields(options)
        if field.init
    )
    return Table(noun=f"the options of {plugin}", keys=keys, builds=options, foreign=plugin)


def _key(field: attrs.Attribute[Any], shape: Shape) -> Key:
    default = field_default(field)
    doc = str(field.metadata.get("doc", ""))
    return Key(name=str(field.alias), shape=shape, doc=doc, default=default, required=default is ABSENT)


def _shape(kind: Any, what: str, plugin: str) -> Shape:
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return Choice(tuple(Value(word=str(one.value), value=one, doc="") for one in kind))
    if isinstance(kind, type) and attrs.has(kind):
        return options_table(kind, plugin)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2 and type(None) in arguments:
        return Maybe(_shape(next(one for one in arguments if one is not type(None)), what, plugin))
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return ListOf(item=_shape(arguments[0], what, plugin), noun="items")
    if origin is not None and issubclass(origin, Mapping) and arguments[0] is str:
        return Named(item=_shape(arguments[1], what, plugin), names=Text(noun="a name"), label="NAME")
    raise TypeError(f"{what} is a {kind!r}, which a fleet file cannot say")


def anchored(options: Any, base: Path) -> Any:
    """Return ``options`` with every relative path, defaults included, made absolute from ``base``."""
    if isinstance(options, Path):
        return Path(os.path.normpath(base / options))
    if isinstance(options, tuple):
        return tuple(anchored(one, base) for one in options)
    if attrs.has(type(options)):
        changed = {
            field.alias: there
            for field in attrs.fields(type(options))
            if field.init and (there := anchored(here := getattr(options, field.name), base)) != here
        }
        return attrs.evolve(options, **changed) if changed else options
    return options
