"""The words of the parser, and of what it read in them again."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead_backends.marathon.emulator.documents.json_text import NotJson, TooLarge, echoed, parsed
from tests.marathon.replay import world_of

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


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("1" * 311, 'Number is larger than supported for field "cpus"'),
        ("1e6179", 'Number scale (-6179) is out of limits for field "cpus"'),
        ("1e-6179", 'Number scale (6179) is out of limits for field "cpus"'),
    ],
)
def test_a_number_may_only_be_so_long(number: str, words: str) -> None:
    """A larger one is refused before anything else is read."""
    text = f'{{"id":"/a","cpus":{number}'.encode()
    with pytest.raises(TooLarge) as refused:
        parsed(text)
    assert words == str(refused.value)
    reply = world_of("app-create").ask("POST", "/v2/apps", raw=text)
    assert (422, {"message": words}) == (reply.status, reply.json)


def test_a_number_beyond_all_is_as_good_as_infinite() -> None:
    """As a double of Java's is, which scales nothing to nothing."""
    world = world_of("group")
    assert 201 == world.ask("POST", "/v2/apps", {"id": "/g/a", "cmd": "sleep 1", "instances": 0}).status
    assert 200 == world.ask("PUT", "/v2/groups/g", {"scaleBy": 10**309}).status
    assert 0 == world.ask("GET", "/v2/apps/g/a").json["app"]["instances"]


@given(_VALUES)
def test_what_is_echoed_reads_as_what_it_was(value: Any) -> None:
    """Whatever the text has in it, control characters included."""
    assert value == json.loads(echoed(value)) == parsed(echoed(value).encode())


def test_how_deep_a_text_goes_is_limited_by_nothing() -> None:
    """Neither where it is read nor where it is refused."""
    found, depth = parsed(b'[{"a":' * 20_000 + b"1" + b"}]" * 20_000), 0
    while isinstance(found, list):
        found, depth = found[0]["a"], depth + 1
    assert (found, depth) == (1, 20_000)
    with pytest.raises(NotJson, match=r"expected close marker for Array \(start marker at .* column: 20000\]\)"):
        parsed(b"[" * 20_000)
