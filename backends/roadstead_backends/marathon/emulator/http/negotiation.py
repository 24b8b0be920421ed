"""Media types that a client accepts or sends, as Jersey reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["accepted", "fits", "sent"]

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SENT: Final = re.compile(rf"\s*({_WORD})/({_WORD})\s*(;.*)?")
_RANGE: Final = re.compile(rf"\s*({_WORD})(?:/({_WORD}))?\s*(;.*)?")
_QUALITY: Final = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)")
_WILDCARD: Final = "*"

Media = tuple[str, str]


def sent(header: str) -> Media | None:
    """The type of a body; None where the header has not the form of one."""
    found = _SENT.fullmatch(header)
    return (found[1].lower(), found[2].lower()) if found is not None else None


def accepted(header: str | None) -> Sequence[Media]:
    """The ranges of types that are accepted, those liked best first; without a header, or an empty one, any.

    A type without a subtype means all of its subtypes, so a single ``*`` means everything.
    """
    if not header:
        return ((_WILDCARD, _WILDCARD),)
    ranges = [found for found in (_RANGE.fullmatch(part) for part in header.split(",")) if found is not None]
    liked = [(_quality(found[3]), (found[1].lower(), (found[2] or _WILDCARD).lower())) for found in ranges]
    return [media for _, media in sorted(liked, key=lambda each: (-each[0], each[1].count(_WILDCARD)))]


def _quality(parameters: str | None) -> float:
    found = _QUALITY.search(parameters or "")
    return float(found[1]) if found is not None else 1.0


def fits(ranges: Iterable[Media], kind: str) -> bool:
    """Whether any of the ranges holds a type."""
    main, _, sub = kind.partition("/")
    return any(each[0] in (_WILDCARD, main) and each[1] in (_WILDCARD, sub) for each in ranges)
