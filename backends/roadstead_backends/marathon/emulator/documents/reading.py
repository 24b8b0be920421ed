"""Readers of JSON values that fail as play-json fails: every error at once, by path, in its words and in its order.

A reader takes a JSON value and returns what it reads, or :class:`Unreadable`. Objects come in two manners, because
Marathon's code generator makes two (``type-generator``, ``ObjectVisitor``): where a type has lists, limits or fields
left out when empty, each field is looked up in turn, and a missing one echoes the object; all others are read by
play-json's macro, where a missing field is ``error.path.missing``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import isnan
from typing import Any, Final

import attrs

from roadstead_backends.marathon.emulator.documents.json_text import echoed
from roadstead_backends.marathon.emulator.documents.scala_order import by_json_path, members, walked

__all__ = [
    "Field",
    "ObjectOf",
    "Reader",
    "Unreadable",
    "array",
    "boolean",
    "details",
    "double",
    "enumeration",
    "integer",
    "mapping",
    "merged",
    "moment",
    "string",
    "union",
]

Path = tuple[str | int, ...]
Reader = Callable[[Any], Any]
_INT: Final = 2**31
_LONG: Final = 2**63
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:(?<=:[0-9]{2}:[0-9]{2})\.[0-9]{0,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
)


@attrs.frozen
class Unreadable:
    """Why a value could not be read: messages by path, in the order of the answer."""

    errors: tuple[tuple[Path, tuple[str, ...]], ...]

    def below(self, *path: str | int) -> Unreadable:
        """The same errors, as seen from the value that holds this one."""
        return Unreadable(tuple((path + inner, messages) for inner, messages in self.errors))


def failure(message: str) -> Unreadable:
    """One error of the value itself."""
    return Unreadable((((), (message,)),))


def merged(failures: Sequence[Unreadable]) -> Unreadable:
    """All errors of several fields; from two fields on in the order of the map that they are grouped in."""
    if len(failures) == 1:
        return failures[0]
    grouped: dict[Path, tuple[str, ...]] = {}
    for one in failures:
        for path, messages in one.errors:
            grouped[path] = grouped.get(path, ()) + messages
    return Unreadable(tuple((path, grouped[path]) for path in walked(grouped, by_json_path)))


def details(unreadable: Unreadable) -> list[dict[str, Any]]:
    """The errors as Marathon's answer lists them."""
    return [{"path": _written(path), "errors": list(messages)} for path, messages in unreadable.errors]


def _written(path: Path) -> str:
    return "".join(f"({part})" if isinstance(part, int) else f"/{part}" for part in path)


@attrs.frozen(kw_only=True)
class Field:
    """A field of an object: whether it must be there, what it is when it is not, and whether empty means absent.

    One that is ``lenient`` has its default also where what is there cannot be read.
    """

    name: str
    read: Reader
    required: bool = False
    default: Any = attrs.field(default=None)
    omit_empty: bool = False
    lenient: bool = False


@attrs.frozen(kw_only=True)
class ObjectOf:
    """A reader of objects with these fields, in this order; unknown fields are ignored, null is absent."""

    fields: tuple[Field, ...]
    macro: bool = False

    def __call__(self, value: Any) -> Any:
        """Return the fields that are there or have a default, or every error."""
        if self.macro and not isinstance(value, dict):
            return failure("error.expected.jsobject")
        found: dict[str, Any] = {}
        failures: list[Unreadable] = []
        for field in self.fields:
            read = self._field(field, value)
            if isinstance(read, Unreadable):
                failures.append(read.below(field.name))
            elif read is not None:
                found[field.name] = read
        return merged(failures) if failures else found

    def _field(self, field: Field, value: Any) -> Any:
        present = isinstance(value, dict) and field.name in value
        given = value[field.name] if present else None
        if given is None and not field.required:
            return _fresh(field.default)
        if not present and field.required:
            if self.macro:
                return failure("error.path.missing")
            shown = echoed(value)
            missing = isinstance(value, dict)
            return failure(
                f"'{field.name}' is undefined on object: {shown}" if missing else f"{shown} is not an object"
            )
        read = field.read(given)
        return _fresh(field.default) if field.lenient and isinstance(read, Unreadable) else read

    def written(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The object in the order of its fields, without what is absent and what is left out when empty."""
        known = {field.name: field for field in self.fields}
        rest = {name: item for name, item in value.items() if name not in known}
        ordered = {
            field.name: _written_value(field.read, value[field.name])
            for field in self.fields
            if field.name in value
            and value[field.name] is not None
            and not (field.omit_empty and value[field.name] in ([], {}))
        }
        return {**ordered, **rest}

    def optional(self) -> ObjectOf:
        """The type of an update: every field may be missing, and has no default."""
        return ObjectOf(
            fields=tuple(attrs.evolve(field, required=False, default=None) for field in self.fields), macro=self.macro
        )


def _fresh(default: Any) -> Any:
    """A default of its own, so that whoever changes it changes no other."""
    if isinstance(default, dict):
        return {key: _fresh(item) for key, item in default.items()}
    return list(default) if isinstance(default, list) else default


def _written_value(read: Reader, value: Any) -> Any:
    if isinstance(read, ObjectOf) and isinstance(value, dict):
        return read.written(value)
    item = getattr(read, "item", None)
    if item is not None and isinstance(value, list):
        return [_written_value(item, each) for each in value]
    choices: Sequence[Reader] = getattr(read, "choices", ())
    if choices and isinstance(value, dict):
        for choice in choices:
            if (
                isinstance(choice, ObjectOf)
                and {field.name for field in choice.fields if field.required} <= value.keys()
            ):
                return choice.written(value)
    return value


def string(
    *, minimum: int = 0, maximum: int | None = None, matches: Callable[[str], bool] | str | None = None
) -> Reader:
    """Text with limits; ``matches`` is a pattern for all of it, or a test."""
    test = re.compile(matches).fullmatch if isinstance(matches, str) else matches

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return failure("error.expected.jsstring")
        messages = []
        if maximum is not None and len(value) > maximum:
            messages.append("error.maxLength")
        if len(value) < minimum:
            messages.append("error.minLength")
        if test is not None and not test(value):
            messages.append("error.pattern")
        return Unreadable((((), tuple(messages)),)) if messages else value

    return read


def integer(*, minimum: int | None = None, maximum: int | None = None, long: bool = False) -> Reader:
    """A whole number, written with or without a fraction of zero."""
    bound = _LONG if long else _INT

    def read(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
            return failure("error.expected.jsnumber")
        whole = not isnan(value) and -bound <= value < bound and int(value) == value
        if not whole:
            return failure("error.expected.long" if long else "error.expected.int")
        return _limited(int(value), minimum, maximum)

    return read


def double(*, minimum: float | None = None, maximum: float | None = None) -> Reader:
    """A number; beyond what a double holds it is infinite, as in Java."""

    def read(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
            return failure("error.expected.jsnumber")
        return _limited(float(Decimal(value)), minimum, maximum)

    return read


def _limited(value: float, minimum: float | None, maximum: float | None) -> Any:
    if minimum is not None and value < minimum:
        return failure("error.min")
    if maximum is not None and value > maximum:
        return failure("error.max")
    return value


def boolean(value: Any) -> Any:
    """True or false."""
    return value if isinstance(value, bool) else failure("error.expected.jsboolean")


def enumeration(*values: str) -> Reader:
    """One of these words, in any case."""
    known = {value.lower(): value for value in values}

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return failure("error.expected.jsstring")
        return known.get(value.lower()) or failure("error.unknown.enum.literal")

    return read


def moment(value: Any) -> Any:
    """A point in time in ISO 8601, with its offset from UTC, kept as it was written."""
    if isinstance(value, str):
        found = _MOMENT.fullmatch(value)
        try:
            date = datetime.fromisoformat(f"{found[1]}T{found[2]}") if found is not None else None
        except ValueError:
            date = None
        return value if date is not None else failure("error.expected.date.isoformat")
    return failure("error.expected.date")


@attrs.frozen(kw_only=True)
class ArrayOf:
    """A reader of lists."""

    item: Reader
    unique: bool = False
    minimum: int = 0

    def __call__(self, value: Any) -> Any:
        """Return the items read, without repetitions where they are to be unique, or every error."""
        if not isinstance(value, list):
            return failure("error.expected.jsarray")
        items: list[Any] = []
        errors: list[tuple[Path, tuple[str, ...]]] = []
        for index, each in enumerate(value):
            read = self.item(each)
            if isinstance(read, Unreadable):
                errors.extend(read.below(index).errors)
            elif not self.unique or read not in items:
                items.append(read)
        if errors:
            return Unreadable(tuple(errors))
        if len(items) < self.minimum:
            return failure("error.minLength")
        return members(items) if self.unique else items


def array(item: Reader, *, unique: bool = False, minimum: int = 0) -> ArrayOf:
    """A list of what ``item`` reads."""
    return ArrayOf(item=item, unique=unique, minimum=minimum)


@attrs.frozen
class MapOf:
    """A reader of objects with any keys, or with such that match a pattern."""

    value: Reader
    keys: re.Pattern[str] | None = None

    def __call__(self, value: Any) -> Any:
        """Return what each key holds, or every error."""
        if not isinstance(value, dict):
            return failure("error.expected.jsobject")
        read = {key: self.value(item) for key, item in value.items()}
        errors = [
            error for key, item in read.items() if isinstance(item, Unreadable) for error in item.below(key).errors
        ]
        if not errors and self.keys is not None:
            errors = [((key,), ("error.pattern",)) for key in read if not self.keys.fullmatch(key)]
        return Unreadable(tuple(errors)) if errors else read


def mapping(value: Reader, *, keys: str | None = None) -> MapOf:
    """An object whose values ``value`` reads, and whose keys match ``keys`` if that is stated."""
    return MapOf(value, None if keys is None else re.compile(keys))


@attrs.frozen
class UnionOf:
    """A reader that tries one type after the other."""

    choices: tuple[Reader, ...]

    def __call__(self, value: Any) -> Any:
        """Return what the first fitting type reads; where none fits, the errors of the last one."""
        read: Any = None
        for choice in self.choices:
            read = choice(value)
            if not isinstance(read, Unreadable):
                return read
        return read


def union(*choices: Reader) -> UnionOf:
    """What the first of these reads."""
    return UnionOf(choices)
