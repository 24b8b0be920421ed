"""Who may act by a lease: candidates with clocks of their own, a store that compares and sets, and lost answers."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.act.lease import LeaseTimes, Standing, claim, let_go, seen, won
from roadstead.spi.lease import Lease
from roadstead.units import Duration

TIMES = LeaseTimes()
NAMES = ("a", "b", "c")


def a_lease(holder: str, transitions: int = 0, renewed: int = 0, version: str = "1") -> Lease:
    """Return what a store may hold."""
    duration = TIMES.duration
    return Lease(holder=holder, transitions=transitions, duration=duration, renewed=renewed, version=version)


class Stored:
    """A store with compare-and-set, whose answers may be lost."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self._version = 0

    def write(self, lease: Lease) -> Lease | None:
        """Store it where nobody wrote since, and return it with its version; ``None`` for a conflict."""
        if lease.version != (self.lease.version if self.lease is not None else ""):
            return None
        self._version += 1
        self.lease = attrs.evolve(lease, version=str(self._version))
        return self.lease


@attrs.define
class Candidate:
    """Somebody who tries every two seconds of its own clock, and whose requests take as long as they like."""

    standing: Standing
    speed: float
    offset: float
    away_until: float = 0.0
    sent: tuple[Lease, float, float] | None = None
    answered: tuple[Lease | None, float, float] | None = None
    acts_at: float = 0.0

    def at(self, now: float) -> float:
        """Return what its clock shows."""
        return self.offset + now * self.speed

    def step(self, now: float, store: Stored, chance: Random) -> None:
        """Do what is due: hear an answer, have a request arrive, or begin anew, unless the network is away."""
        if now < self.away_until:
            return
        if self.answered is not None and now >= self.answered[2]:
            stored, asked_at, _ = self.answered
            self.answered = None
            if stored is not None:
                self.standing = won(self.standing, stored, asked_at, self.at(now))
        elif self.sent is not None and now >= self.sent[2]:
            lease, asked_at, _ = self.sent
            self.sent = None
            self.answered = (store.write(lease), asked_at, now + chance.choice(LATENCIES))
        elif self.sent is None and self.answered is None and now >= self.acts_at:
            self.acts_at = now + 2 / self.speed
            self.standing = seen(self.standing, store.lease, self.at(now))
            wanted = claim(self.standing, self.at(now), int(now * 1000))
            if wanted is not None:
                self.sent = (wanted, self.at(now), now + chance.choice(LATENCIES))
        if chance.random() < 0.02:
            self.away_until = now + chance.choice((3, 8, 12, 20, 40))
        elif chance.random() < 0.005:
            given = let_go(self.standing, int(now * 1000))
            self.standing = attrs.evolve(self.standing, held_until=None)
            self.sent = self.answered = None
            if given is not None:
                store.write(given)


LATENCIES = (0.0, 0.0, 0.0, 0.5, 3.0, 9.0)


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.lists(st.sampled_from((0.85, 1.0, 1.2)), min_size=3, max_size=3))
def test_at_most_one_acts_whatever_is_lost_or_late(seed: int, speeds: list[float]) -> None:
    """For ten minutes three candidates lose the network, wait for answers, and have clocks that agree on nothing."""
    chance, store = Random(seed), Stored()  # noqa: S311  # no secret
    everybody = [
        Candidate(Standing(me=name), speed, chance.randrange(10**6)) for name, speed in zip(NAMES, speeds, strict=True)
    ]
    terms: list[int] = []
    led: set[str] = set()
    for tick in range(1200):
        now = tick / 2
        for one in everybody:
            one.step(now, store, chance)
            acting = [other.standing.me for other in everybody if other.standing.holds(other.at(now))]
            assert len(acting) <= 1
            led.update(acting)
        terms.append(store.lease.transitions if store.lease is not None else -1)
    assert sorted(terms) == terms
    assert led


def test_whoever_is_alone_gets_it_at_once_and_keeps_it() -> None:
    """Nothing stored: it is created, and each renewal moves the end on from before it was asked for."""
    store, standing = Stored(), Standing(me="a")
    for at in (0.0, 2.0, 4.0):
        standing = seen(standing, store.lease, at)
        wanted = claim(standing, at, 1000)
        assert wanted is not None
        stored = store.write(wanted)
        assert stored is not None
        standing = won(standing, stored, at, at + 1)
        assert at + 10 == standing.held_until
        assert 0 == standing.term
    assert standing.holds(13.9)
    assert not standing.holds(14.0)


def test_a_dead_holder_is_replaced_after_its_lease_and_not_before() -> None:
    """What counts is for how long nothing changed on the candidate's own clock, whatever the holder's clock said."""
    stored = a_lease("a", transitions=3, renewed=10**15)
    standing = seen(Standing(me="b"), stored, 100.0)
    assert claim(standing, 114.9, 5) is None
    taken = claim(standing, 115.0, 5)
    assert taken is not None
    assert ("b", 4, "1") == (taken.holder, taken.transitions, taken.version)


def test_a_renewal_is_seen_and_waited_for_anew() -> None:
    """A holder that lives is never pushed aside."""
    standing = seen(Standing(me="b"), a_lease("a", version="1"), 0.0)
    standing = seen(standing, a_lease("a", version="2"), 14.0)
    assert claim(standing, 28.0, 0) is None


def test_what_was_given_back_is_free() -> None:
    """A holder that ends in peace keeps nobody waiting."""
    standing = seen(Standing(me="b"), a_lease("", transitions=2), 0.0)
    taken = claim(standing, 0.0, 0)
    assert taken is not None
    assert 3 == taken.transitions


def test_a_deleted_lease_may_still_be_in_somebodys_hands() -> None:
    """Whoever knew it waits until its holder must have looked; its holder stops at once; terms never repeat."""
    known = seen(Standing(me="b"), a_lease("a", transitions=7), 0.0)
    gone = seen(known, None, 1.0)
    assert claim(gone, 15.9, 0) is None
    taken = claim(gone, 16.0, 0)
    assert taken is not None
    assert (8, "") == (taken.transitions, taken.version)
    holder = won(Standing(me="a"), a_lease("a", transitions=7), 0.0, 0.0)
    assert not seen(holder, None, 1.0).holds(1.0)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_times_that_could_let_two_act_are_refused(every: int, within: int, duration: int) -> None:
    """A holder stops before anybody may take over, and has had the time to renew before that."""
    if every < within < duration:
        LeaseTimes(duration=Duration(duration), renew_within=Duration(within), every=Duration(every))
    else:
        with pytest.raises(ValueError, match="does not hold"):
            LeaseTimes(duration=Duration(duration), renew_within=Duration(within), every=Duration(every))
