"""What is kept of a simulation: everything that happened, and how many replicas there were when.

Times are milliseconds since the beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import attrs

from roadstead.act.events import Event, Turn
from roadstead.act.turn_events import happened
from roadstead.bench.demand import Flow
from roadstead.bench.world import BEGAN, Told
from roadstead.mappings import changed
from roadstead.world import OutcomeKind, Phase, Shard

__all__ = ["Account", "Count", "Happening", "Record", "Simulated"]


@attrs.frozen(kw_only=True)
class Happening:
    """One thing that happened: ``kind`` is ``scenario``, or one of the daemon's kinds of event."""

    at: int
    kind: str
    text: str
    cluster: str = ""
    deployment: str = ""
    subject: str = ""
    reason: str = ""


@attrs.frozen(kw_only=True)
class Count:
    """How many replicas a deployment had from ``at`` on.

    ``serving`` of the ``wanted`` ones really get requests and answer, whatever anybody believes; ``pending`` are on
    their way to that, or do not answer, and ``leaving`` are on their way out.
    """

    at: int
    wanted: int
    serving: int
    pending: int
    leaving: int


@attrs.frozen(kw_only=True)
class Account:
    """One deployment over all of a simulation.

    ``short_ms`` is how long fewer served than were wanted, ``down_ms`` how long nobody did though somebody had before
    and was wanted. ``requests`` and ``failed`` are ``None`` where the scenario sends none.
    """

    name: str
    counts: tuple[Count, ...]
    short_ms: int
    down_ms: int
    requests: int | None = None
    failed: int | None = None


@attrs.frozen(kw_only=True)
class Simulated:
    """What became of a fleet in a scenario.

    ``turns`` were made; those in which nothing could be any different were not. ``steps`` and ``refused`` count what
    the daemon did and what did not go through, by kind of step.
    """

    lasted: int
    seed: int
    turns: int
    steps: Mapping[str, int]
    refused: Mapping[str, int]
    deployments: tuple[Account, ...]
    happenings: tuple[Happening, ...]


class Record:
    """Collects all of that, turn by turn."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.turns = 0
        self._steps: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._counts: dict[str, list[Count]] = {}
        self._shards: Mapping[str, Shard] = {}
        self._wanted: Mapping[str, int] = {}
        self._serving: Mapping[str, int] = {}
        self._known: set[Event] = set()
        self._last: Turn | None = None

    def told(self, what: Iterable[Told]) -> None:
        """Note what the scenario let happen."""
        self.happenings += [
            Happening(at=one.at - BEGAN, kind="scenario", text=one.text, cluster=one.cluster, deployment=one.deployment)
            for one in what
        ]

    def forget_turn(self) -> None:
        """Look at the next turn as a new daemon's first."""
        self._last = None

    def turn(self, turn: Turn, serving: Mapping[str, int]) -> None:
        """Note everything that one turn saw and did; ``serving`` is how many really answered each one's clients."""
        self.turns += 1
        kinds = {(step.cluster, step.subject): type(step).__name__.lower() for step in turn.plan.steps}
        for outcome in turn.outcomes:
            counted = self._steps if outcome.kind is OutcomeKind.DONE else self._refused
            counted[kinds[outcome.cluster, outcome.subject]] += 1
        self.happenings += [
            Happening(
                at=event.at - BEGAN,
                kind=event.kind.value,
                text=event.text,
                cluster=event.cluster,
                deployment=event.deployment,
                subject=event.subject,
                reason=event.reason,
            )
            for event in self._news(turn)
        ]
        self._count(turn, serving)
        self._last = turn

    def _news(self, turn: Turn) -> Iterator[Event]:
        """Yield what happened; what a new daemon finds out about the past is told only if none told it before."""
        for event in happened(self._last, turn):
            if event not in self._known:
                self._known.add(event)
                yield event

    def _count(self, turn: Turn, serving: Mapping[str, int]) -> None:
        """Note how many there are of each deployment that was ever wanted, where that may be another number now."""
        shards, wanted = turn.world.shards, turn.plan.wanted
        may_differ = changed(self._shards, shards) | changed(self._wanted, wanted) | changed(self._serving, serving)
        self._shards, self._wanted, self._serving = shards, wanted, serving
        for name in may_differ & (wanted.keys() | self._counts.keys()):
            counts = self._counts.setdefault(name, [])
            now = _counted(turn.at - BEGAN, wanted.get(name, 0), serving.get(name, 0), shards.get(name))
            if not counts or attrs.evolve(now, at=counts[-1].at) != counts[-1]:
                counts.append(now)

    def result(self, lasted: int, seed: int, flows: Mapping[str, Flow]) -> Simulated:
        """Return all of it."""
        return Simulated(
            lasted=lasted,
            seed=seed,
            turns=self.turns,
            steps=dict(sorted(self._steps.items())),
            refused=dict(sorted(self._refused.items())),
            deployments=tuple(
                _account(name, tuple(counts), lasted, flows.get(name)) for name, counts in sorted(self._counts.items())
            ),
            happenings=tuple(self.happenings),
        )


def _counted(at: int, wanted: int, serving: int, shard: Shard | None) -> Count:
    phases = [member.replica.phase for member in shard.members] if shard is not None else []
    leaving = phases.count(Phase.STOPPING)
    pending = max(0, len(phases) - phases.count(Phase.LOST) - leaving - serving)
    return Count(at=at, wanted=wanted, serving=serving, pending=pending, leaving=leaving)


def _account(name: str, counts: tuple[Count, ...], lasted: int, flow: Flow | None) -> Account:
    short = down = 0
    served = False
    for count, until in zip(counts, [*(one.at for one in counts[1:]), lasted], strict=True):
        served = served or count.serving > 0
        if count.serving < count.wanted:
            short += until - count.at
            down += until - count.at if served and count.serving == 0 else 0
    return Account(
        name=name,
        counts=counts,
        short_ms=short,
        down_ms=down,
        requests=flow.requests if flow is not None else None,
        failed=flow.failed if flow is not None else None,
    )
