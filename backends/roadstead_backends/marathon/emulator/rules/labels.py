"""Selectors of labels: ``a, b==c, d!=e, f in (x,y), g notin (z)``, all of them to hold (``LabelSelectorParsers``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from roadstead_backends.marathon.emulator.refusals import illegal

__all__ = ["selector_of"]

_TERM: Final = re.compile(r"\s*((?:\\.|[-A-Za-z0-9_])+)")
_EQUALITY: Final = re.compile(r"\s*(==|!=)")
_SET: Final = re.compile(r"\s*(in|notin)\s*\(")
_ESCAPED: Final = re.compile(r"\\(.)")

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]


def selector_of(text: str) -> Selector:
    """Return the test that ``text`` describes; refuse what is no selector."""
    try:
        selectors = _Parser(text).selectors()
    except _Unparsable as error:
        message = f"Can not parse label selector {text}. Reason: {error}"
        raise illegal(message) from None
    return lambda labels: all(selector(labels) for selector in selectors)


class _Unparsable(ValueError):
    pass


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def selectors(self) -> list[Selector]:
        found: list[Selector] = []
        first = self._selector()
        while first is not None:
            found.append(first)
            mark = self._at
            if not self._passed(","):
                break
            first = self._selector()
            if first is None:
                self._at = mark
        if self._text[self._at :].strip():
            raise _Unparsable("end of input expected")
        return found

    def _selector(self) -> Selector | None:
        key = self._term()
        if key is None:
            return None
        mark = self._at
        found = _EQUALITY.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
            value = self._term()
            if value is not None:
                equal = found[1] == "=="
                return lambda labels: key in labels and (labels[key] == value) is equal
            self._at = mark
        found = _SET.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
            values = self._set()
            if values is not None:
                within = found[1] == "in"
                return lambda labels: key in labels and (labels[key] in values) is within
            self._at = mark
        return lambda labels: key in labels

    def _set(self) -> frozenset[str] | None:
        values: list[str] = []
        value = self._term()
        while value is not None:
            values.append(value)
            if not self._passed(","):
                break
            value = self._term()
            if value is None:
                return None
        return frozenset(values) if self._passed(")") else None

    def _term(self) -> str | None:
        found = _TERM.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return _ESCAPED.sub(r"\1", found[1])

    def _passed(self, sign: str) -> bool:
        found = re.compile(rf"\s*{re.escape(sign)}").match(self._text, self._at)
        if found is None:
            return False
        self._at = found.end()
        return True
