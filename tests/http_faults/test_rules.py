"""Which request meets which fault, and what that makes of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.testing.http_faults import (
    Cut,
    Insert,
    LoseReply,
    LoseRequest,
    NotApplied,
    Rule,
    Script,
    Silence,
    Truncate,
)
from roadstead.testing.http_faults.shaping import Next, Shaping

_PIECES = st.lists(st.binary(min_size=1, max_size=12), max_size=12)


def test_a_rule_lets_the_first_requests_pass_and_ends() -> None:
    """It counts only requests that it is about."""
    rule = Rule(LoseRequest(), method="GET", path=r"^/pods", skip=1, times=2)
    script = Script.of([rule])
    met = [
        script.meets(*asked)
        for asked in [("GET", "/pods"), ("POST", "/pods"), ("GET", "/nodes")] + [("GET", "/pods")] * 4
    ]
    assert [None, None, None, rule, rule, None, None] == met


def test_two_rules_do_not_share_a_request() -> None:
    """The second one waits for a request of its own."""
    first, second = Rule(LoseRequest()), Rule(LoseReply())
    script = Script.of([first, second])
    assert [first, second, None] == [script.meets("GET", "/") for _ in range(3)]


def test_equal_rules_are_two() -> None:
    """What is written twice happens twice."""
    script = Script.of([Rule(LoseRequest()), Rule(LoseRequest())])
    assert [True, True, False] == [script.meets("GET", "/") is not None for _ in range(3)]


def test_a_rule_that_was_not_applied_fails() -> None:
    """By name, and with how often it was: also one whose request came, and whose fault did not happen."""
    rule = Rule(Cut(5), path="watch", times=2)
    script = Script.of([rule])
    script.meets("GET", "/watch")
    script.note_applied(rule, "GET", "/watch")
    with pytest.raises(NotApplied, match=r"Cut\(after=5\) on any 'watch': 1 of 2"):
        script.check()


def test_a_rule_for_ever_has_to_happen_once() -> None:
    """Or it says nothing either."""
    rule = Rule(LoseRequest(), times=None)
    script = Script.of([rule])
    with pytest.raises(NotApplied, match="0 of at least 1"):
        script.check()
    script.note_applied(rule, "GET", "/")
    script.check()


def test_a_rule_that_was_removed_meets_nothing() -> None:
    """And is not missed."""
    rule = Rule(LoseRequest(), times=None)
    script = Script.of([rule])
    script.remove(rule)
    assert None is script.meets("GET", "/")
    script.check()


@given(_PIECES, st.integers(min_value=0, max_value=60))
def test_a_body_passes_up_to_a_byte_however_it_is_cut_into_pieces(pieces: list[bytes], after: int) -> None:
    """And the fault happens exactly where there is that much of it."""
    whole = b"".join(pieces)
    for fault, then in ((Cut(after), Next.CUT), (Truncate(after), Next.END), (Silence(after), Next.SILENCE)):
        shaping = Shaping(fault)
        passed, last = b"", shaping.begin().next
        for piece in pieces:
            if last is not Next.MORE:
                break
            shaped = shaping.pass_on(piece)
            passed, last = passed + shaped.data, shaped.next
        assert whole[:after] == passed
        assert (then if len(whole) >= after else Next.MORE) is last


@given(st.lists(st.sampled_from([b"a", b"\n", b"bc\n", b"\nd"]), max_size=12), st.integers(min_value=0, max_value=6))
def test_lines_are_inserted_after_so_many_whole_ones(pieces: list[bytes], after: int) -> None:
    """Never within a line, and not at all where there were not so many."""
    lines = b"".join(pieces).splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    shaping = Shaping(Insert(b"END\n", after))
    shaped = shaping.begin()
    passed = shaped.data
    for piece in pieces:
        if shaped.next is not Next.MORE:
            break
        shaped = shaping.pass_on(piece)
        passed += shaped.data
    expected = b"".join(whole[:after]) + b"END\n" if len(whole) >= after else b"".join(lines)
    assert expected == passed
