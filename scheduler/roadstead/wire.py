"""Our values as JSON-ready data and back.

The one place that knows how amounts, enums and unions look on a wire or a disk.

Fields that equal their default are left out, unknown fields are refused. Amounts are written as their exact integers,
because a spelling may change and a number may not.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin

import attrs
from cattrs import AttributeValidationNote, Converter

from roadstead.units import Cpus, Duration, GpuShare, Memory

__all__ = ["converter", "from_wire", "to_wire"]

T = TypeVar("T")
_AMOUNTS: tuple[type[Any], ...] = (Cpus, Memory, Duration, GpuShare)


def _structure_amount(value: object, kind: type[T]) -> T:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not the integer of a {kind.__name__}")
    return kind(value)  # type: ignore[call-arg]  # every amount has one integer field


def _structure_exactly(value: object, kind: type[T]) -> T:
    """Refuse what cattrs would convert: the text "1" is not the number 1 in a file that we wrote."""
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not a {kind.__name__}")
    return value


def _structure_enum(value: object, kind: type[T]) -> T:
    return kind(value)  # type: ignore[call-arg]  # looks the member up by its value


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is Mapping


def _amount(value: Any) -> int:
    (amount,) = attrs.astuple(value)
    return int(amount)


def converter() -> Converter:
    """Return a new converter for our values.

    Plug-ins of the core (memory, journal) add hooks for their own unions to it.
    """
    made = Converter(forbid_extra_keys=True, omit_if_default=True, prefer_attrib_converters=True)
    made.register_structure_hook_factory(_is_mapping, lambda kind: _mapping_structurer(made, kind))
    for kind in _AMOUNTS:
        made.register_unstructure_hook(kind, _amount)
        made.register_structure_hook(kind, _structure_amount)
    for scalar in (str, int, bool):
        made.register_structure_hook(scalar, _structure_exactly)
    made.register_structure_hook(enum.IntEnum, _structure_enum)  # or it would be taken for the integer it also is
    return made


def _mapping_structurer(made: Converter, kind: Any) -> Any:
    key_kind, value_kind = get_args(kind)

    def structure(value: object, _: Any) -> Mapping[Any, Any]:
        if not isinstance(value, dict):
            raise TypeError(f"{type(value).__name__} is not a mapping")
        return MappingProxyType({made.structure(k, key_kind): made.structure(v, value_kind) for k, v in value.items()})

    return structure


_CONVERTER = converter()


def to_wire(value: object) -> Any:
    """Return ``value`` as dicts, lists, strings and integers; the inverse of :func:`from_wire`."""
    return _CONVERTER.unstructure(value)


def from_wire(data: object, kind: type[T]) -> T:
    """Return the ``kind`` that ``data`` describes; raises :class:`ValueError` that names every wrong field."""
    try:
        return _CONVERTER.structure(data, kind)
    except Exception as error:  # cattrs raises groups of whatever each field raised
        raise ValueError(f"not a {kind.__name__}: {_flat(error)}") from error


def _flat(error: BaseException) -> str:
    fields = [note.name for note in getattr(error, "__notes__", ()) if isinstance(note, AttributeValidationNote)]
    if isinstance(error, BaseExceptionGroup):
        text = "; ".join(_flat(inner) for inner in error.exceptions)
    else:
        text = str(error) or type(error).__name__
    return ": ".join([*fields, text])
