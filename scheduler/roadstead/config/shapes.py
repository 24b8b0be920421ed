"""The vocabulary in which the keys of a fleet file are described.

A description (:mod:`roadstead.config.keys`) is a tree of the frozen values below. Three interpreters walk it: the
reader (:mod:`roadstead.config.reader`), the JSON Schema (:mod:`roadstead.config.schema`) and the reference page
(:mod:`roadstead.config.page`). What a key is called, what it may be and what it is by default is therefore said once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

import attrs

from roadstead.config.problems import ProblemCode

__all__ = [
    "ABSENT",
    "Amount",
    "ByKind",
    "Choice",
    "Flag",
    "Form",
    "Forms",
    "Json",
    "Key",
    "Later",
    "ListOf",
    "Maybe",
    "Named",
    "Options",
    "PluginName",
    "Refused",
    "Shape",
    "Table",
    "Text",
    "Value",
    "Whole",
    "field_default",
    "table",
]


class Refused(ValueError):
    """A text that is not what its key wants; raised by the ``parse`` of a :class:`Text` and by the plugin lookup."""

    def __init__(self, what: str, hint: str, code: ProblemCode | None = None) -> None:
        super().__init__(what)
        self.hint = hint
        self.code = code


# ---- single values ----


@attrs.frozen(kw_only=True)
class Text:
    """Text of at most ``most`` characters.

    It matches ``pattern`` as a whole, in words: ``rule``; ``code`` is what a mismatch counts as. ``parse`` makes the
    value of it and may raise :class:`Refused`. Only where ``controls``, line breaks and tabs are fine; NUL is nowhere.
    """

    noun: str = "text"
    pattern: str | None = None
    rule: str = ""
    code: ProblemCode = ProblemCode.FORM
    most: int = 4096
    controls: bool = False
    parse: Callable[[str], object] = str


@attrs.frozen(kw_only=True)
class Whole:
    """An integer from ``least`` to ``most``."""

    noun: str = "a whole number"
    least: int = 0
    most: int = 2**31 - 1


@attrs.frozen(kw_only=True)
class Flag:
    """``true`` or ``false``; where ``only`` is set, that one."""

    only: bool | None = None


@attrs.frozen(kw_only=True)
class Amount:
    """A number with a unit, from ``least`` to ``most``; ``unit`` is that of a bare number.

    ``parse`` reads its text (a bare whole number comes as an ``int``) and raises :class:`roadstead.units.UnitError`;
    ``pattern`` is the same for editors.
    """

    noun: str
    examples: str
    unit: str = ""
    pattern: str
    parse: Callable[[str | int], Any]
    least: Any
    most: Any = None
    low_hint: str = ""


@attrs.frozen(kw_only=True)
class Value:
    """One of the words of a :class:`Choice`; with ``unbuilt``, one that this version refuses, and why."""

    word: str
    value: object
    doc: str
    unbuilt: str = ""


@attrs.frozen
class Choice:
    """One of a few words."""

    values: tuple[Value, ...]


@attrs.frozen(kw_only=True)
class PluginName:
    """The name of an installed plugin.

    ``find`` raises :class:`roadstead.errors.RoadsteadError` with what is installed and what is broken.
    """

    kind: str
    names: tuple[str, ...]
    find: Callable[[str], object]


@attrs.frozen(kw_only=True)
class Json:
    """A mapping of whatever the other side understands, kept as canonical JSON text of at most ``most`` characters."""

    noun: str
    most: int = 65536


@attrs.frozen
class Later:
    """Something that this version does not do: only ``null``, ``{}`` or ``[]`` is accepted.

    ``reason`` is said of anything else, with the ``hint`` what to do instead.
    """

    reason: str
    hint: str = "take it out"


# ---- made of others ----


@attrs.frozen
class Maybe:
    """``shape``, or ``null``."""

    shape: Shape


@attrs.frozen(kw_only=True)
class ListOf:
    """A list; ``noun`` are its items. Where ``unordered``, a set of texts: the value has each once, sorted."""

    item: Shape
    noun: str
    least: int = 0
    most: int = 1000
    unordered: bool = False


@attrs.frozen(kw_only=True)
class Named:
    """A mapping whose keys are names that the file chooses; ``label`` stands for one of them in documentation."""

    item: Shape
    names: Text
    label: str
    least: int = 0
    most: int = 1000


@attrs.frozen(kw_only=True)
class ByKind:
    """Different things for a text, a list and a mapping; ``None`` where that kind is none of them."""

    noun: str
    text: Shape | None = None
    items: Shape | None = None
    entries: Shape | None = None

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Those that there are."""
        return tuple(shape for shape in (self.text, self.items, self.entries) if shape is not None)


ABSENT: Final = object()
"""The default of a key that has none."""


@attrs.frozen(kw_only=True)
class Key:
    """One key of a :class:`Table`.

    ``default`` comes from what the table builds unless it is given here; ``required`` keys must be written whatever it
    is. ``default_doc`` is what the documentation says of a default that is worked out. ``field`` is the argument of
    ``builds`` (``None``: not passed on). With ``unbuilt``, a value other than the default is refused with that reason.
    ``revises``: a change of it is a new revision.
    """

    name: str
    shape: Shape
    doc: str
    default: object = ABSENT
    default_doc: str = ""
    required: bool = False
    field: str | None = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True))
    unbuilt: str = ""
    revises: bool = False


@attrs.frozen(kw_only=True)
class Table:
    """A mapping with fixed keys; ``builds`` makes the value of them.

    Where ``foreign``, it is that plugin's class and may refuse them. ``shared`` is the name of a table that stands in
    several places.
    """

    noun: str
    keys: tuple[Key, ...]
    builds: Callable[..., object]
    foreign: str = ""
    shared: str = ""

    @cached_property
    def by_name(self) -> Mapping[str, Key]:
        """The keys by their name."""
        return {key.name: key for key in self.keys}


@attrs.frozen(kw_only=True)
class Form:
    """One way to write something: the way that has the key ``marker``."""

    marker: str
    table: Table


@attrs.frozen(kw_only=True)
class Forms:
    """A mapping in one of several ways, told apart by their marker; it is one value: defaults do not merge into it."""

    noun: str
    forms: tuple[Form, ...]


@attrs.frozen(kw_only=True)
class Options:
    """What the plugin named by the neighbouring key ``by`` wants to know; a name without a table is not our affair."""

    by: str
    tables: Mapping[str, Table]


Shape = (
    Text
    | Whole
    | Flag
    | Amount
    | Choice
    | PluginName
    | Json
    | Later
    | Maybe
    | ListOf
    | Named
    | ByKind
    | Table
    | Forms
    | Options
)


def table(builds: type[Any], noun: str, *keys: Key) -> Table:
    """Return the table that makes a ``builds``, an attrs class, whose fields say what is required and the defaults.

    Raises :class:`ValueError` where keys and fields do not match, which is an error of this program.
    """
    fields = {field.alias: field for field in attrs.fields(builds) if field.init}
    carried = {key.field for key in keys if key.field is not None and not key.unbuilt}
    if carried != set(fields):
        raise ValueError(f"{builds.__name__} has {sorted(fields)}, its keys are {sorted(carried)}")
    return Table(noun=noun, keys=tuple(_with_default(key, fields) for key in keys), builds=builds)


def _with_default(key: Key, fields: Mapping[str, attrs.Attribute[Any]]) -> Key:
    if key.default is not ABSENT or key.field is None or key.unbuilt:
        return key
    default = field_default(fields[key.field])
    return attrs.evolve(key, required=True) if default is ABSENT else attrs.evolve(key, default=default)


def field_default(field: attrs.Attribute[Any]) -> object:
    """Return what an attrs class gives a field that is left out, or :data:`ABSENT` where it must be given."""
    default: Any = field.default
    if default is attrs.NOTHING:
        return ABSENT
    return default.factory() if hasattr(default, "factory") else default
