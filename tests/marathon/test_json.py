"""The words of the parser, and of what it read in them again."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead_backends.marathon.emulator.documents.json_text import NotJson, echoed, parsed

_LEGAL: Final = "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_COMMENT: Final = (
    "Unexpected character ('/' (code 47)): maybe a (non-standard) comment? (not recognized as one since Feature"
    " 'ALLOW_COMMENTS' not enabled for parser)"
)
_CLOSED: Final = (
    "Unexpected close marker '{}': expected '{}' (for {} starting at [Source: (byte[])\"{}\"; line: {}, column: {}])"
)
_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/* c */ 1", _COMMENT),
        ('{"a":1,/* c */"b":2}', _COMMENT),
        ('{"a":1 // c\n}', _COMMENT),
        (",", "Unexpected character (',' (code 44)): expected a value"),
        ("[,]", "Unexpected character (',' (code 44)): expected a value"),
        ("[1,]", "Unexpected character (']' (code 93)): expected a value"),
        ('{"a":}', "Unexpected character ('}' (code 125)): expected a value"),
        ('{"a":]', f"Unexpected character (']' (code 93)): {_LEGAL}"),
        ("[1}", _CLOSED.format("}", "]", "Array", "[1}", 1, 1)),
        ('{\n "a": {"b":1]', _CLOSED.format("]", "}", "Object", '{\n "a": {"b":1]', 2, 7)),
        ("}", _CLOSED.format("}", "]", "root", "}", 1, 0)),
    ],
)
def test_what_stands_in_the_wrong_place_is_named_with_what_should(text: str, words: str) -> None:
    """As Jackson names it."""
    with pytest.raises(NotJson) as refused:
        parsed(text.encode())
    assert words == str(refused.value)


def test_the_mark_of_the_encoding_is_passed_over() -> None:
    """Some editors write it before the first character."""
    assert {"a": 1} == parsed(b'\xef\xbb\xbf{"a":1}')


@pytest.mark.parametrize(
    ("number", "written"),
    [("1.0", "1"), ("0.50", "0.5"), ("-0.0", "0"), ("1e2", "100"), ("1E-12", "1E-12"), ("1.50E30", "1.5E+30")],
)
def test_a_number_is_echoed_without_zeros_that_say_nothing(number: str, written: str) -> None:
    """And with an exponent only where it is very large or very small."""
    assert written == echoed(parsed(number.encode()))
    assert Decimal(number) == Decimal(written)


@given(_VALUES)
def test_what_is_echoed_reads_as_what_it_was(value: Any) -> None:
    """Whatever the text has in it, control characters included."""
    assert value == json.loads(echoed(value)) == parsed(echoed(value).encode())
