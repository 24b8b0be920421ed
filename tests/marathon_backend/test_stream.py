"""The bytes of Marathon's stream become events, however they arrive."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead_backends.marathon.stream import Event, EventReader, pause_s

_kinds = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
_data = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20).map(lambda text: f"{{{text}}}")


@given(
    st.lists(st.builds(Event, _kinds, _data), max_size=5),
    st.sampled_from(["\r\n", "\n", "\r"]),
    st.lists(st.integers(0, 200), max_size=10),
    st.booleans(),
)
def test_events_are_found_wherever_the_stream_is_cut(
    events: list[Event],
    end: str,
    cuts: list[int],
    beating: bool,
) -> None:
    """In the middle of a character or of a line's end, with heartbeats in between."""
    beat = end if beating else ""
    text = "".join(f"event: {one.kind}{end}data: {one.data}{end}{end}{beat}" for one in events).encode()
    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    reader = EventReader()
    found = [event for start, stop in itertools.pairwise(places) for event in reader.fed(text[start:stop])]
    assert events == found


def test_a_heartbeat_is_no_event() -> None:
    """It is an empty line, also when its two bytes come one by one."""
    reader = EventReader()
    assert [] == [
        event for piece in (b"\r", b"\n", b"\r\n", b": note\r\n", b"id: 7\r\n\r\n") for event in reader.fed(piece)
    ]


def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of filling the memory."""
    monkeypatch.setattr("roadstead_backends.marathon.stream._LONGEST", 10)
    with pytest.raises(ValueError, match="longer than 10"):
        list(EventReader().fed(b"data: 1234567890"))


@given(st.integers(1, 2_000), st.floats(0, 1))
def test_pauses_grow_to_half_a_minute_and_are_never_nothing(failures: int, chance: float) -> None:
    """Whatever chance says, somebody who never succeeds does not ask more often than four times a second."""
    assert 0.25 <= pause_s(failures, chance) <= 30.0
    assert pause_s(failures, chance) <= pause_s(failures + 1, chance)
