"""The store of a reflector: a list that replaces everything, and one event after the other."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.units import Duration
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.pace import BackOff, Pace
from roadstead_backends.kubernetes.store import Changes, Key, Store, version_number
from tests.kubernetes.client.connecting import chance

_NAMES = st.sampled_from(["a", "b", "c", "d"])
_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "list", "event", "take", "bookmark"]), _NAMES), max_size=40
)


class Thing(msgspec.Struct, frozen=True, gc=False):
    """An object with nothing but metadata."""

    metadata: Meta


def _thing(name: str, version: int, uid: str = "u") -> Thing:
    return Thing(Meta(name=name, namespace="models", uid=uid, resource_version=str(version)))


class _Consumer:
    """Whoever takes the changes, and knows only them."""

    def __init__(self) -> None:
        self.known: dict[Key, Thing] = {}

    def take(self, changes: Changes[Thing]) -> None:
        if changes.everything:
            self.known = {}
        for key, thing in changes.objects.items():
            if thing is None:
                self.known.pop(key, None)
            else:
                self.known[key] = thing


@given(_STEPS)
def test_changes_alone_lead_to_what_the_server_has(steps: list[tuple[str, str]]) -> None:
    """However lists, events, bookmarks and takings follow each other, and whatever the events were late by."""
    server: dict[str, Thing] = {}
    late: list[tuple[str, Thing]] = []
    store, consumer = Store[Thing](), _Consumer()
    version = 0
    for step, name in steps:
        match step:
            case "put":
                version += 1
                server[name] = _thing(name, version)
                late.append(("put", server[name]))
            case "delete" if name in server:
                version += 1
                del server[name]
                late.append(("drop", _thing(name, version)))
            case "list":
                store.replace(server.values(), version)
                late.clear()  # a watch goes on from the list
            case "event" if late:
                _apply(store, *late.pop(0))
            case "bookmark" if not late:
                store.advance(version)
            case "take":
                consumer.take(store.take())
    for kind, thing in late:
        _apply(store, kind, thing)
    consumer.take(store.take())
    assert {("models", name): thing for name, thing in server.items()} == store.objects == consumer.known
    assert version == store.version or not any(step in ("list", "event", "bookmark") for step, _ in steps)
    assert not store.take()


def _apply(store: Store[Thing], kind: str, thing: Thing) -> None:
    if kind == "put":
        store.put(thing)
    else:
        store.drop(thing)


def test_what_a_list_did_not_change_stays_the_same_object() -> None:
    """Whoever compares by identity has nothing to do then, and nothing is told as changed."""
    store = Store[Thing]()
    store.replace([_thing("a", 1), _thing("b", 2)], 2)
    before = dict(store.objects)
    store.take()
    assert 1 == store.replace([_thing("a", 1), _thing("b", 3)], 3)
    assert before["models", "a"] is store.objects["models", "a"]
    assert [("models", "b")] == list(store.take().objects)


def test_an_object_of_the_same_name_is_another_one() -> None:
    """Deleted and made anew between two lists, at whatever version: it is told as changed."""
    store = Store[Thing]()
    store.replace([_thing("a", 1, "one")], 1)
    store.take()
    assert 1 == store.replace([_thing("a", 1, "other")], 2)
    assert "other" == store.objects["models", "a"].metadata.uid


def test_the_first_taker_gets_everything() -> None:
    """And once more only what changed since."""
    store = Store[Thing]()
    store.put(_thing("a", 1))
    first = store.take()
    assert (True, [("models", "a")]) == (first.everything, list(first.objects))
    store.drop(_thing("a", 2))
    second = store.take()
    assert (False, {("models", "a"): None}) == (second.everything, dict(second.objects))


def test_what_nobody_takes_is_not_kept_for_ever() -> None:
    """Ten thousand pods that came and went are not ten thousand keys: the taker gets everything instead."""
    store = Store[Thing]()
    store.take()
    version = 0
    for at in range(10_000):
        store.put(_thing(f"pod-{at}", version := version + 1))
        store.drop(_thing(f"pod-{at}", version := version + 1))
    store.put(_thing("stays", version + 1))
    assert len(store._touched) <= 1_001
    changes = store.take()
    assert (True, [("models", "stays")]) == (changes.everything, list(changes.objects))


def test_a_version_never_goes_back() -> None:
    """Neither by an event that is late nor by a bookmark."""
    store = Store[Thing]()
    store.replace([], 10)
    store.advance(7)
    store.put(_thing("a", 8))
    assert 10 == store.version


@pytest.mark.parametrize("version", ["", "abc", "-1", "1.5", "1e3"])
def test_a_version_that_is_no_number_cannot_be_compared(version: str) -> None:
    """Guessing would show what is old as new."""
    with pytest.raises(ValueError, match="no resource version"):
        version_number(version)


# ---- waiting ----

_ASKED: Mapping[str, int | None] = {"nothing": None, "little": 1, "much": 90_000}


@given(st.integers(), st.integers(min_value=1, max_value=60))
def test_waits_grow_and_stay_within_bounds(seed: int, attempts: int) -> None:
    """Each is at most three times the one before, none is shorter than the first or longer than the longest."""
    pace = Pace(first=Duration(100), longest=Duration(5_000))
    waiting = BackOff(pace, chance(seed))
    last = 100
    for _ in range(attempts):
        wait = waiting.next().ms
        assert 100 <= wait <= min(5_000, 3 * last)
        last = wait


def test_waits_of_two_are_not_in_step() -> None:
    """Or all daemons would come back to a server in the same moment."""
    one, other = (BackOff(Pace(), chance(seed)) for seed in (1, 2))
    assert [one.next() for _ in range(5)] != [other.next() for _ in range(5)]


def test_after_many_failures_the_wait_is_long_and_after_a_success_short() -> None:
    """A server that is down for an hour is asked about twice a minute, and one that came back at once."""
    waiting = BackOff(Pace(first=Duration(200), longest=Duration(30_000)), chance(0))
    waits = [waiting.next().ms for _ in range(200)]
    assert sum(waits[100:]) / 100 > 10_000
    waiting.reset()
    assert waiting.next().ms <= 600


@pytest.mark.parametrize("asked", _ASKED.values(), ids=_ASKED)
def test_the_server_s_own_wish_is_the_least(asked: int | None) -> None:
    """It may be longer than any wait of ours."""
    waiting = BackOff(Pace(), chance(0))
    assert (asked or 0) <= waiting.next(asked_ms=asked).ms
