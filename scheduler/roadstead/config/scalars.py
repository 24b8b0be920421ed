"""What a scalar without quotes may mean.

YAML 1.1 (PyYAML, Ruby), YAML 1.2 (editors, Go) and JSON Schema do not agree on what ``on``, ``010``, ``1:30`` or
``1e3`` is. A fleet file must say the same to every reader, so what they disagree on is refused and the person asked
for a spelling that all of them share. ``y`` and ``n`` are text, as for most readers, whatever
YAML 1.1 says.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import attrs

from roadstead.config.nodes import Scalar
from roadstead.config.source import shown

__all__ = ["Kind", "Meaning", "meaning", "said"]


@enum.unique
class Kind(enum.Enum):
    """What a scalar is to every reader of YAML, or that they do not agree."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    NOTHING = "nothing"
    AMBIGUOUS = "ambiguous"


@attrs.frozen
class Meaning:
    """The kind of a scalar; ``reading`` says what some reader makes of an ambiguous one."""

    kind: Kind
    reading: str = ""


_TEXT = Meaning(Kind.TEXT)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_TRAPS: Final = tuple(
    (re.compile(pattern, re.ASCII), Meaning(Kind.AMBIGUOUS, reading))
    for pattern, reading in (
        (r"yes|Yes|YES|on|On|ON", "true in YAML 1.1"),
        (r"no|No|NO|off|Off|OFF", "false in YAML 1.1"),
        (r"[-+]?0[0-7_]+", "an octal number in YAML 1.1"),
        (r"[-+]?0[0-9]+", "a number to some and text to others"),
        (r"[-+]?0o[0-7]+", "an octal number in YAML 1.2"),
        (r"[-+]?0[xX][0-9a-fA-F_]+", "a hexadecimal number"),
        (r"[-+]?0b[01_]+", "a binary number in YAML 1.1"),
        (r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", "a number in base 60 in YAML 1.1"),
        (r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?", "a number in YAML 1.1, where _ groups digits"),
        (r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)", "a number to some and text to others"),
        (r"[-+]?\.(inf|Inf|INF)", "infinity"),
        (r"\.(nan|NaN|NAN)", "not a number"),
        (r"[-+]\.?[0-9][0-9_.]*|\.[0-9][0-9_]*|[0-9][0-9_]*\.", "a number to some and text to others"),
        (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?", "a date in YAML 1.1"),
        (r"=", "a default value in YAML 1.1"),
        (r"<<", "a merge key in YAML 1.1"),
    )
)
_LONGEST_TRAP: Final = 128  # some of the patterns take quadratic time
_MAY_BE_TRAP: Final = frozenset("yYnNoO0123456789+-.=<")


def meaning(scalar: Scalar) -> Meaning:
    """Return what ``scalar`` is; quoted ones are text.

    >>> from roadstead.config.source import Spot
    >>> [meaning(Scalar(Spot(1, 1), text, True)).kind.name for text in ("a", "5", "true", "~", "on", "1:30")]
    ['TEXT', 'NUMBER', 'BOOLEAN', 'NOTHING', 'AMBIGUOUS', 'AMBIGUOUS']
    """
    text = scalar.text
    if not scalar.plain:
        return _TEXT
    if text in ("", "~", "null", "Null", "NULL"):
        return Meaning(Kind.NOTHING)
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return Meaning(Kind.BOOLEAN)
    if text[0] not in _MAY_BE_TRAP:
        return _TEXT
    if _NUMBER.fullmatch(text):
        return Meaning(Kind.NUMBER)
    if len(text) > _LONGEST_TRAP:
        return _TEXT
    return next((trap for pattern, trap in _TRAPS if pattern.fullmatch(text)), _TEXT)


def said(scalar: Scalar) -> str:
    """Return a scalar for a message: in quotes, unless it is a number or a boolean."""
    bare = meaning(scalar).kind in (Kind.NUMBER, Kind.BOOLEAN) and len(scalar.text) <= 64
    return scalar.text if bare else shown(scalar.text)
