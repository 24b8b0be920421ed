"""Which versions are served: for any folder and any state."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roadstead_plugins.runtimes.tf_serving.server.versions import All, Latest, Specific, aspired, change

NAMES = st.lists(
    st.one_of(st.integers(0, 12).map(str), st.sampled_from(["tmp", ".export-1", "007", "1a", ""])), max_size=8
)
NUMBERS = st.frozensets(st.integers(0, 5))


@given(NAMES, st.integers(1, 4), NUMBERS)
def test_a_policy_chooses_among_what_is_there(names: list[str], count: int, specific: frozenset[int]) -> None:
    """Latest takes the highest so many, specific takes what it names, all takes all; nothing else is ever chosen."""
    there = aspired(All(), names)
    assert {int(name) for name in names if name.isdigit()} == set(there)
    assert sorted(there)[-count:] == sorted(aspired(Latest(count), names))
    assert specific & set(there) == set(aspired(Specific(specific), names))
    assert all(name in names and int(name) == version for version, name in there.items())


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_change_leaves_no_gap(wanted: frozenset[int], available: frozenset[int], failed: frozenset[int]) -> None:
    """Something wanted serves before what is not wanted goes; a failed version is left alone; then all is stable."""
    failed -= available
    step = change(wanted=wanted, available=available, failed=failed)
    assert not set(step.load) & failed
    assert not set(step.unload) & wanted
    if wanted and step.unload:
        assert wanted & available
    after = (available | set(step.load)) - set(step.unload)
    again = change(wanted=wanted, available=after, failed=failed)
    final = (after | set(again.load)) - set(again.unload)
    last = change(wanted=wanted, available=final, failed=failed)
    assert ((), ()) == (last.load, last.unload)
    assert wanted - failed <= final
    if available and wanted - failed:
        assert final == (wanted - failed) | (wanted & available)
