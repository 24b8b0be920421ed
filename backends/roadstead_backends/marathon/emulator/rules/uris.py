"""Which texts Java takes for a URI (``java.net.URI``)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_uri"]

_OTHER: Final = r"[^\x00-\x9f\s]"
"""Letters of other alphabets, which Java lets stand as they are."""


def _characters(signs: str) -> str:
    return rf"(?:[A-Za-z0-9{signs}]|%[0-9A-Fa-f]{{2}}|(?![\x00-\x7f]){_OTHER})"


_NAME: Final = _characters(r"\-_.!~*'();:@&=+$,")
_IN_PATH: Final = _characters(r"\-_.!~*'():@&=+$,;/")
_ANYWHERE: Final = _characters(r"\-_.!~*'();/?:@&=+$,\[\]")
_USER: Final = _characters(r"\-_.!~*'();:&=+$,")
_LITERAL: Final = rf"(?:{_USER}*@)?\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\](?::[0-9]*)?"
_AUTHORITY: Final = rf"(?:{_LITERAL}|{_NAME}+)"
_ENDING: Final = rf"(?:\?{_ANYWHERE}*)?(?:\#{_ANYWHERE}*)?"
_HIERARCHY: Final = (
    rf"(?://{_AUTHORITY}(?:/{_IN_PATH}*)?{_ENDING}|//(?=[/?\#])(?:/{_IN_PATH}*)?{_ENDING}"
    rf"|/(?!/){_IN_PATH}*{_ENDING}"
)
_WITH_SCHEME: Final = rf"[A-Za-z][A-Za-z0-9+.\-]*:(?:{_HIERARCHY})|(?!/){_ANYWHERE}+(?:\#{_ANYWHERE}*)?)"
_RELATIVE: Final = rf"{_HIERARCHY}|(?![^/?\#]*:)(?!/){_IN_PATH}*{_ENDING})"
_URI: Final = re.compile(f"(?:{_WITH_SCHEME}|{_RELATIVE})")


def is_uri(text: str) -> bool:
    """Whether Java would make a URI of ``text``: with a scheme or without, of a hierarchy or opaque."""
    return _URI.fullmatch(text) is not None
