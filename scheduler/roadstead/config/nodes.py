"""YAML as a tree that remembers where everything stands.

The tree is built from the parser's events and not by PyYAML's composer, for three reasons: the composer resolves types
by YAML 1.1 before anybody can say which type a key has; it keeps no limits (a megabyte of ``[`` occupies it for
hours); and it stops at the first duplicate key or unknown alias. What a plain scalar means is decided later, by who
knows which type is wanted (:mod:`roadstead.config.scalars`).

Of YAML a fleet file may use: mappings with plain or quoted keys, lists, every style of scalar, comments, and aliases
of anchors. Merge keys (``<<``), tags, directives, several documents and keys that are no scalars are refused: for what
is shared there is ``defaults``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import attrs
import yaml

from roadstead.config.problems import Path, ProblemCode, Problems
from roadstead.config.source import Source, Spot, shown

__all__ = ["MAX_DEPTH", "MAX_VALUES", "Broken", "Entries", "Entry", "Items", "Node", "Scalar", "compose"]

MAX_DEPTH: Final = 32
MAX_VALUES: Final = 1_000_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DIRECTIVE = re.compile("(?<![^\n\r\x85\u2028\u2029])%")
_CONFLICT = re.compile("(?<![^\n\r\x85\u2028\u2029])(<{7}|>{7}) ")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


_HINTS: Final = (
    ("mapping values are not allowed", "check the indentation; a text with a colon and a space in it needs quotes"),
    ("end of stream", "what is opened here is not closed"),
    ("escape", "in double quotes a backslash starts an escape: use single quotes, or write \\\\"),
    ("could not find expected ':'", "a key is followed by a colon and a space"),
    ("alphabetic or numeric", "put a value that starts with * or & in quotes"),
    ("<document start>", "is this a fleet file? it starts with `version: 1`"),
)
_ANY_HINT: Final = "check the indentation, the quotes and the brackets here and on the line before"


@attrs.frozen(eq=False)
class Scalar:
    """A single value; ``plain`` where it stands without quotes, so that its meaning is not settled."""

    spot: Spot
    text: str
    plain: bool


@attrs.frozen(eq=False)
class Items:
    """A list."""

    spot: Spot
    items: tuple[Node, ...]


@attrs.frozen(eq=False)
class Entry:
    """One key of a mapping with its value."""

    key: Scalar
    value: Node


@attrs.frozen(eq=False)
class Entries:
    """A mapping, without doubles; ``incomplete`` where a part was refused, so that nothing can be called missing."""

    spot: Spot
    entries: tuple[Entry, ...]
    incomplete: bool = False

    @cached_property
    def by_key(self) -> dict[str, Entry]:
        """The entries by the text of their key."""
        return {entry.key.text: entry for entry in self.entries}


@attrs.frozen(eq=False)
class Broken:
    """A value that was refused already."""

    spot: Spot


Node = Scalar | Items | Entries | Broken


@attrs.frozen(kw_only=True)
class _Anchored:
    """What an alias stands for: ``values`` and ``height`` are what it adds to the size and the depth of the tree."""

    node: Node
    values: int
    height: int


class _Stopped(Exception):
    """Nothing further in the text can be understood; the problem has been told."""


def compose(source: Source, problems: Problems) -> Node | None:
    """Return the tree of ``source``, or ``None`` where there is none: then ``problems`` has the reason."""
    if _refused_text(source, problems):
        return None
    composer = _Composer(source, problems)
    try:
        return composer.document()
    except yaml.MarkedYAMLError as error:
        _syntax(error, source, problems)
    except _Stopped:
        pass
    return None


def _refused_text(source: Source, problems: Problems) -> bool:
    """Tell about what no document may have; the parser would be late with it, or slow."""
    refused = False
    if unprintable := _UNPRINTABLE.search(source.text):
        what = f"the character U+{ord(unprintable[0]):04X} is not allowed in YAML"
        hint = 'remove it, or write it as an escape in double quotes, such as "\\x07"'
        if unprintable[0] == "\0":
            hint = "this is UTF-16, or binary, or was cut off while it was written: save it again as UTF-8"
        problems.add(ProblemCode.ENCODING, (), source.spot_at(unprintable.start()), what, hint)
        refused = True
    if conflict := _CONFLICT.search(source.text):
        what = "a merge of two versions of this file was not finished here"
        hint = "keep one of the two versions, and remove the lines that start with <<<<<<<, ======= and >>>>>>>"
        problems.add(ProblemCode.SYNTAX, (), source.spot_at(conflict.start()), what, hint)
        refused = True
    for found in _DIRECTIVE.finditer(source.text):
        what = "a line that starts with % is a YAML directive, which a fleet file may not have"
        problems.add(ProblemCode.FEATURE, (), source.spot_at(found.start()), what, "remove the line")
        refused = True
    return refused


def _syntax(error: yaml.MarkedYAMLError, source: Source, problems: Problems) -> None:
    spot, ended = _mistake(error, source)
    line = source.lines[spot.line - 1]
    at = line[spot.column - 1 : spot.column]
    if at == "\t" or ("\t" in line[: spot.column] and not line[: spot.column].strip()):
        others = sum("\t" in other[: len(other) - len(other.lstrip())] for other in source.lines if other is not line)
        more = f", here and on {others} other line{'s' if others > 1 else ''}" if others else ""
        problems.add(
            ProblemCode.TAB, (), spot, "a tab stands where YAML allows only spaces", f"indent with spaces{more}"
        )
        return
    what = ": ".join(part for part in ("this is not YAML", error.context, error.problem) if part)
    hint = "is something still open, or the file not saved in full?" if ended else _syntax_hint(error, at, source)
    problems.add(ProblemCode.SYNTAX, (), spot, what, hint)


def _mistake(error: yaml.MarkedYAMLError, source: Source) -> tuple[Spot, bool]:
    """Return where to look for a mistake, and whether that is only the end of the text.

    The parser names where it gave up and, mostly, where what it was reading starts. The start is the better place where
    it gave up at the end, or behind what should have been a key.
    """
    gave_up, start = error.problem_mark or error.context_mark, error.context_mark
    at_start = "expected ':'" in str(error.problem) or _is_end(gave_up, source)
    mark = start if at_start and not _is_end(start, source) else gave_up
    if mark is None:
        return Spot(1, 1), True
    return source.within(Spot(mark.line + 1, mark.column + 1)), _is_end(mark, source)


def _is_end(mark: Any, source: Source) -> bool:
    """Return whether nothing stands in the text at ``mark`` or behind it."""
    if mark is None or mark.line >= len(source.lines):
        return True
    return not any(map(str.strip, (source.lines[mark.line][mark.column :], *source.lines[mark.line + 1 :])))


def _syntax_hint(error: yaml.MarkedYAMLError, at: str, source: Source) -> str:
    problem = str(error.problem)
    if "cannot start any token" in problem:
        return f'put a value that starts with {at!r} in quotes: "{at}..."'
    if "expected ',' or" in problem and error.context_mark:
        number = error.context_mark.line
        comment = ": behind a space, # starts a comment" if " #" in source.lines[number] else ", or a comma is missing"
        return f"the bracket opened on line {number + 1} is not closed{comment}"
    return next((hint for said, hint in _HINTS if said in problem), _ANY_HINT)


class _Composer:
    """Turns the parser's events into nodes; limits are kept while they arrive, so that nothing large is ever built."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(source.text, Loader=_LOADER))
        self._problems = problems
        self._anchors: dict[str, _Anchored | None] = {}
        self._path: list[str | int] = []
        self._values = 0

    def document(self) -> Node | None:
        """Return the root of the one document."""
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            self._empty(Spot(1, 1))
            return None
        event = next(self._events)
        root, _ = self._node(event, depth=1)
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.DocumentStartEvent):
            what = "a second YAML document starts here"
            self._tell(
                ProblemCode.FEATURE,
                _spot(event),
                what,
                "one file has one fleet: take it out, or put it in a file of its own",
            )
        if isinstance(root, Scalar) and root.plain and root.text in ("", "~", "null"):
            self._empty(root.spot)
            return None
        return root

    def _empty(self, spot: Spot) -> None:
        hint = "start with `version: 1`, or let `roadstead init` write a first file"
        self._problems.add(ProblemCode.EMPTY, (), spot, "the file is empty", hint)

    @property
    def _here(self) -> Path:
        return tuple(self._path)

    def _tell(self, code: ProblemCode, spot: Spot, what: str, hint: str) -> None:
        self._problems.add(code, self._here, spot, what, hint)

    # ---- nodes ----

    def _node(self, event: Any, *, depth: int) -> tuple[Node, int]:
        """Return the node that starts with ``event``, and the depth of the tree below and with it."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._count(1, event)
        self._check_depth(depth, event)
        before = self._values
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node: Node
        height = 1
        if event.tag is not None:
            self._tag(event)
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(event) if event.tag is None else Broken(_spot(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node, height = self._items(event, depth)
        else:
            node, height = self._entries(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(node=node, values=self._values - before + 1, height=height)
        return node, height

    def _alias(self, event: Any, depth: int) -> tuple[Node, int]:
        spot = _spot(event)
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            name = event.anchor[:64]
            inside = event.anchor in self._anchors
            what = f"the alias *{name} stands inside its own anchor" if inside else f"there is no anchor &{name} above"
            self._tell(ProblemCode.FEATURE, spot, what, "write the value out")
            return Broken(spot), 1
        self._count(anchored.values, event)
        self._check_depth(depth + anchored.height - 1, event)
        return anchored.node, anchored.height

    def _items(self, event: Any, depth: int) -> tuple[Items, int]:
        items: list[Node] = []
        tallest = 0
        while not isinstance(event_now := next(self._events), yaml.SequenceEndEvent):
            self._path.append(len(items))
            item, height = self._node(event_now, depth=depth + 1)
            self._path.pop()
            items.append(item)
            tallest = max(tallest, height)
        return Items(_spot(event), tuple(items)), tallest + 1

    def _entries(self, event: Any, depth: int) -> tuple[Entries, int]:
        entries: dict[str, Entry] = {}
        incomplete = False
        tallest = 0
        while not isinstance(event_now := next(self._events), yaml.MappingEndEvent):
            key = self._key(event_now, depth)
            self._path.append(key.text if key else "")
            value, height = self._node(next(self._events), depth=depth + 1)
            self._path.pop()
            tallest = max(tallest, height)
            if key is None:
                incomplete = True
            elif key.text in entries:
                self._double(key, entries[key.text].key)
            else:
                entries[key.text] = Entry(key, value)
        return Entries(_spot(event), tuple(entries.values()), incomplete), tallest + 1

    def _key(self, event: Any, depth: int) -> Scalar | None:
        """Return the key that starts with ``event``, or ``None`` where it is none that a fleet file may have."""
        if not isinstance(event, yaml.ScalarEvent):
            what = "this key is an alias" if isinstance(event, yaml.AliasEvent) else "this key is a list or a mapping"
            hint = "a key is text: write it out; {{ }} is left of a template that was not filled in"
            self._tell(ProblemCode.FEATURE, _spot(event), what, hint)
            self._node(event, depth=depth + 1)
            return None
        key, _ = self._node(event, depth=depth + 1)
        if isinstance(key, Scalar) and key.plain and key.text == "<<":
            hint = "put what deployments share under `defaults`, or use an alias for a whole value"
            self._tell(ProblemCode.FEATURE, key.spot, "merge keys (<<) are not supported", hint)
            return None
        return key if isinstance(key, Scalar) else None

    def _double(self, key: Scalar, first: Scalar) -> None:
        self._path.append(key.text)
        what = f"this key stands here twice, first on line {first.spot.line}"
        self._tell(ProblemCode.DUPLICATE_KEY, key.spot, what, "keep one of them")
        self._path.pop()

    def _tag(self, event: Any) -> None:
        hint = "take it out: every key has its type already, and text that looks like a number goes in quotes"
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._tell(ProblemCode.FEATURE, _spot(event), f"the YAML tag {shown(tag)} is not supported", hint)

    # ---- limits ----

    def _count(self, values: int, event: Any) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            what = f"there are more than {MAX_VALUES} values in the file, counting each use of an alias"
            self._problems.add(ProblemCode.LIMIT, (), _spot(event), what, "use fewer aliases, or several fleets")
            raise _Stopped

    def _check_depth(self, depth: int, event: Any) -> None:
        if depth > MAX_DEPTH:
            what = f"this is nested deeper than {MAX_DEPTH} levels"
            self._tell(ProblemCode.LIMIT, _spot(event), what, "a fleet file needs no more than 10")
            raise _Stopped


def _scalar(event: Any) -> Scalar:
    return Scalar(_spot(event), event.value, event.style in (None, ""))


def _spot(event: Any) -> Spot:
    start, end = event.start_mark, event.end_mark
    width = end.column - start.column if end.line == start.line else 1
    return Spot(start.line + 1, start.column + 1, width or 1)
