"""What a shell would run: a command line as commands, words and variables, as far as servers are started with. Pure.

Of the shell's language only this is read: simple commands one after the other, quotes, variables, assignments, and
output into a file. A pipe, a condition or a command within a word is something that nobody but a shell can tell the
meaning of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

__all__ = ["Command", "Variable", "Word", "commands", "expanded"]


@attrs.frozen
class Variable:
    """A variable in a word, by its name."""

    name: str


Word = tuple[str | Variable, ...]
"""The pieces of a word, quotes removed."""


@attrs.frozen(kw_only=True)
class Command:
    """One simple command; ``output`` is the file that its output goes to, where that was redirected."""

    assignments: tuple[tuple[str, Word], ...] = ()
    words: tuple[Word, ...] = ()
    output: Word | None = None


_BLANK: Final = re.compile(r"(?:[ \t]|\\\n)+|#[^\n]*")
_END: Final = re.compile(r"(?:\n|;|&&)\s*")
_TO: Final = re.compile(r">(?![>&(])[ \t]*")
_TO_SAME: Final = re.compile(r"2>&1")
_PLAIN: Final = re.compile(r"[^\s'\"\\$`;&|<>()#]+|#")
_SINGLE: Final = re.compile(r"'([^']*)'")
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_QUOTED_TEXT: Final = re.compile(r"[^\"\\$`]+")
_QUOTED_ESCAPE: Final = re.compile(r"\\([$`\"\\])|\\\n|(\\)")
_KEYWORDS: Final = frozenset(
    {
        *("if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done"),
        *("case", "esac", "{", "}", "!", "function"),
    }
)
_ASSIGNED: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def commands(text: str) -> tuple[Command, ...]:
    """Return the commands of a script in their order; raises :class:`ValueError` for what only a shell understands.

    >>> [[expanded(word, {}) for word in one.words] for one in commands("cd /srv && exec serve '--a=b c'")]
    [['cd', '/srv'], ['exec', 'serve', '--a=b c']]
    """
    return _Reader(text).commands()


def expanded(word: Word, known: Mapping[str, str]) -> str:
    """Return a word as text; a variable that is not ``known`` stays as ``$NAME``.

    >>> expanded(("--port=", Variable("PORT0")), {}), expanded((Variable("A"), "b"), {"A": "a"})
    ('--port=$PORT0', 'ab')
    """
    return "".join(known.get(one.name, f"${one.name}") if isinstance(one, Variable) else one for one in word)


class _Reader:
    """Goes through a script once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def commands(self) -> tuple[Command, ...]:
        found, words, output = [], list[Word](), None
        while self._at < len(self._text):
            if self._takes(_BLANK) or self._takes(_TO_SAME):
                continue
            if self._takes(_END):
                found.append(_command(words, output))
                words, output = [], None
            elif self._takes(_TO):
                output = self._word()
            else:
                words.append(self._word())
        found.append(_command(words, output))
        return tuple(one for one in found if one.words or one.assignments)

    def _word(self) -> Word:
        pieces: list[str | Variable] = []
        start = self._at
        while self._at < len(self._text):
            if plain := self._takes(_PLAIN):
                pieces.append(plain[0])
            elif single := self._takes(_SINGLE):
                pieces.append(single[1])
            elif variable := self._takes(_VARIABLE):
                pieces.append(Variable(variable[1] or variable[2]))
            elif self._text[self._at] == '"':
                self._at += 1
                pieces += self._quoted()
            elif not self._text.startswith("\\\n", self._at) and (escaped := self._takes(_ESCAPED)):
                pieces.append(escaped[1])
            else:
                break
        if self._at == start:
            rest = self._text[start : start + 20]
            raise ValueError(f"only a shell understands {rest!r}")
        return _joined(pieces)

    def _quoted(self) -> list[str | Variable]:
        pieces: list[str | Variable] = []
        while not self._text.startswith('"', self._at):
            if text := self._takes(_QUOTED_TEXT):
                pieces.append(text[0])
            elif variable := self._takes(_VARIABLE):
                pieces.append(Variable(variable[1] or variable[2]))
            elif escaped := self._takes(_QUOTED_ESCAPE):
                pieces.append(escaped[1] or escaped[2] or "")
            else:
                rest = self._text[self._at : self._at + 20]
                raise ValueError(f"only a shell understands {rest!r}" if rest else "a quote is not closed")
        self._at += 1
        return pieces

    def _takes(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found


def _command(words: list[Word], output: Word | None) -> Command:
    """Return a command: the words in front that are assignments are no part of what is run."""
    assignments = []
    while words and isinstance(words[0][0], str) and (found := _ASSIGNED.fullmatch(words[0][0])):
        first = words.pop(0)
        assignments.append((found[1], _joined([found[2], *first[1:]])))
    if words and words[0][0] in _KEYWORDS:
        raise ValueError(f"only a shell understands {words[0][0]!r}")
    return Command(assignments=tuple(assignments), words=tuple(words), output=output)


def _joined(pieces: list[str | Variable]) -> Word:
    """Return pieces with neighbouring texts as one; a word without any is an empty text."""
    found: list[str | Variable] = []
    for piece in pieces:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif piece != "":
            found.append(piece)
    return tuple(found) or ("",)
