"""A mapping as it was read: the keys that are there, with their values, before defaults are filled in.

Defaults of deployments merge here, key by key: mappings that describe one thing (tables and named things) merge,
everything else is replaced as a whole. Then :func:`finished` makes the value of a section: missing keys get their
default or are told about.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from roadstead.config.problems import Path, ProblemCode, Problems
from roadstead.config.shapes import ABSENT, Key, Options, Table
from roadstead.config.source import Spot

__all__ = ["INVALID", "NamedSection", "Section", "finished", "merged"]

INVALID: Final = object()
"""What stands for a value that was refused."""

_NOTHING_GIVEN: Mapping[str, object] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Section:
    """What was read for a table.

    ``suspected`` are keys that a misspelt one probably meant: they are not missing. Where ``incomplete``, nothing is.
    """

    table: Table
    spot: Spot
    values: Mapping[str, object] = _NOTHING_GIVEN
    suspected: frozenset[str] = frozenset()
    incomplete: bool = False


@attrs.frozen(kw_only=True)
class NamedSection:
    """What was read for a mapping whose keys are names."""

    values: Mapping[str, object]


def merged(default: object, own: object) -> object:
    """Return ``own`` with what ``default`` has and it has not."""
    if isinstance(default, Section) and isinstance(own, Section) and default.table is own.table:
        return attrs.evolve(
            own,
            values=_merged_values(default.values, own.values),
            suspected=default.suspected | own.suspected,
            incomplete=default.incomplete or own.incomplete,
        )
    if isinstance(default, NamedSection) and isinstance(own, NamedSection):
        return NamedSection(values=_merged_values(default.values, own.values))
    return own


def _merged_values(default: Mapping[str, object], own: Mapping[str, object]) -> Mapping[str, object]:
    values = {**default, **own}
    for name in default.keys() & own.keys():
        values[name] = merged(default[name], own[name])
    return values


def finished(value: object, path: Path, problems: Problems) -> object:
    """Return the value that was meant: sections become what their table builds, :data:`INVALID` stays what it is."""
    if isinstance(value, NamedSection):
        items = {name: finished(item, (*path, name), problems) for name, item in value.values.items()}
        return MappingProxyType({name: item for name, item in items.items() if item is not INVALID})
    if isinstance(value, Section):
        return _built(value, path, problems)
    return value


def _built(section: Section, path: Path, problems: Problems) -> object:
    arguments: dict[str, object] = {}
    usable = True
    for key in section.table.keys:
        value = finished(_value(section, key), (*path, key.name), problems)
        if value is ABSENT and key.required:
            _missing(section, key, path, problems)
        if key.field is None or key.unbuilt:
            continue
        if value not in (ABSENT, INVALID):
            arguments[key.field] = value
        elif key.default is not ABSENT:
            arguments[key.field] = key.default
        else:
            usable = usable and not key.required
    usable = usable and not (section.table.foreign and INVALID in section.values.values())
    return _build(section, arguments, path, problems) if usable else INVALID


def _value(section: Section, key: Key) -> object:
    value = section.values.get(key.name, ABSENT)
    if value is ABSENT and isinstance(key.shape, Options):
        table = key.shape.tables.get(str(section.values.get(key.shape.by)))
        return Section(table=table, spot=section.spot) if table else ABSENT
    return value


def _missing(section: Section, key: Key, path: Path, problems: Problems) -> None:
    here = (*path, key.name)
    if section.incomplete or key.name in section.suspected:
        problems.distrust(here)
        return
    what = f"{section.table.noun} needs the key {key.name!r}"
    hint = f"add `{key.name}:`: {key.doc}" if key.doc else f"add `{key.name}:`"
    problems.add(ProblemCode.MISSING_KEY, here, section.spot, what, hint)


def _build(section: Section, arguments: Mapping[str, object], path: Path, problems: Problems) -> object:
    if not section.table.foreign:
        return section.table.builds(**arguments)
    try:
        return section.table.builds(**arguments)
    except (ValueError, TypeError) as error:  # a plugin's own validators; ours have passed already
        problems.add(
            ProblemCode.FORM,
            path,
            section.spot,
            f"{section.table.foreign} refuses this: {error}",
            "see its documentation",
        )
        return INVALID
