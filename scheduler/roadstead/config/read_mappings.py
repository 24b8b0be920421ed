"""Readers of what is made of other values: lists, tables, names, and things that can be written in several ways."""

from __future__ import annotations

from roadstead.config.nodes import Broken, Entries, Entry, Items, Node, Scalar
from roadstead.config.problems import ProblemCode
from roadstead.config.reading import Place, read, wrong_kind
from roadstead.config.scalars import Kind, meaning
from roadstead.config.sections import INVALID, NamedSection, Section, finished
from roadstead.config.shapes import ABSENT, ByKind, Forms, Key, Later, ListOf, Maybe, Named, Options, Table
from roadstead.config.source import invisible, shown
from roadstead.config.texts import alternatives, nearest
from roadstead.config.wording import default_value

__all__: list[str] = []


@read.register
def _later(shape: Later, node: Node, place: Place) -> object:
    nothing = isinstance(node, Scalar) and meaning(node).kind is Kind.NOTHING
    empty = (isinstance(node, Items) and not node.items) or (isinstance(node, Entries) and not node.entries)
    if nothing or empty or isinstance(node, Broken):
        return None
    place.problems.add(ProblemCode.NOT_BUILT, place.path, place.spot, shape.reason, shape.hint)
    return INVALID


@read.register
def _maybe(shape: Maybe, node: Node, place: Place) -> object:
    if isinstance(node, Scalar) and meaning(node).kind is Kind.NOTHING:
        return None
    return read(shape.shape, node, place)


@read.register
def _list_of(shape: ListOf, node: Node, place: Place) -> object:
    if not isinstance(node, Items):
        hint = f"put it in brackets: [{node.text}]" if isinstance(node, Scalar) and 0 < len(node.text) <= 64 else ""
        if isinstance(node, Scalar) and "\n" in node.text:
            hint = "write each on a line of its own that starts with -, without |"
        return wrong_kind(node, f"a list of {shape.noun}", place, hint)
    if not shape.least <= len(node.items) <= shape.most:
        return _wrong_number(len(node.items), shape, node, place)
    values = []
    for index, item in enumerate(node.items):
        here = place.under(index, item.spot)
        values.append(finished(read(shape.item, item, here), here.path, place.problems))
    kept = [value for value in values if value is not INVALID]
    return tuple(sorted({str(value) for value in kept})) if shape.unordered else tuple(kept)


def _wrong_number(number: int, shape: ListOf | Named, node: Node, place: Place) -> object:
    if number < shape.least:
        return place.refuse(ProblemCode.RANGE, node, "nothing stands in here", f"give at least {shape.least}")
    what = f"{number} stand in here, which is too many"
    return place.refuse(ProblemCode.LIMIT, node, what, f"give at most {shape.most}")


@read.register
def _named(shape: Named, node: Node, place: Place) -> object:
    if not isinstance(node, Entries):
        dashes = ", without dashes" if isinstance(node, Items) else ""
        hint = _empty_hint(node) or f"write it as `{shape.label}: ...`{dashes}"
        return wrong_kind(node, "a mapping", place, hint)
    if not shape.least <= len(node.entries) <= shape.most and not node.incomplete:
        return _wrong_number(len(node.entries), shape, node, place)
    values = {}
    for entry in node.entries:
        here = place.under(entry.key.text, entry.key.spot)
        read(shape.names, entry.key, here)  # a wrong name is told about, and what it names is read all the same
        values[entry.key.text] = read(shape.item, entry.value, here)
    return NamedSection(values=values)


def _empty_hint(node: Node) -> str:
    nothing = isinstance(node, Scalar) and meaning(node).kind is Kind.NOTHING
    return "write {} where there is nothing to say, or take the key out" if nothing else ""


@read.register
def _by_kind(shape: ByKind, node: Node, place: Place) -> object:
    chosen = {Scalar: shape.text, Items: shape.items, Entries: shape.entries}.get(type(node))
    return read(chosen, node, place) if chosen is not None else wrong_kind(node, shape.noun, place)


@read.register
def _forms(shape: Forms, node: Node, place: Place) -> object:
    markers = [form.marker for form in shape.forms]
    if not isinstance(node, Entries):
        return wrong_kind(node, f"a mapping with {alternatives(markers)}", place)
    given = [form for form in shape.forms if form.marker in node.by_key]
    if len(given) > 1:
        clash = node.by_key[given[1].marker].key
        what = f"{given[0].marker!r} and {given[1].marker!r} exclude each other"
        place.under(clash.text, clash.spot).refuse(
            ProblemCode.COMBINATION, clash, what, f"keep one of {alternatives(markers)}"
        )
        return INVALID
    if not given:
        return _without_marker(shape, markers, node, place)
    section = read(given[0].table, node, place)
    return finished(section, place.path, place.problems)


def _without_marker(shape: Forms, markers: list[str], node: Entries, place: Place) -> object:
    known = {key for form in shape.forms for key in form.table.by_name}
    unknown = [entry.key for entry in node.entries if entry.key.text not in known]
    for key in unknown:
        near = nearest(key.text, known)
        hint = f"did you mean {near}?" if near else f"known here: {', '.join(sorted(known))}"
        what = f"there is no key {shown(key.text)} in {shape.noun}"
        place.under(key.text, key.spot).refuse(ProblemCode.UNKNOWN_KEY, key, what, hint)
    if node.incomplete:
        place.problems.distrust(place.path)
    if unknown or node.incomplete:
        return INVALID
    what = f"{shape.noun} needs one of the keys {alternatives(markers)}"
    return place.refuse(ProblemCode.MISSING_KEY, node, what, f"add {alternatives(markers)}")


@read.register
def _options(_shape: Options, _node: Node, _place: Place) -> object:
    raise TypeError("options are read with the table that they stand in")


@read.register
def _table(shape: Table, node: Node, place: Place) -> object:
    if not isinstance(node, Entries):
        example = next((key.name for key in shape.keys if key.required), shape.keys[0].name if shape.keys else "")
        hint = _empty_hint(node) or (f"write a mapping, such as {{{example}: ...}}" if example else "write {}")
        return wrong_kind(node, "a mapping", place, hint)
    values: dict[str, object] = {}
    suspected = set()
    dependent = []
    for entry in node.entries:
        key = shape.by_name.get(entry.key.text)
        if key is None:
            suspected.add(_unknown(shape, entry, place))
        elif isinstance(key.shape, Options):
            dependent.append((key.shape, entry))
        else:
            values[key.name] = _key_value(key, entry, place)
    for options, entry in dependent:
        table = options.tables.get(str(values.get(options.by)))
        here = place.under(entry.key.text, entry.key.spot)
        values[entry.key.text] = read(table, entry.value, here) if table else INVALID
    return Section(
        table=shape,
        spot=place.spot,
        values=values,
        suspected=frozenset(name for name in suspected if name),
        incomplete=node.incomplete,
    )


def _key_value(key: Key, entry: Entry, place: Place) -> object:
    here = place.under(key.name, entry.key.spot)
    value = read(key.shape, entry.value, here)
    if key.unbuilt and key.default is not ABSENT and value not in (INVALID, key.default):
        hint = f"write {default_value(key.default)}, or take it out"
        place.problems.add(ProblemCode.NOT_BUILT, here.path, entry.value.spot, key.unbuilt, hint)
        return INVALID
    return value


def _unknown(shape: Table, entry: Entry, place: Place) -> str | None:
    """Tell about a key that there is not; return the one that was probably meant."""
    key = entry.key
    here = place.under(key.text, key.spot)
    if place.problems.known(ProblemCode.UNKNOWN_KEY, key.spot):
        return None
    name, colon, value = key.text.partition(":")
    near = nearest(name, shape.by_name)
    hint = f"did you mean {near}?" if near else _where_it_stands(shape, key.text)
    if colon and near == name:
        hint = f"write a space behind the colon: `{name}: {value}`"
    elif unseen := invisible(key.text):
        hint = f"the character {unseen} in it cannot be seen: type it anew, and indent with plain spaces"
    here.refuse(ProblemCode.UNKNOWN_KEY, key, f"there is no key {shown(key.text)} in {shape.noun}", hint)
    return near


def _where_it_stands(shape: Table, name: str) -> str:
    """Return the hint for a key that no key of the table is near to: perhaps it belongs further down."""
    below = {one.name: one.shape.shape if isinstance(one.shape, Maybe) else one.shape for one in shape.keys}
    inside: dict[str, str] = {}
    for above, inner in below.items():
        for key in inner.by_name if isinstance(inner, Table) else ():
            inside.setdefault(key, above)
    near = nearest(name, inside)
    if near:
        return f"{near} stands under `{inside[near]}`"
    names = [one.name for one in shape.keys if not isinstance(one.shape, Later)]
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"known here: {', '.join(names[:12])}{more}" if names else "it has no keys"
