"""A plugin's options as they are said on a command line: ``KEY=VALUE``, a list with commas between its items."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from roadstead.cli.errors import NotUnderstood
from roadstead.spi.records import BackendPlugin
from roadstead.units import Cpus, Duration, GpuShare, Memory

__all__ = ["options_said"]

_AMOUNTS = (Cpus, Memory, Duration, GpuShare)
_FLAGS = {"true": True, "false": False}


def options_said(plugin: BackendPlugin, said: Iterable[str]) -> Any:
    """Return a backend's options; raises :class:`NotUnderstood` for what is none, or lacks one that must be said."""
    kinds = typing.get_type_hints(plugin.options)
    known = {field.alias: kinds[field.name] for field in attrs.fields(plugin.options)}
    given: dict[str, Any] = {}
    for one in said:
        key, is_pair, text = one.partition("=")
        if not is_pair or key not in known:
            raise NotUnderstood(f"{one!r} is no option of {plugin.name}", hint=f"known: {', '.join(sorted(known))}")
        try:
            given[key] = _value(known[key], text)
        except ValueError as error:
            raise NotUnderstood(f"{one!r} cannot be taken for {key}: {error}") from error
    for field in attrs.fields(plugin.options):
        if field.default is attrs.NOTHING and field.alias not in given:
            raise NotUnderstood(f"{plugin.name} needs {field.alias}", hint=f"add --set {field.alias}=...")
    try:
        return plugin.options(**given)
    except ValueError as error:
        raise NotUnderstood(f"the options of {plugin.name} do not go together: {error}") from error


def _value(kind: Any, text: str) -> Any:
    """Return a text as a value of a field of that type; what is neither of these is the text itself."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _value(next(one for one in arguments if one is not type(None)), text)
    if origin is tuple:
        return tuple(_value(arguments[0], item) for item in text.split(","))
    if kind is bool:
        if text not in _FLAGS:
            raise ValueError("it must be true or false")
        return _FLAGS[text]
    if kind is Path:
        return Path(text).absolute()
    if kind in _AMOUNTS:
        return kind.parse(text)
    return kind(text) if kind is int or (isinstance(kind, type) and issubclass(kind, enum.Enum)) else text
