"""How many replicas go to which cluster, by itself: in order, by weight, and where nobody can tell."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from roadstead.decide.fit import Fit, No, Unknown, Yes
from roadstead.decide.spread import Option, Spread, assign, shares
from roadstead.reasons import Reason, ReasonCode

FULL = Reason(code=ReasonCode.NO_CAPACITY, detail="it is full")


def option(
    cluster: str,
    standing: int = 0,
    *,
    room: int | None = 0,
    weight: int | None = None,
    is_open: bool = True,
    trusted: bool = True,
    reserve: bool = False,
) -> Option:
    """Return a cluster with ``room`` for so many more than stand there; ``None``: it does not say."""

    def answer(count: int) -> Fit:
        if room is None:
            return Unknown()
        return Yes(min(count, room)) if room else No(FULL)

    return Option(
        cluster=cluster,
        standing=standing,
        open=is_open,
        room=answer,
        weight=weight,
        trusted=trusted,
        reserve=reserve,
    )


@st.composite
def options(draw: st.DrawFn) -> tuple[Option, ...]:
    """Up to four clusters, all with a weight or none."""
    weighted = draw(st.booleans())
    count = draw(st.integers(1, 4))
    return tuple(
        option(
            f"c{number}",
            draw(st.integers(0, 5)),
            room=draw(st.none() | st.integers(0, 5)),
            weight=draw(st.integers(1, 100)) if weighted else None,
            is_open=draw(st.booleans()),
            trusted=draw(st.booleans()),
        )
        for number in range(count)
    )


# ---- in order ----


def test_the_first_cluster_takes_all_that_it_has_room_for_and_the_next_one_the_rest() -> None:
    """Overflow goes to the next cluster, and no further than it must."""
    found = assign(5, [option("here", room=2), option("there", room=9), option("yonder", room=9)])
    assert {"here": 2, "there": 3, "yonder": 0} == found.counts


def test_what_has_room_nowhere_waits_on_the_first_cluster_that_is_open() -> None:
    """Whoever makes room there is told how many wait."""
    found = assign(3, [option("silent", 0, is_open=False), option("here", 1), option("there", 1)])
    assert {"silent": 0, "here": 2, "there": 1} == found.counts


def test_what_overflowed_comes_back_where_there_is_room_again() -> None:
    """A cluster that was never found full is trusted at once."""
    assert {"here": 2, "there": 0} == assign(2, [option("here", 0, room=2), option("there", 2)]).counts


def test_a_cluster_that_was_full_a_moment_ago_gets_nothing_back_yet() -> None:
    """Room that comes and goes moves nothing; what stands nowhere yet goes there all the same."""
    here, there = option("here", 1, room=3, trusted=False), option("there", 1, room=3)
    assert {"here": 1, "there": 1} == assign(2, [here, there]).counts
    assert {"here": 2, "there": 1} == assign(3, [here, there]).counts


def test_less_is_taken_from_the_last_cluster_first() -> None:
    """What overflowed shrinks before what is where it should be."""
    assert {"here": 2, "there": 0} == assign(2, [option("here", 2), option("there", 2)]).counts


def test_a_cluster_that_does_not_say_is_tried_for_all() -> None:
    """Its own scheduler has to find out."""
    assert {"here": 3, "there": 0} == assign(3, [option("here", room=None), option("there", room=9)]).counts


# ---- by weight ----


def test_weights_give_whole_replicas_by_the_largest_remainder() -> None:
    """The sum is exact, and of equal remainders the first cluster has it."""
    found = assign(10, [option("here", room=9, weight=70), option("there", room=9, weight=30)])
    assert {"here": 7, "there": 3} == found.counts
    assert {"here": 2, "there": 1} == assign(
        3, [option("here", room=9, weight=1), option("there", room=9, weight=1)]
    ).counts


def test_what_does_not_fit_into_its_share_goes_to_others() -> None:
    """A weight is a wish, the number of replicas is an order."""
    found = assign(10, [option("here", room=2, weight=70), option("there", room=9, weight=30)])
    assert {"here": 2, "there": 8} == found.counts
    assert {"here"} == found.lacking


@given(wanted=st.integers(0, 1000), weights=st.lists(st.integers(1, 10_000), min_size=1, max_size=6))
def test_shares_are_exact_and_at_most_one_replica_off(wanted: int, weights: list[int]) -> None:
    """They add up, and none is a whole replica away from its part."""
    found = shares(wanted, weights)
    assert wanted == sum(found)
    assert all(abs(share - wanted * weight / sum(weights)) < 1 for share, weight in zip(found, weights, strict=True))


# ---- silent clusters, and the reserve ----


def test_a_silent_cluster_keeps_what_it_had_and_gets_nothing_more() -> None:
    """What is wanted on top goes where somebody answers."""
    found = assign(4, [option("here", 2, is_open=False), option("there", room=9)])
    assert {"here": 2, "there": 2} == found.counts


def test_the_reserve_is_used_only_while_the_cluster_itself_is_silent() -> None:
    """What a command sent to one cluster waits there; where that is silent, it is made up in reserve."""
    reserve = option("there", 2, room=9, reserve=True)
    assert {"here": 2, "there": 0} == assign(2, [option("here", 0, room=0), reserve]).counts
    assert {"here": 0, "there": 2} == assign(2, [option("here", 0, is_open=False), reserve]).counts


# ---- whatever the clusters are ----


@given(wanted=st.integers(0, 12), clusters=options())
def test_every_replica_is_counted_once(wanted: int, clusters: tuple[Option, ...]) -> None:
    """All of what is wanted is on some cluster, or left because no cluster is open; none is ever below 0."""
    found = assign(wanted, clusters)
    assert wanted == sum(found.counts.values()) + found.left
    assert all(count >= 0 for count in found.counts.values())
    assert not found.left or not any(one.open for one in clusters)
    assert all(found.counts[one.cluster] <= one.standing for one in clusters if not one.open)


@given(wanted=st.integers(0, 12), clusters=options())
def test_when_it_has_come_about_nothing_more_moves(wanted: int, clusters: tuple[Option, ...]) -> None:
    """With the replicas where they were sent, as far as there is room, the answer is the same: it is a fixpoint."""
    first = assign(wanted, clusters)
    second = assign(wanted, [_as_sent(one, first) for one in clusters])
    third = assign(wanted, [_as_sent(_as_sent(one, first), second) for one in clusters])
    assert second.counts == third.counts


def _as_sent(one: Option, sent: Spread) -> Option:
    """Return a cluster on which stands what was sent there and fits."""
    match one.room(99):
        case Yes(count=room):
            pass
        case No():
            room = 0
        case _:
            return attrs.evolve(one, standing=sent.counts[one.cluster])
    standing = min(sent.counts[one.cluster], one.standing + room)
    return attrs.evolve(
        option(one.cluster, standing, room=one.standing + room - standing, weight=one.weight),
        open=one.open,
        trusted=one.trusted,
    )
