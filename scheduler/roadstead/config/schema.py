"""The JSON Schema of a fleet file, for editors: completion, descriptions and the simpler mistakes.

Made from the description of the keys. It accepts everything that reading accepts. What it cannot say (references
between keys, spellings that YAML readers disagree on) only reading finds. Draft 7, because that is what editors know.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any, TypeAlias

import attrs

from roadstead.config.keys import fleet_table
from roadstead.config.shapes import (
    ABSENT,
    Amount,
    ByKind,
    Choice,
    Flag,
    Forms,
    Json,
    Key,
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
from roadstead.config.wording import default_value, described
from roadstead.spi.host import PluginHost

__all__ = ["fleet_schema"]

Schema: TypeAlias = dict[str, Any]


@attrs.frozen
class _Context:
    """The shared definitions, and whether keys may be left out because ``defaults`` can supply them."""

    definitions: dict[str, Schema]
    partial: bool = False

    @property
    def whole(self) -> _Context:
        """The context of what defaults do not merge into."""
        return attrs.evolve(self, partial=False)


def fleet_schema(host: PluginHost) -> Schema:
    """Return the JSON Schema of a fleet file with the plugins of ``host``."""
    context = _Context({})
    root = _schema(fleet_table(host), context)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Roadstead fleet file",
        **root,
        "definitions": context.definitions,
    }


@singledispatch
def _schema(shape: Shape, _context: _Context) -> Schema:
    raise TypeError(f"{shape!r} is no shape")


@_schema.register
def _text(shape: Text, _context: _Context) -> Schema:
    pattern = {"pattern": f"^({shape.pattern})$"} if shape.pattern is not None else {}
    return {"type": "string", "maxLength": shape.most, **pattern}


@_schema.register
def _whole(shape: Whole, _context: _Context) -> Schema:
    return {"type": "integer", "minimum": shape.least, "maximum": shape.most}


@_schema.register
def _flag(shape: Flag, _context: _Context) -> Schema:
    return {"type": "boolean"} if shape.only is None else {"const": shape.only}


@_schema.register
def _amount(shape: Amount, _context: _Context) -> Schema:
    return {"type": ["string", "number"], "pattern": f"^({shape.pattern})$", "minimum": 0}


@_schema.register
def _choice(shape: Choice, _context: _Context) -> Schema:
    return {"enum": [value.word for value in shape.values if not value.unbuilt]}


@_schema.register
def _plugin_name(shape: PluginName, _context: _Context) -> Schema:
    return {"enum": list(shape.names)}


@_schema.register
def _json(_shape: Json, _context: _Context) -> Schema:
    return {"type": "object"}


@_schema.register
def _later(_shape: Later, _context: _Context) -> Schema:
    return {"enum": [None, {}, []]}


@_schema.register
def _maybe(shape: Maybe, context: _Context) -> Schema:
    return {"anyOf": [_schema(shape.shape, context), {"type": "null"}]}


@_schema.register
def _list_of(shape: ListOf, context: _Context) -> Schema:
    items = _schema(shape.item, context.whole)
    return {"type": "array", "items": items, "minItems": shape.least, "maxItems": shape.most}


@_schema.register
def _named(shape: Named, context: _Context) -> Schema:
    return {
        "type": "object",
        "propertyNames": _schema(shape.names, context),
        "additionalProperties": _schema(shape.item, context),
        "minProperties": shape.least,
        "maxProperties": shape.most,
    }


@_schema.register
def _by_kind(shape: ByKind, context: _Context) -> Schema:
    return {"anyOf": [_schema(one, context) for one in shape.shapes]}


@_schema.register
def _forms(shape: Forms, context: _Context) -> Schema:
    return {"anyOf": [_schema(form.table, context.whole) for form in shape.forms]}


@_schema.register
def _options(_shape: Options, _context: _Context) -> Schema:
    return {"type": "object"}


@_schema.register
def _table(shape: Table, context: _Context) -> Schema:
    if not shape.shared:
        return _object(shape, context)
    if shape.shared not in context.definitions:
        context.definitions[shape.shared] = _object(shape, attrs.evolve(context, partial=True))
    return {"allOf": [{"$ref": f"#/definitions/{shape.shared}"}]}


def _object(shape: Table, context: _Context) -> Schema:
    made: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: _key(key, context) for key in shape.keys},
    }
    required = [key.name for key in shape.keys if key.required]
    if required and not context.partial:
        made["required"] = required
    cases = [case for key in shape.keys if isinstance(key.shape, Options) for case in _cases(key, key.shape, context)]
    return {**made, "allOf": cases} if cases else made


def _key(key: Key, context: _Context) -> Schema:
    made = _schema(key.shape, context)
    doc = key.doc
    if isinstance(key.shape, Choice | Later):
        doc = "; ".join(part for part in (doc, described(key.shape)) if part)
    if key.unbuilt:
        doc = f"{doc}; {key.unbuilt}: only the default"
    has_default = not (key.default is ABSENT or key.default_doc or key.required)
    default = default_value(key.default) if has_default else ABSENT
    described_key: Schema = {"description": doc} if doc else {}
    return {**described_key, **made, **({} if default is ABSENT else {"default": default})}


def _cases(key: Key, options: Options, context: _Context) -> list[Schema]:
    """Return what ``key`` is, depending on the neighbour that its options depend on."""
    return [
        {
            "if": {"properties": {options.by: {"const": name}}, "required": [options.by]},
            "then": {"properties": {key.name: _schema(table, context)}},
        }
        for name, table in options.tables.items()
    ]
