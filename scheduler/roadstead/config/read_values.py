"""Readers of single values: texts, numbers, amounts, words, names of plugins, and JSON."""

from __future__ import annotations

import json
import math
import re
from typing import Final

from roadstead.config.nodes import Broken, Entries, Items, Node, Scalar
from roadstead.config.problems import ProblemCode
from roadstead.config.reading import Place, misread, read, wrong_kind
from roadstead.config.scalars import Kind, meaning, said
from roadstead.config.sections import INVALID
from roadstead.config.shapes import Amount, Choice, Flag, Json, PluginName, Refused, Text, Whole
from roadstead.config.source import invisible, shown
from roadstead.config.texts import alternatives, nearest
from roadstead.config.wording import described
from roadstead.errors import RoadsteadError
from roadstead.units import UnitError

__all__: list[str] = []

_WHOLE: Final = re.compile("-?(0|[1-9][0-9]{0,18})")
_LONGEST_AMOUNT: Final = 40
_TYPOGRAPHIC: Final = frozenset("\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL_OR_BREAK: Final = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


@read.register
def _text(shape: Text, node: Node, place: Place) -> object:
    if not isinstance(node, Scalar):
        return wrong_kind(node, shape.noun, place, f"write {shape.noun}: {shape.rule}" if shape.rule else "")
    text = node.text
    if meaning(node).kind is not Kind.TEXT:
        return wrong_kind(node, shape.noun, place, _text_hint(shape, text))
    if node.plain and not shape.controls and {text[0], text[-1]} <= _TYPOGRAPHIC:
        what = f"{shown(text)} stands in typographic quotes, and they are a part of the text"
        return place.refuse(ProblemCode.FORM, node, what, "use the quotes of a keyboard, \" or '")
    if len(text) > shape.most:
        what = f"this is {len(text)} characters long, {shape.noun} has at most {shape.most}"
        return place.refuse(ProblemCode.RANGE, node, what, "shorten it")
    if control := (_CONTROL if shape.controls else _CONTROL_OR_BREAK).search(text):
        what = f"{shown(text)} has the control character U+{ord(control[0]):04X}"
        hint = "write it on one line, without | or >" if control[0] == "\n" else "remove it"
        return place.refuse(ProblemCode.FORM, node, what, hint)
    if shape.pattern is not None and not re.fullmatch(shape.pattern, text):
        return place.refuse(shape.code, node, f"{shown(text)} is not {shape.noun}", _rule_hint(shape, text))
    try:
        return shape.parse(text)
    except Refused as error:
        return place.refuse(error.code or shape.code, node, str(error), error.hint)


def _text_hint(shape: Text, text: str) -> str:
    """Return the hint for a scalar that is no text: quotes, if it would do with them."""
    if not text:
        return 'write "" for empty text, or take the key out' if shape.controls else ""
    if len(text) > 64:
        return ""
    if shape.pattern is not None and not re.fullmatch(shape.pattern, text):
        return f"write {shape.noun}: {shape.rule}"
    try:
        shape.parse(text)
    except Refused as error:
        return error.hint
    return f'put it in quotes: "{text}"'


def _rule_hint(shape: Text, text: str) -> str:
    """Return the rule, and where a small change satisfies it, the text changed like that."""
    if unseen := invisible(text):
        return f"the character {unseen} in it cannot be seen: type it anew"
    if shape.pattern is None or shape.code is not ProblemCode.NAME:
        return shape.rule
    joint = next((one for one in "-_" if re.fullmatch(shape.pattern, f"a{one}b")), "")
    tamed = re.sub("[^a-z0-9]+", joint, text.lower()).strip("-_")
    return f"{shape.rule}; {tamed} would do" if re.fullmatch(shape.pattern, tamed) else shape.rule


@read.register
def _whole(shape: Whole, node: Node, place: Place) -> object:
    if not isinstance(node, Scalar):
        return wrong_kind(node, shape.noun, place)
    text = node.text
    if meaning(node).kind is not Kind.NUMBER:
        unquoted = not node.plain and _WHOLE.fullmatch(text)
        return wrong_kind(node, shape.noun, place, f"write it without quotes: {text}" if unquoted else "")
    if "." in text:
        what = f"{said(node)} has a fraction, {shape.noun} is wanted"
        return place.refuse(ProblemCode.TYPE, node, what, f"write {described(shape)}")
    if not _WHOLE.fullmatch(text) or not shape.least <= int(text) <= shape.most:
        hint = f"only {shape.least} is known here" if shape.least == shape.most else f"write {described(shape)}"
        return place.refuse(ProblemCode.RANGE, node, f"{said(node)} is out of range", hint)
    return int(text)


@read.register
def _flag(shape: Flag, node: Node, place: Place) -> object:
    if not isinstance(node, Scalar):
        return wrong_kind(node, "true or false", place)
    means = meaning(node)
    if means.kind is not Kind.BOOLEAN:
        read_as = means.reading.partition(" ")[0]
        return wrong_kind(node, "true or false", place, f"write {read_as}" if read_as in ("true", "false") else "")
    value = node.text.lower() == "true"
    if shape.only is not None and value is not shape.only:
        only = str(shape.only).lower()
        return place.refuse(ProblemCode.CHOICE, node, f"this can only be {only}", f"write {only}, or take it out")
    return value


@read.register
def _amount(shape: Amount, node: Node, place: Place) -> object:
    if not isinstance(node, Scalar):
        return wrong_kind(node, shape.noun, place, f"write it like {shape.examples}")
    kind = meaning(node).kind
    if kind not in (Kind.TEXT, Kind.NUMBER) or not node.text:
        return wrong_kind(node, shape.noun, place, f"write it like {shape.examples}")
    if len(node.text) > _LONGEST_AMOUNT:
        what = f"{shown(node.text)} is too long for {shape.noun}"
        return place.refuse(ProblemCode.AMOUNT, node, what, f"write it like {shape.examples}")
    if node.text != node.text.strip():
        what = f"{shown(node.text)} has white space around it"
        return place.refuse(ProblemCode.AMOUNT, node, what, f"write {node.text.strip()}")
    try:
        value = shape.parse(int(node.text) if _WHOLE.fullmatch(node.text) else node.text)
    except UnitError as error:
        hint = misread(node, place) or error.hint or f"write it like {shape.examples}"
        return place.refuse(ProblemCode.AMOUNT, node, str(error), hint)
    if value < shape.least:
        hint = shape.low_hint or f"write at least {shape.least}"
        return place.refuse(ProblemCode.RANGE, node, f"{said(node)} is less than {shape.least}", hint)
    if shape.most is not None and value > shape.most:
        what = f"{said(node)} is more than {shape.most}"
        return place.refuse(ProblemCode.RANGE, node, what, f"write at most {shape.most}")
    return value


def _word(node: Node, wanted: str, place: Place) -> Scalar | None:
    if isinstance(node, Scalar) and meaning(node).kind is Kind.TEXT:
        return node
    wrong_kind(node, wanted, place)
    return None


@read.register
def _choice(shape: Choice, node: Node, place: Place) -> object:
    words = [value.word for value in shape.values if not value.unbuilt]
    scalar = _word(node, alternatives(words), place)
    if scalar is None:
        return INVALID
    for value in shape.values:
        if value.word == scalar.text:
            if value.unbuilt:
                return place.refuse(ProblemCode.NOT_BUILT, node, value.unbuilt, f"use {alternatives(words)}")
            return value.value
    near = nearest(scalar.text, words)
    hint = f"did you mean {near}?" if near else f"write {alternatives(words)}"
    return place.refuse(ProblemCode.CHOICE, node, f"{shown(scalar.text)} is not {alternatives(words)}", hint)


@read.register
def _plugin_name(shape: PluginName, node: Node, place: Place) -> object:
    scalar = _word(node, f"the name of a {shape.kind}", place)
    if scalar is None:
        return INVALID
    if scalar.text in shape.names:
        return scalar.text
    try:
        shape.find(scalar.text)
    except RoadsteadError as error:
        near = nearest(scalar.text, shape.names)
        hint = "; ".join(part for part in (f"did you mean {near}?" if near else "", error.hint or "") if part)
        return place.refuse(ProblemCode.PLUGIN, node, str(error), hint)
    return scalar.text


@read.register
def _json(shape: Json, node: Node, place: Place) -> object:
    if not isinstance(node, Entries):
        return wrong_kind(node, f"{shape.noun} as a mapping", place)
    value = _json_value(node, place)
    if value is INVALID:
        return INVALID
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    if len(text) > shape.most:
        what = f"this is {len(text)} characters of JSON, {shape.noun} has at most {shape.most}"
        return place.refuse(ProblemCode.RANGE, node, what, "shorten it")
    return text


def _json_value(node: Node, place: Place) -> object:
    if isinstance(node, Items):
        items = [_json_value(item, place.under(index, item.spot)) for index, item in enumerate(node.items)]
        return INVALID if any(item is INVALID for item in items) else items
    if isinstance(node, Entries):
        entries = {
            one.key.text: _json_value(one.value, place.under(one.key.text, one.key.spot)) for one in node.entries
        }
        wrong = node.incomplete or any(value is INVALID for value in entries.values())
        return INVALID if wrong else entries
    if isinstance(node, Broken):
        return wrong_kind(node, "a value", place)
    means = meaning(node)
    match means.kind:
        case Kind.TEXT:
            return node.text
        case Kind.NOTHING:
            return None
        case Kind.BOOLEAN:
            return node.text.lower() == "true"
        case Kind.NUMBER:
            return _json_number(node, place)
        case Kind.AMBIGUOUS:
            hint = f'put text in quotes: "{node.text}"; write numbers in decimal, and true or false'
            return place.refuse(ProblemCode.AMBIGUOUS, node, f"{shown(node.text)} is {means.reading}", hint)


def _json_number(node: Scalar, place: Place) -> object:
    number = float(node.text)
    if len(node.text) > _LONGEST_AMOUNT or not math.isfinite(number):
        return place.refuse(ProblemCode.RANGE, node, f"{shown(node.text)} has too many digits", "write fewer")
    return int(node.text) if _WHOLE.fullmatch(node.text) else number
