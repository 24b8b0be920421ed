"""Fleet files with mistakes in them, made from real ones: of bytes, of words, of lines and of trees. Pure.

Input number N under a seed is always the same bytes, whatever was made before it. So a run can stop and go on, and what
it found can be made again by its number.
"""

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeAlias

import attrs
import yaml

__all__ = ["LEVELS", "Input", "Mutator"]

Tree: TypeAlias = Any
"""What a reader of YAML makes of a file: mappings, lists and scalars."""

_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_./+-]+|\s+|.", re.DOTALL)
_MANY: Final = (64, 1_000, 20_000)

_BYTES: Final = (
    *(b"\x00", b"\xff", b"\xfe\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),  # none of them is UTF-8
    *(sign.encode() for sign in "\ufeff\x85\u2028\xa0\U0001f6a2\u0301\u4f60\x7f"),
    *(b"\r", b"\r\n", b"\n", b"\t", b" ", b"\x1b[2J"),
)
_SIGNS: Final = (
    *"-:?,[]{}#&*!|>'\"%@`~=<\\\t\n",
    *("<<", "<<: *a", ": ", "- ", "? ", "&a ", "*a", "*a ", "!!str ", "!!python/name:os ", "!x ", " #", "''"),
    *("---\n", "...\n", "%YAML 1.1\n", "|\n", ">-\n", "|9\n", "\r\n", "\n\n  ", '"\\x00"', '"\\u2028"'),
)
_ODD: Final = ("", "a b", "a: b", "- a", "# a", "x" * 300, "1" * 5_000)

LEVELS: Final = ("bytes", "words", "lines", "tree")


@attrs.frozen(kw_only=True)
class Input:
    """What a disk may hold: ``data`` was made from the file ``source`` by mistakes of the kind ``level``."""

    number: int
    source: str
    level: str
    data: bytes


@attrs.frozen
class Mutator:
    """Makes inputs from files, name and content: half of them from ``good`` ones.

    ``keys`` and ``words`` are what such files are full of, right or wrong.
    """

    good: tuple[tuple[str, bytes], ...]
    bad: tuple[tuple[str, bytes], ...]
    keys: tuple[str, ...]
    words: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """What tells this material from other material, with which the same number is another input."""
        return hashlib.sha256(repr((self.good, self.bad, self.keys, self.words)).encode()).hexdigest()[:16]

    def input(self, seed: int, number: int) -> Input:
        """Return input ``number`` under ``seed``."""
        chance = random.Random(f"{seed}:{number}")  # noqa: S311  # nothing secret, only the same each time
        level = chance.choice(LEVELS)
        kind = chance.choice((self.good, self.bad))
        if level == "tree":
            source = chance.choice([name for name, _ in kind if name in self._trees])
            return Input(number=number, source=source, level=level, data=self._tree(source, chance))
        source, data = chance.choice(kind)
        made = {"bytes": self._bytes, "words": self._words, "lines": self._lines}[level](data, chance)
        return Input(number=number, source=source, level=level, data=made)

    @cached_property
    def _trees(self) -> Mapping[str, Tree]:
        """The files that any reader of YAML can read, each as JSON has it; aliases might expand to anything."""
        found = {}
        for name, data in (*self.good, *self.bad):
            try:
                if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, Loader=_LOADER)):
                    continue
                tree = yaml.load(data, Loader=_LOADER)  # noqa: S506  # the safe one, in C
            except (yaml.YAMLError, ValueError):
                continue
            if isinstance(tree, dict):
                found[name] = json.loads(json.dumps(tree, default=str))
        return found

    def _other(self, chance: random.Random) -> bytes:
        return chance.choice(chance.choice((self.good, self.bad)))[1]

    def _word(self, chance: random.Random) -> str:
        return chance.choice(_ODD) if _seldom(chance) else chance.choice(self.words)

    def _value(self, chance: random.Random) -> Tree:
        """Return something that may stand at a key."""
        word = self._word(chance)
        number = chance.choice((chance.randrange(-2, 70_000), chance.random() * 10))
        return chance.choice((word, word, word, number, None, True, False, [], {}, [word], {word: word}))

    def _bytes(self, data: bytes, chance: random.Random) -> bytes:
        made = bytearray(data)
        for _ in range(_few(chance)):
            at, end = _slice(len(made), chance)
            match chance.randrange(8):
                case 0:
                    made[at:at] = chance.choice(_BYTES)
                case 1:
                    made[at:end] = chance.choice(_BYTES)
                case 2:
                    del made[at:end]
                case 3:
                    made[end:end] = made[at:end]
                case 4:
                    other = self._other(chance)
                    first, last = _slice(len(other), chance)
                    made[at:end] = other[first:last]
                case 5:
                    del made[at:]
                case _ if at < len(made):
                    made[at] ^= 1 << chance.randrange(8)
        return bytes(made)

    def _words(self, data: bytes, chance: random.Random) -> bytes:
        tokens = _TOKEN.findall(_text(data))
        for _ in range(_few(chance)):
            at = chance.randrange(len(tokens) + 1)
            match chance.randrange(6):
                case 0:
                    tokens[at:at] = [chance.choice(_SIGNS)]
                case 1:
                    tokens[at : at + 1] = [self._word(chance)]
                case 2:
                    del tokens[at : at + chance.randrange(1, 4)]
                case 3:
                    others = _TOKEN.findall(_text(self._other(chance)))
                    first = chance.randrange(len(others) + 1)
                    tokens[at : at + 1] = others[first : first + chance.randrange(1, 9)]
                case 4:
                    tokens[at : at + 1] = [chance.choice(self.keys)]
                case _:
                    tokens[at : at + 1] *= chance.choice(_MANY) if _seldom(chance) else 2
        return _encoded("".join(tokens))

    def _lines(self, data: bytes, chance: random.Random) -> bytes:
        lines = _text(data).split("\n")
        for _ in range(_few(chance)):
            at = chance.randrange(len(lines))
            lines[at : at + 1] = self._slip(lines[at], chance)
            lines = lines or [""]
        return _encoded(chance.choice(("\n", "\n", "\n", "\r\n", "\r")).join(lines))

    def _slip(self, line: str, chance: random.Random) -> list[str]:
        """Return the lines that a slip of the hand makes of one."""
        key, colon, rest = line.partition(":")
        slips: tuple[Callable[[], list[str]], ...] = (
            list,
            lambda: [line, line],
            lambda: ["  " + line],
            lambda: [line.removeprefix("  ")],
            lambda: ["\t" + line.lstrip()],
            lambda: [line + "\r"],
            lambda: [line[: len(line) // 2]],
            lambda: [f"{key}: {self._word(chance)}"],
            lambda: [line, f"{key}x{colon}{rest}"],
            lambda: [line.replace(": ", ":", 1)],
            lambda: [line, chance.choice(_text(self._other(chance)).split("\n"))],
            lambda: ["# " + line],
            lambda: [line] * (chance.choice(_MANY[:2]) if _seldom(chance) else 3),
        )
        return chance.choice(slips)()

    def _tree(self, source: str, chance: random.Random) -> bytes:
        tree = _copied(self._trees[source])
        for _ in range(_few(chance)):
            places = _places(tree)
            if places:
                self._change(*chance.choice(places), tree, chance)
        return _written(tree, chance)

    def _change(self, inside: Tree, key: Any, tree: Tree, chance: random.Random) -> None:
        """Change what stands at ``key`` of the mapping or list ``inside``, which is somewhere in ``tree``."""
        match chance.randrange(8):
            case 0:
                inside[key] = self._value(chance)
            case 1:
                inside[key] = _any_of(self._trees[chance.choice(sorted(self._trees))], chance)
            case 2:
                inside[key] = _any_of(tree, chance)
            case 3:
                del inside[key]
            case 4:
                inside[key] = chance.choice(([inside[key]], {chance.choice(self.keys): inside[key]}))
            case 5 if isinstance(inside, dict):
                inside[chance.choice((*self.keys, *self.words))] = inside.pop(key)
            case _ if isinstance(inside, dict):
                inside[chance.choice(self.keys)] = self._value(chance)
            case _:
                inside.append(self._value(chance))


def _few(chance: random.Random) -> int:
    """Return a number of mistakes: mostly one, as people make them, and sometimes many."""
    return chance.choice((1, 1, 1, 1, 2, 2, 3, 4, 8, 20))


def _seldom(chance: random.Random) -> bool:
    return chance.random() < 0.02


def _slice(length: int, chance: random.Random) -> tuple[int, int]:
    at = chance.randrange(length + 1)
    return at, min(length, at + chance.choice((1, 2, 4, 16, 64, 512)))


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")


def _copied(tree: Tree) -> Tree:
    return json.loads(json.dumps(tree))


def _places(tree: Tree) -> Sequence[tuple[Tree, Any]]:
    """Return every mapping and list in ``tree``, once for each of its keys and positions, with that."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    return [place for key in keys for place in ((tree, key), *_places(tree[key]))]


def _any_of(tree: Tree, chance: random.Random) -> Tree:
    places = _places(tree)
    inside, key = chance.choice(places) if places else ([None], 0)
    return _copied(inside[key])


def _written(tree: Tree, chance: random.Random) -> bytes:
    """Return ``tree`` in one of the ways to write it."""
    if chance.random() < 0.3:
        return _encoded(json.dumps(tree, ensure_ascii=chance.random() < 0.5))
    text: str = yaml.dump(
        tree,
        Dumper=_DUMPER,
        default_flow_style=chance.choice((False, False, None, True)),
        allow_unicode=chance.random() < 0.5,
        sort_keys=False,
        width=chance.choice((20, 80, 10_000)),
    )
    return _encoded(text)
