"""What was asked over HTTP, and how long a server asks to be left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.spi.asked import Request, pause_asked


@given(st.integers(0, 10**6))
def test_seconds_are_waited_and_no_more_than_five_minutes(seconds: int) -> None:
    """Whoever asks for none asks for nothing."""
    assert (min(seconds, 300) * 1000 or None) == pause_asked(str(seconds))


@given(st.text(), st.integers(0, 400))
def test_what_is_no_number_leaves_what_is_said_elsewhere(text: str, otherwise: int) -> None:
    """Whatever stands in the header, nothing is raised."""
    said = pause_asked(text, otherwise=otherwise)
    assert text.isdecimal() or (min(otherwise, 300) * 1000 or None) == said


def test_a_number_without_end_is_a_long_wait() -> None:
    """Python reads no number of so many digits."""
    assert 300_000 == pause_asked("9" * 10_000)


@pytest.mark.parametrize(("method", "reads"), [("GET", True), ("HEAD", True), ("POST", False), ("DELETE", False)])
def test_only_what_reads_changes_nothing(method: str, reads: bool) -> None:
    """A lost answer to it is just no answer."""
    assert reads == Request(cluster="here", method=method, path="/").reads
