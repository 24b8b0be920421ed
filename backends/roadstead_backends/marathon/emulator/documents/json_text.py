"""JSON text as Jackson reads it: the same values, and the same words where it is not JSON.

Numbers that are no integers become :class:`decimal.Decimal`, so that what is echoed in an error is what was sent.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NoReturn

__all__ = ["NoContent", "NotJson", "TooLarge", "echoed", "parsed"]

_LEGAL: Final = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DIGITS: Final = frozenset("0123456789")
_INFINITE: Final = re.compile(r"[+-](INF|Infinity)")
_IDENTIFIER: Final = re.compile(r"[\w$]+")
_ESCAPES: Final = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_WORDS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_COMMENT: Final = (
    "maybe a (non-standard) comment? (not recognized as one since Feature 'ALLOW_COMMENTS' not enabled for parser)"
)
_SHOWN: Final = 500
_DIGITS_LIMIT: Final = 310
_SCALE_LIMIT: Final = 6_178
_LARGEST: Final = Decimal(10) ** 20
_SMALLEST: Final = Decimal(10) ** -10


class NotJson(ValueError):
    """The text is no JSON; its words are Jackson's."""


class TooLarge(ValueError):
    """A number is larger than is read; the words are play-json's."""


class NoContent(NotJson):
    """There was no text at all."""


def parsed(data: bytes) -> Any:
    """Return the first JSON value of ``data``; what follows it is ignored, as Jackson does."""
    try:
        text = data.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        middle = error.reason == "invalid continuation byte"
        place, at = ("middle", error.end) if middle else ("start", error.start)
        raise NotJson(f"Invalid UTF-8 {place} byte 0x{data[at]:x}") from error
    return _Reader(text, len(data)).read()


def echoed(value: Any) -> str:
    """The value as play-json writes it into a message: compact, numbers without zeros that say nothing."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case Decimal():
            return _stripped(value)
        case int() | float():
            return str(value)
        case str():
            return _quoted(value)
        case list():
            return "[" + ",".join(echoed(item) for item in value) + "]"
        case dict():
            return "{" + ",".join(f"{_quoted(key)}:{echoed(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"{value!r} is no JSON value")


def _quoted(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    for sign, escape in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\b", "\\b"), ("\f", "\\f")):
        plain = plain.replace(sign, escape)
    return '"' + _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04X}", plain) + '"'


def _stripped(value: Decimal) -> str:
    """A number as play-json writes it: whole ones without a fraction, very large and very small ones by exponent."""
    plain = value.normalize()
    if plain.is_zero():
        return "0"
    if _SMALLEST < abs(plain) < _LARGEST:
        return f"{plain:f}"
    return str(plain)


@dataclass
class _Opened:
    """An object or array whose end is not reached yet."""

    kind: str
    end: str
    start: int
    value: dict[str, Any] | list[Any]
    name: str = ""

    def put(self, value: Any) -> None:
        """Take what was read as the next of its values."""
        if isinstance(self.value, dict):
            self.value[self.name] = value
        else:
            self.value.append(value)


class _Reader:
    """One pass over one text."""

    def __init__(self, text: str, size: int) -> None:
        self._text = text
        self._size = size
        self._at = 0
        self._field = "null"

    def read(self) -> Any:
        self._skip()
        if self._at >= len(self._text):
            raise NoContent(f"No content to map due to end-of-input\n at {self._source(1, 0)}")
        return self._value()

    def _value(self) -> Any:
        """The value that begins here; how deep it goes is limited by nothing, so nothing here calls itself."""
        opened: list[_Opened] = []
        while True:
            if self._here() in "{[":
                inner = self._open()
                if self._next_or_end(inner) != inner.end:
                    opened.append(inner)
                    self._named(inner)
                    continue
                self._at += 1
                value: Any = inner.value
            else:
                value = self._plain(opened[-1].kind if opened else "root")
            while opened:
                opened[-1].put(value)
                if not self._separated(opened[-1]):
                    self._named(opened[-1])
                    break
                value = opened.pop().value
            else:
                return value

    def _plain(self, within: str) -> Any:
        sign = self._here()
        if sign == '"':
            return self._string("was expecting closing quote for a string value")
        if sign in "+-" or sign in _DIGITS:
            return self._number()
        return self._word(within)

    def _open(self) -> _Opened:
        opened = _Opened("Object", "}", self._at, {}) if self._here() == "{" else _Opened("Array", "]", self._at, [])
        self._at += 1
        return opened

    def _named(self, within: _Opened) -> None:
        """Pass the name of the next value, where it is one of an object."""
        if within.kind == "Array":
            return
        if self._here() != '"':
            self._unexpected("was expecting double-quote to start field name")
        within.name = self._field = self._string(" in field name")
        if self._next("Object") != ":":
            self._unexpected("was expecting a colon to separate field name and value")
        self._at += 1
        self._next("Object")

    def _separated(self, within: _Opened) -> bool:
        """Pass the comma, or the end of the object or array, and say whether it was the end."""
        sign = self._next_or_end(within)
        if sign not in (within.end, ","):
            self._unexpected(f"was expecting comma to separate {within.kind} entries")
        self._at += 1
        if sign == within.end:
            return True
        self._next(within.kind)
        return False

    def _string(self, unended: str) -> str:
        self._at += 1
        letters: list[str] = []
        while self._at < len(self._text):
            sign = self._text[self._at]
            self._at += 1
            if sign == '"':
                return _joined("".join(letters))
            if sign == "\\":
                letters.append(self._escaped())
            elif ord(sign) < 0x20:
                raise NotJson(
                    f"Illegal unquoted character ((CTRL-CHAR, code {ord(sign)})): has to be escaped using backslash to"
                    f" be included in {'name' if 'field' in unended else 'string value'}"
                )
            else:
                letters.append(sign)
        raise NotJson(f"Unexpected end-of-input{unended if unended.startswith(' ') else ': ' + unended}")

    def _escaped(self) -> str:
        if self._at >= len(self._text):
            raise NotJson("Unexpected end-of-input in character escape sequence")
        sign = self._text[self._at]
        self._at += 1
        if sign == "u":
            digits = self._text[self._at : self._at + 4]
            if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                raise NotJson(
                    f"Unexpected character ({_shown(digits[:1])}): expected a hex-digit for character escape sequence"
                )
            self._at += 4
            return chr(int(digits, 16))
        if sign not in _ESCAPES:
            raise NotJson(f"Unrecognized character escape {_shown(sign)}")
        return _ESCAPES[sign]

    def _number(self) -> int | Decimal:
        if endless := _INFINITE.match(self._text, self._at):
            _non_standard(endless[0])
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            self._at += 1
            self._unexpected("expected digit (0-9) to follow minus sign, for valid numeric value", " in numeric value")
        if found[1] == "0" and self._text[found.end(1) : found.end(1) + 1].isdigit():
            raise NotJson("Invalid numeric value: Leading zeroes not allowed")
        self._at = found.end()
        if found[2] is None and self._text[self._at : self._at + 1] == ".":
            self._at += 1
            self._unexpected("Decimal point not followed by a digit", " in numeric value")
        if found[3] is None and self._text[self._at : self._at + 1] in {"e", "E"}:
            self._at += 2 if self._text[self._at + 1 : self._at + 2] in {"+", "-"} else 1
            self._unexpected("Exponent indicator not followed by a digit", " in numeric value")
        return self._limited(found[0])

    def _limited(self, text: str) -> int | Decimal:
        if len(text) > _DIGITS_LIMIT:
            raise TooLarge(f'Number is larger than supported for field "{self._field}"')
        if text.removeprefix("-").isdigit():
            return int(text)
        value = Decimal(text)
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and abs(exponent) > _SCALE_LIMIT:
            raise TooLarge(f'Number scale ({-exponent}) is out of limits for field "{self._field}"')
        return value

    def _word(self, within: str) -> Any:
        if self._here() in "]}" and within == "root":
            self._mismatched(self._here(), within, -1)
        if self._here() in "},]" and (self._here() != "]" or within == "Array"):
            self._unexpected("expected a value")
        found = _IDENTIFIER.match(self._text, self._at)
        if found is None:
            self._unexpected(f"expected a valid value {_LEGAL}")
        word = found[0]
        if word in ("NaN", "Infinity"):
            _non_standard(word)
        if word not in _WORDS:
            raise NotJson(f"Unrecognized token '{word[:256]}': was expecting {_LEGAL}")
        self._at = found.end()
        return _WORDS[word]

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
            self._at += 1

    def _here(self) -> str:
        return self._text[self._at]

    def _next(self, kind: str) -> str:
        self._skip()
        if self._at >= len(self._text):
            raise NotJson(f"Unexpected end-of-input within/between {kind} entries")
        return self._here()

    def _next_or_end(self, within: _Opened) -> str:
        self._skip()
        kind, start = within.kind, within.start
        if self._at >= len(self._text):
            marker = self._marker(start)
            raise NotJson(f"Unexpected end-of-input: expected close marker for {kind} (start marker at {marker})")
        sign = self._here()
        if sign in "]}" and sign != within.end:
            self._mismatched(sign, kind, start)
        return sign

    def _mismatched(self, sign: str, kind: str, start: int) -> NoReturn:
        wanted = "}" if sign == "]" else "]"
        marker = self._marker(start)
        raise NotJson(f"Unexpected close marker '{sign}': expected '{wanted}' (for {kind} starting at {marker})")

    def _marker(self, start: int) -> str:
        """Where an object or array begins; the text as a whole, by -1, begins before its first column."""
        if start < 0:
            return self._source(1, 0)
        return self._source(self._text.count("\n", 0, start) + 1, start - self._text.rfind("\n", 0, start))

    def _unexpected(self, expected: str, where: str = "") -> NoReturn:
        sign = self._text[self._at : self._at + 1]
        if not sign:
            raise NotJson(f"Unexpected end-of-input{where}")
        if sign == "/" and not where:
            expected = _COMMENT
        raise NotJson(f"Unexpected character ({_shown(sign)}){where}: {expected}")

    def _source(self, line: int, column: int) -> str:
        shown = self._text[:_SHOWN]
        cut = f"[truncated {self._size - _SHOWN} bytes]" if self._size > _SHOWN else ""
        return f'[Source: (byte[])"{shown}"{cut}; line: {line}, column: {column}]'


def _non_standard(token: str) -> NoReturn:
    raise NotJson(f"Non-standard token '{token}': enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow")


def _shown(sign: str) -> str:
    return f"'{sign}' (code {ord(sign)})" if sign else "end-of-input"


def _joined(text: str) -> str:
    """Return a text in which two halves of a character that were escaped one by one are that character.

    A half without its other has no form in the answer's encoding and becomes the replacement character.
    """
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
