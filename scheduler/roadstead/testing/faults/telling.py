"""Telling a story once, with these faults or none, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from roadstead.memory import PlanMemory
from roadstead.model import Fleet
from roadstead.testing.faults.calls import Call, Fault, Kind
from roadstead.testing.faults.injector import Chooser, Injector, planned
from roadstead.testing.faults.props import Props
from roadstead.testing.faults.stage import Stage
from roadstead.testing.oracles import unsettled
from roadstead.world import Group, Shard, World

__all__ = ["Act", "Ending", "Guide", "Remains", "Rest", "Scenario", "Serving", "Telling", "tell", "tell_guided"]

QUIET = 2
REST = 4


@attrs.frozen
class Act:
    """What happens, ``after`` so many milliseconds, or with ``None`` when all came to rest after what was before."""

    do: Callable[[Stage], None]
    after: int | None = None


@attrs.frozen(kw_only=True, order=True)
class Serving:
    """That so many replicas of a deployment are ready on a cluster, with this version of this model."""

    cluster: str
    deployment: str
    source: str
    version: int = 1
    count: int


@attrs.frozen(kw_only=True)
class Scenario:
    """A story: a fleet that is at rest, and what happens to it then.

    ``ends`` is who serves when all is at rest again; ``None`` where the story does not say. ``within`` is the most
    turns that it may take to come to rest, faults included. ``tempers`` are the kinds of clusters that it can be told
    on; empty for all plain ones.
    """

    name: str
    fleet: Fleet
    acts: tuple[Act, ...]
    ends: tuple[Serving, ...] | None = None
    within: int = 250
    tempers: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True, order=True)
class Remains:
    """What is left of one group at the end: its target, and its replicas that are ready and that are not."""

    cluster: str
    deployment: str
    revision: str
    target: int
    ready: int
    unready: int
    version: int

    @property
    def is_empty(self) -> bool:
        """Whether it is kept for its history only: which of those there are depends on the way."""
        return not (self.target or self.ready or self.unready)


@attrs.frozen(kw_only=True)
class Ending:
    """How a story ends: groups that are more than history, to how many each route leads, and what is held, by code."""

    groups: tuple[Remains, ...]
    routes: tuple[tuple[str, str, int], ...]
    held: frozenset[tuple[str, str]]

    def living(self) -> Counter[tuple[str, str, str]]:
        """Return how many replicas exist, by cluster, deployment and revision."""
        return Counter({(one.cluster, one.deployment, one.revision): one.ready + one.unready for one in self.groups})

    def ready(self) -> Counter[str]:
        """Return how many replicas are ready, by deployment."""
        found = Counter[str]()
        for one in self.groups:
            found[one.deployment] += one.ready
        return found


@attrs.frozen(kw_only=True)
class Telling:
    """What came of telling a story with ``faults``.

    ``calls`` are those that it took until all was at rest. ``recovery`` is how many turns that took after the last
    fault, ``started`` how many server processes there ever were.
    """

    faults: tuple[Fault, ...]
    applied: tuple[Fault, ...]
    calls: Sequence[Call]
    wrong: tuple[str, ...]
    ending: Ending | None
    turns: int
    started: int
    recovery: int


@attrs.frozen(kw_only=True)
class Rest:
    """What comes of a story from a moment between two turns on, where nothing goes wrong any more.

    ``turns`` are those until all is at rest for good, ``started`` how many server processes begin by then.
    """

    wrong: tuple[str, ...]
    ending: Ending
    turns: int
    started: int


class Guide(Protocol):
    """Says what goes wrong, and may know before what comes of it."""

    def choose(self, call: Call) -> Kind | None:
        """Return what goes wrong with a call."""

    def begun(self, stage: Stage) -> None:
        """Be told where the story is told."""

    def foresee(self, place: object) -> Rest | None:
        """Return what is known to come of it where nothing more goes wrong; ``place`` is how far it is told."""


class _Plain:
    """A guide that knows nothing before."""

    def __init__(self, choose: Chooser) -> None:
        self.choose = choose

    def begun(self, stage: Stage) -> None:
        pass

    def foresee(self, place: object) -> Rest | None:  # noqa: ARG002  # whatever it is
        return None


class _ForeseenError(Exception):
    """What comes of the story from here on is known."""

    def __init__(self, rest: Rest) -> None:
        super().__init__()
        self.rest = rest


def tell(
    scenario: Scenario,
    props: Props,
    folder: Path,
    faults: tuple[Fault, ...] = (),
    *,
    choose: Chooser | None = None,
    on: type[Stage] = Stage,
) -> Telling:
    """Tell ``scenario`` on new ``props`` with these faults, or with those that ``choose`` says.

    Daemons keep their stores in ``folder``, which is empty. ``on`` is the kind of stage: one that says more, perhaps.
    """
    told = tell_guided(scenario, props, folder, _Plain(choose if choose is not None else planned(faults)), on=on)
    return attrs.evolve(told, faults=faults)


def tell_guided(scenario: Scenario, props: Props, folder: Path, guide: Guide, *, on: type[Stage] = Stage) -> Telling:
    """Tell ``scenario`` as :func:`tell` does, with what ``guide`` says; what it foresees is not told any more."""
    injector = Injector(choose=guide.choose)
    stage = on(scenario.fleet, props, folder, injector)
    ending: Ending | None = None
    rest: Rest | None = None
    try:
        guide.begun(stage)
        if _enacted(scenario, stage, guide):
            turns = stage.turns - QUIET
            injector.active = False
            ending = _ended(stage, scenario.ends)
        else:
            turns = stage.turns - QUIET
    except _ForeseenError as foreseen:
        rest = foreseen.rest
        turns, ending = stage.turns + rest.turns, rest.ending
    finally:
        stage.close()
    return Telling(
        faults=(),
        applied=tuple(injector.applied),
        calls=injector.calls,
        wrong=(*stage.wrong, *(rest.wrong if rest is not None else ())),
        ending=ending,
        turns=turns,
        started=len(stage.started) + (rest.started if rest is not None else 0),
        recovery=max(0, turns - injector.struck) if injector.applied else 0,
    )


def _enacted(scenario: Scenario, stage: Stage, guide: Guide) -> bool:
    """Let all acts happen, each in its time, and return whether all came to rest whenever it was to."""
    rested = _rest(stage, scenario.within, guide, 0)
    stage.injector.active = True
    for number, act in enumerate(scenario.acts, 1):
        if act.after is None:
            rested = rested and _rest(stage, scenario.within, guide, number)
        else:
            _wait(stage, act.after, guide, number)
        act.do(stage)
    return rested and _rest(stage, scenario.within, guide, len(scenario.acts) + 1)


def _rest(stage: Stage, within: int, guide: Guide, number: int) -> bool:
    """Let turns pass until nothing was written, and nothing moved, for some of them; write down where that is never."""
    quiet = 0
    limit = stage.turns + within
    while stage.turns < limit:
        rest = guide.foresee((number, quiet))
        if rest is not None and stage.turns + rest.turns + QUIET < limit:
            raise _ForeseenError(rest)
        before = stage.writes, stage.offers, stage.looks, len(stage.injector.applied)
        stage.pass_turn()
        after = stage.writes, stage.offers, stage.looks, len(stage.injector.applied)
        still = before == after and stage.last is not None and not stage.last.undone and not stage.busy
        quiet = quiet + 1 if still else 0
        if quiet == QUIET:
            return True
    stage.wrong.append(f"not at rest within {within} turns: {stage.last.plan.steps if stage.last else 'no turn'}")
    return False


def _wait(stage: Stage, ms: int, guide: Guide, number: int) -> None:
    due = stage.props.time.now() + ms
    while stage.props.time.now() < due:
        rest = guide.foresee((number, due - stage.props.time.now()))
        if rest is not None:
            raise _ForeseenError(rest)
        stage.pass_turn()


def _ended(stage: Stage, ends: tuple[Serving, ...] | None) -> Ending:
    """Return how it ended; at rest nothing is written, and those serve that the story ``ends`` with."""
    before = stage.writes, stage.offers
    for _ in range(REST):
        stage.pass_turn()
    if before != (stage.writes, stage.offers):
        stage.wrong.append(f"{stage.writes - before[0]} writes and {stage.offers - before[1]} offers at rest")
    stage.judge_disk()
    truth = stage.truth()
    going = {intent.deployment for intent in stage.fleet.intents.remove}
    staying = stage.fleet.deployments.keys() - going
    groups = (_remains(cluster, shard, group) for shard in truth.shards.values() for cluster, group in shard.groups)
    routes = tuple(
        sorted(
            (gateway, name, sum(passage.listed for passage in route.passages.values()))
            for gateway in truth.data_path.gateways
            for name, route in truth.data_path.routes(gateway).items()
        )
    )
    held = stage.last.plan.held if stage.last is not None else ()
    if stage.last is not None:
        stage.wrong.extend(unsettled(stage.fleet, truth, stage.last.plan))
    memory = stage.daemon.reconciler.memory
    gone = memory.deployments.keys() - stage.fleet.deployments.keys() - truth.shards.keys()
    stage.wrong.extend(f"{name} is gone and remembered" for name in sorted(gone))
    stage.wrong.extend(f"at rest there still is {one}" for one in _unfinished(memory))
    serving = tuple(sorted(_serving(truth)))
    if ends is not None and serving != tuple(sorted(ends)):
        stage.wrong.append(f"{serving} serve in the end")
    return Ending(
        groups=tuple(sorted(one for one in groups if not (one.is_empty and one.deployment in staying))),
        routes=routes,
        held=frozenset((one.deployment, one.reason.code.value) for one in held),
    )


def _serving(truth: World) -> Iterator[Serving]:
    models = ((one, one.group.template.model) for shard in truth.shards.values() for one in shard.ready)
    counts = Counter((one.cluster, one.group.key.deployment, model.source, model.version) for one, model in models)
    for (cluster, deployment, source, version), count in counts.items():
        yield Serving(cluster=cluster, deployment=deployment, source=source, version=version, count=count)


def _unfinished(memory: PlanMemory) -> Iterator[str]:
    """Yield what was begun and is not over: steps that wait, room that is kept, replicas on their way out."""
    yield from (f"a wait for {subject}" for subject in memory.back_off)
    yield from (f"room for {name}" for name in memory.claims)
    for name, known in memory.deployments.items():
        yield from (f"{replica} that leaves" for replica in known.leaving)
        yield from (f"{process} that is not ready" for process in known.unready)
        yield from (f"{group} that was asked for" for group in known.asked)
        yield from (f"{cluster} as a place to learn about for {name}" for cluster in known.clusters)
        if known.ousted is not None:
            yield f"{known.ousted.process} that gives way"


def _remains(cluster: str, shard: Shard, group: Group) -> Remains:
    own = [one for one in shard.members if (one.cluster, one.group.key) == (cluster, group.key)]
    ready = sum(one.ready for one in own)
    return Remains(
        cluster=cluster,
        deployment=group.key.deployment,
        revision=group.key.revision,
        target=group.target,
        ready=ready,
        unready=len(own) - ready,
        version=group.template.model.version,
    )
