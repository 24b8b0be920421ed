"""Regular expressions as Java reads them, said so that Python finds the same.

What the two say differently is rewritten; what only one of them knows is refused where Java refuses it. An intersection
of classes, which Python has no form for, finds any one character, and a flag that begins in the middle holds for all.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["NoPattern", "java_pattern"]

_REPEATED: Final = re.compile(r"\{[0-9]+(,[0-9]*)?\}")
_GROUP: Final = re.compile(
    r"\(\?(?:(?P<plain>[:=!>]|<[=!])|<(?P<name>[a-zA-Z][a-zA-Z0-9]*)>|(?P<flags>[a-zA-Z-]*[:)]))"
)
_REFERENCE: Final = re.compile(r"\\k<([a-zA-Z][a-zA-Z0-9]*)>")
_PROPERTY: Final = re.compile(r"\\([pP])(?:\{(?:Is)?(\w+)\}|(\w))")
_CODE: Final = re.compile(r"\\(?:x\{([0-9a-fA-F]+)\}|0([0-3]?[0-7]{1,2}))")
_KNOWN_FLAGS: Final = frozenset("idmsuxU-:)")
_KEPT_FLAGS: Final = frozenset("imsx-:)")
_SAME: Final = frozenset("tnrfaxudDsSwWbBA")
_OTHER: Final = {"e": r"\x1b", "z": r"\Z", "Z": r"(?=\n?\Z)", "G": "", "R": r"(?:\r\n|[\n-\r])", "X": "."}
_SPACES: Final = {"h": r" \t", "v": r"\n-\r"}
_CLASSES: Final = {
    **dict.fromkeys(("L", "Alpha", "Alphabetic", "Letter"), "a-zA-Z"),
    **dict.fromkeys(("Lu", "Upper", "Uppercase"), "A-Z"),
    **dict.fromkeys(("Ll", "Lower", "Lowercase"), "a-z"),
    **dict.fromkeys(("N", "Nd", "Digit"), "0-9"),
    **dict.fromkeys(("Space", "White_Space"), r"\s"),
    "Alnum": "a-zA-Z0-9",
    "XDigit": "0-9a-fA-F",
    "Punct": r"!-/:-@\[-`{-~",
    "P": r"!-/:-@\[-`{-~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "Graph": "!-~",
    "Print": " -~",
    "ASCII": r"\x00-\x7f",
}


class NoPattern(ValueError):
    """The text is no regular expression."""


def java_pattern(text: str) -> re.Pattern[str]:
    """The pattern that Java reads in ``text``."""
    try:
        return re.compile(_Rewriter(text).rewritten())
    except (re.error, OverflowError) as error:
        raise NoPattern(text) from error


class _Rewriter:
    """One pass over one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags = ""

    def rewritten(self) -> str:
        """The expression in Python's form."""
        parts: list[str] = []
        while self._at < len(self._text):
            parts.append(self._next())
        return f"(?{self._flags})" * bool(self._flags) + "".join(parts)

    def _next(self) -> str:
        match self._text[self._at]:
            case "\\":
                return self._escaped(in_class=False)
            case "[":
                return self._class()
            case "{":
                return self._taken(_REPEATED)[0]
            case "(" if self._text.startswith("(?", self._at):
                return self._group()
            case sign:
                self._at += 1
                return sign

    def _taken(self, form: re.Pattern[str]) -> re.Match[str]:
        found = form.match(self._text, self._at)
        if found is None:
            raise NoPattern(self._text)
        self._at = found.end()
        return found

    def _group(self) -> str:
        found = self._taken(_GROUP)
        if found["name"] is not None:
            return f"(?P<{found['name']}>"
        if found["plain"] is not None:
            return found[0]
        if not _KNOWN_FLAGS.issuperset(found["flags"]):
            raise NoPattern(self._text)
        kept = "".join(sign for sign in found["flags"] if sign in _KEPT_FLAGS)
        if kept.endswith(":"):
            return f"(?{kept.replace('-:', ':')}"
        self._flags += kept.removesuffix(")").partition("-")[0]
        return ""

    def _escaped(self, *, in_class: bool) -> str:
        sign = self._text[self._at + 1 : self._at + 2]
        if sign == "Q":
            quoted = self._text[self._at + 2 :].partition("\\E")
            self._at += 2 + len(quoted[0]) + len(quoted[1])
            return re.escape(quoted[0])
        if sign in ("p", "P"):
            return self._property(in_class=in_class)
        if sign == "0" or self._text.startswith("\\x{", self._at):
            code = self._taken(_CODE)
            return re.escape(chr(int(code[1], 16) if code[1] else int(code[2], 8)))
        if sign == "k":
            return f"(?P={self._taken(_REFERENCE)[1]})"
        self._at += 2
        if sign in _SPACES:
            return _SPACES[sign] if in_class else f"[{_SPACES[sign]}]"
        if sign in _OTHER:
            return _OTHER[sign]
        if not sign or (sign.isascii() and sign.isalpha() and sign not in _SAME):
            raise NoPattern(self._text)
        return f"\\{sign}"

    def _property(self, *, in_class: bool) -> str:
        found = self._taken(_PROPERTY)
        signs = _CLASSES.get(found[2] or found[3])
        if signs is None:
            raise NoPattern(self._text)
        if in_class:
            return signs
        return f"[{'^' if found[1] == 'P' else ''}{signs}]"

    def _class(self) -> str:
        """A class of characters; classes within it add theirs."""
        self._at += 1
        inner, nothing_yet, any_one = [], True, False
        if self._text.startswith("^", self._at):
            inner.append("^")
            self._at += 1
        while self._at < len(self._text):
            sign = self._text[self._at]
            if sign == "]" and not nothing_yet:
                self._at += 1
                return "." if any_one else f"[{''.join(inner)}]"
            if sign == "[":
                nested = self._class()
                any_one = any_one or nested == "." or nested.startswith("[^")
                inner.append(nested[1:-1])
            elif sign == "\\":
                inner.append(self._escaped(in_class=True))
            else:
                any_one = any_one or self._text.startswith("&&", self._at)
                inner.append(f"\\{sign}" if sign == "]" else sign)
                self._at += 1
            nothing_yet = False
        raise NoPattern(self._text)
