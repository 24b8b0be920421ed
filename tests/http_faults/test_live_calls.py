"""What can go wrong with a story's calls, and how many replicas there were at once, without any cluster."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from roadstead.testing.http_faults import Reply
from roadstead.testing.live_faults.calls import EFFECTS, Call, Kind, Point, Sort, plans, points
from roadstead.testing.live_faults.subject import Tally

LOOK, WRITE, FOLLOW = Call("look", Sort.READ), Call("write", Sort.WRITE), Call("follow", Sort.WATCH)
CALLS = st.lists(st.sampled_from([LOOK, WRITE, FOLLOW]), max_size=6)


class Plain:
    """A dialect of three calls, one of which follows what is ours."""

    watches: tuple[str, ...] = ("follow",)
    other_watches: tuple[str, ...] = ("follow the rest",)

    def list_of(self, watch: str) -> str:
        """Return the one list."""
        return f"list of {watch}"

    def call(self, method: str, target: str) -> Call | None:  # noqa: ARG002  # nothing is asked here
        """Return nothing."""
        return None

    def refusal(self, status: int, *, after_s: int | None = None) -> Reply:  # noqa: ARG002  # nothing is refused here
        """Return a bare refusal."""
        return Reply(status)


@given(st.lists(CALLS, min_size=1, max_size=4))
def test_a_point_is_a_call_that_every_telling_makes(tellings: list[list[Call]]) -> None:
    """So a fault that is tried there has a call to happen to, as often as tellings are alike."""
    found = points(Plain(), tellings)
    for call in (LOOK, WRITE, FOLLOW):
        fewest = min(Counter(one)[call] for one in tellings)
        there = [one.nth for one in found if (one.name, one.sort) == (call.name, call.sort)]
        assert list(range(fewest)) == there


@given(CALLS)
def test_an_open_watch_is_struck_before_the_first_write_and_after_each(calls: list[Call]) -> None:
    """What follows the rest is struck once, at the beginning."""
    found = [one for one in points(Plain(), [calls]) if one.sort is Sort.WATCHED]
    expected = [Point("follow", nth, Sort.WATCHED) for nth in range(Counter(calls)[WRITE] + 1)]
    assert [*expected, Point("follow the rest", 0, Sort.WATCHED)] == found


@given(CALLS)
def test_who_leads_is_lost_before_the_first_write_and_after_each_where_somebody_is_elected(calls: list[Call]) -> None:
    """Nobody is, unless it is said."""
    leads = [Point("leader", nth, Sort.LEADER) for nth in range(Counter(calls)[WRITE] + 1)]
    assert leads == [one for one in points(Plain(), [calls], elects=True) if one.sort is Sort.LEADER]
    assert [] == [one for one in points(Plain(), [calls]) if one.sort is Sort.LEADER]


@given(CALLS)
def test_plans_are_points_times_what_can_go_wrong_there(calls: list[Call]) -> None:
    """Each once; their number is known before any is told."""
    found = points(Plain(), [calls])
    made = list(plans(found))
    assert sum(len(EFFECTS[point.sort]) for point in found) == len(made) == len(set(made))


@given(CALLS)
def test_a_cluster_says_what_has_a_meaning_there(calls: list[Call]) -> None:
    """What it leaves out is in no plan, whatever the point."""
    effects = {sort: tuple(kind for kind in kinds if kind is not Kind.EXPIRED) for sort, kinds in EFFECTS.items()}
    found = points(Plain(), [calls])
    assert [plan for plan in plans(found) if plan.kind is not Kind.EXPIRED] == list(plans(found, effects))


def test_whatever_can_go_wrong_is_tried_somewhere() -> None:
    """A kind that no sort of call has would be a word without meaning."""
    assert set(Kind) == {kind for kinds in EFFECTS.values() for kind in kinds}


def test_the_fewest_and_the_most_are_kept_from_the_beginning_on() -> None:
    """What was before does not count, and who was told to stop is in neither number."""
    tally = Tally()
    tally.see(ready="ab", alive="abc")
    tally.begin()
    tally.see(ready="a", alive="ad")
    tally.see(ready="adef", alive="adef")
    assert (1, 4) == tally.range
    assert set("abcdef") == tally.started


def test_what_a_cluster_made_unasked_is_not_held_against_us() -> None:
    """It was started all the same."""
    tally = Tally()
    tally.see(ready="ab", alive="abcd", unasked=1)
    assert (0, 3) == tally.range
    assert set("abcd") == tally.started
