"""The arithmetic of a lease: who may take it, and until when whoever has it may act. Pure.

As in Kubernetes' own leader election, no clock is compared with another's. A candidate measures on its own clock for
how long it has seen *no change*, and takes the lease over when that is longer than the lease's duration. A holder
measures from before it *asked* for a renewal, and stops acting when the last one that succeeded is older than
``renew_within``. So at most one acts as long as no clock runs faster than another by ``duration / renew_within``, which
is 1.5.
"""

from __future__ import annotations

import attrs

from roadstead.spi.lease import Lease
from roadstead.units import Duration

__all__ = ["LeaseTimes", "Standing", "claim", "let_go", "seen", "won"]


def _in_order(_instance: object, _attribute: attrs.Attribute[Duration], value: Duration) -> None:
    if not value.ms:
        raise ValueError("a lease that lasts for no time is held by nobody")


@attrs.frozen(kw_only=True)
class LeaseTimes:
    """For how long a lease counts without a renewal, when its holder stops acting, and how often it renews."""

    duration: Duration = attrs.field(default=Duration(15_000), validator=_in_order)
    renew_within: Duration = Duration(10_000)
    every: Duration = Duration(2_000)

    def __attrs_post_init__(self) -> None:
        if not self.every.ms < self.renew_within.ms < self.duration.ms:
            raise ValueError(f"{self.every} < {self.renew_within} < {self.duration} does not hold")


@attrs.frozen(kw_only=True)
class Standing:
    """What one candidate knows; its moments are in seconds of its own clock.

    ``stored`` is what the store was last seen to hold, ``unchanged_since`` when that was first seen. ``held_until`` is
    when it must have stopped acting; ``None`` says that it does not hold the lease. ``latest`` is the highest number of
    transitions that it has seen, -1 before the first.
    """

    me: str
    times: LeaseTimes = LeaseTimes()
    stored: Lease | None = None
    unchanged_since: float = 0.0
    held_until: float | None = None
    latest: int = -1

    def holds(self, at: float) -> bool:
        """Return whether it may act at ``at``."""
        return self.held_until is not None and at < self.held_until

    @property
    def term(self) -> int | None:
        """The number of its time in charge: what was decided in another term must not be carried out in this one."""
        return self.stored.transitions if self.stored is not None and self.held_until is not None else None

    def other(self) -> str:
        """Return who else holds it, or nothing."""
        return self.stored.holder if self.stored is not None and self.stored.holder != self.me else ""

    def may_take_in(self, at: float) -> float:
        """Return in how many seconds it may be taken if nothing changes until then; 0 for now.

        One that somebody deleted may still be in somebody's hands, until the holder looks.
        """
        is_gone = self.stored is None and self.latest >= 0
        if not self.other() and not is_gone:
            return 0.0
        theirs = self.stored.duration.ms if self.stored is not None else 0
        patience = Duration(max(theirs, self.times.duration.ms))
        return max(0.0, self.unchanged_since + patience.seconds - at)


def seen(standing: Standing, stored: Lease | None, at: float) -> Standing:
    """Return what a candidate knows after it read ``stored`` at ``at``."""
    if stored == standing.stored:
        return standing
    held = standing.held_until if stored is not None and stored.holder == standing.me else None
    latest = max(standing.latest, stored.transitions if stored is not None else -1)
    return attrs.evolve(standing, stored=stored, unchanged_since=at, held_until=held, latest=latest)


def claim(standing: Standing, at: float, now: int) -> Lease | None:
    """Return what to write in order to take or keep the lease, or ``None`` while another has it.

    ``now`` is the wall clock in milliseconds.
    """
    stored = standing.stored
    if standing.may_take_in(at) > 0:
        return None
    if stored is None:
        next_term = standing.latest + 1
        return Lease(holder=standing.me, transitions=next_term, duration=standing.times.duration, renewed=now)
    again = stored.holder == standing.me
    return attrs.evolve(
        stored,
        holder=standing.me,
        transitions=stored.transitions if again else stored.transitions + 1,
        duration=standing.times.duration,
        renewed=max(now, stored.renewed + 1) if again else now,
    )


def won(standing: Standing, stored: Lease, asked_at: float, at: float) -> Standing:
    """Return what a candidate knows after the store took its claim, which it had begun to write at ``asked_at``."""
    until = asked_at + standing.times.renew_within.seconds
    latest = max(standing.latest, stored.transitions)
    return attrs.evolve(standing, stored=stored, unchanged_since=at, held_until=until, latest=latest)


def let_go(standing: Standing, now: int) -> Lease | None:
    """Return what to write so that another need not wait, or ``None`` where it is not ours."""
    stored = standing.stored
    if stored is None or stored.holder != standing.me:
        return None
    return attrs.evolve(stored, holder="", renewed=max(now, stored.renewed + 1))
