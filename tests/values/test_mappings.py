"""Mappings that are made of others by what is different."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.mappings import changed, with_changes

KEYS = st.integers(0, 5)


@given(
    before=st.dictionaries(KEYS, st.text(max_size=2)), changes=st.dictionaries(KEYS, st.none() | st.text(max_size=2))
)
def test_what_is_changed_replaces_what_was_and_nothing_takes_it_out(
    before: dict[int, str], changes: dict[int, str | None]
) -> None:
    """A change stands in the place of what was there, and ``None`` leaves nothing there."""
    expected = {key: value for key, value in {**before, **changes}.items() if value is not None}
    assert expected == dict(with_changes(before, changes))
    assert expected == dict(with_changes(MappingProxyType(before), changes))


@given(
    before=st.dictionaries(KEYS, st.integers(0, 2)),
    after=st.dictionaries(KEYS, st.integers(0, 2)),
    proxied=st.booleans(),
)
def test_changed_is_what_has_another_value_or_is_on_one_side_only(
    before: dict[int, int], after: dict[int, int], *, proxied: bool
) -> None:
    """Whatever the order of the keys, each of which the value differs is named, and no other."""
    expected = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert expected == changed(before, MappingProxyType(after) if proxied else after)


def test_an_equal_value_that_is_another_object_is_changed() -> None:
    """It is identity that counts: to compare all that a value holds takes as long as to make it."""
    assert frozenset({1}) == changed({1: ["one"], 2: None}, {1: ["one"], 2: None})


def test_what_it_is_made_of_stays_as_it_was() -> None:
    """The old mapping keeps what it has, so that whoever has it sees nothing of the new one."""
    before = MappingProxyType({1: "one"})
    after = with_changes(before, {1: "other", 2: "two"})
    assert ({1: "one"}, {1: "other", 2: "two"}) == (dict(before), dict(after))


def test_without_changes_it_is_the_same_object() -> None:
    """Where nothing is different, what is compared by identity stays the same."""
    before = MappingProxyType({1: "one"})
    assert with_changes(before, {}) is before


def test_nobody_can_change_what_is_returned() -> None:
    """The new mapping is as closed as the old one."""
    after = with_changes({}, {1: "one"})
    with pytest.raises(TypeError):
        after[2] = "two"  # type: ignore[index]
