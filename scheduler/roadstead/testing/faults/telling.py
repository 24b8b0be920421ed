"""Telling a story once, with these faults or none, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from roadstead.model import Fleet
from roadstead.testing.faults.calls import Call, Fault
from roadstead.testing.faults.injector import Chooser, Injector, planned
from roadstead.testing.faults.props import Props
from roadstead.testing.faults.stage import Stage
from roadstead.world import Group, Shard

__all__ = ["Act", "Ending", "Scenario", "Telling", "tell"]

QUIET = 2
REST = 4


@attrs.frozen
class Act:
    """What happens, ``after`` so many milliseconds, or with ``None`` when all came to rest after what was before."""

    do: Callable[[Stage], None]
    after: int | None = None


@attrs.frozen(kw_only=True)
class Scenario:
    """A story: a fleet that is at rest, and what happens to it then.

    ``within`` is the most turns that it may take to come to rest, faults included. ``tempers`` are the kinds of
    clusters that it can be told on; empty for all.
    """

    name: str
    fleet: Fleet
    acts: tuple[Act, ...]
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
    fault.
    """

    faults: tuple[Fault, ...]
    applied: tuple[Fault, ...]
    calls: Sequence[Call]
    wrong: tuple[str, ...]
    ending: Ending | None
    turns: int
    recovery: int


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
    injector = Injector(choose=choose if choose is not None else planned(faults))
    stage = on(scenario.fleet, props, folder, injector)
    try:
        rested = _rest(stage, scenario.within)
        injector.active = True
        for act in scenario.acts:
            if act.after is None:
                rested = rested and _rest(stage, scenario.within)
            else:
                _wait(stage, act.after)
            act.do(stage)
        rested = rested and _rest(stage, scenario.within)
        turns = stage.turns - QUIET
        injector.active = False
        ending = _ended(stage) if rested else None
    finally:
        stage.close()
    return Telling(
        faults=faults,
        applied=tuple(injector.applied),
        calls=injector.calls,
        wrong=tuple(stage.wrong),
        ending=ending,
        turns=turns,
        recovery=max(0, turns - injector.struck) if injector.applied else 0,
    )


def _rest(stage: Stage, within: int) -> bool:
    """Let turns pass until nothing was written, and nothing moved, for some of them; write down where that is never."""
    quiet = 0
    limit = stage.turns + within
    while stage.turns < limit:
        before = stage.writes, stage.offers, stage.looks, len(stage.injector.applied)
        stage.pass_turn()
        after = stage.writes, stage.offers, stage.looks, len(stage.injector.applied)
        still = before == after and stage.last is not None and not stage.last.undone and not stage.busy
        quiet = quiet + 1 if still else 0
        if quiet == QUIET:
            return True
    stage.wrong.append(f"not at rest within {within} turns: {stage.last.plan.steps if stage.last else 'no turn'}")
    return False


def _wait(stage: Stage, ms: int) -> None:
    due = stage.props.time.now() + ms
    while stage.props.time.now() < due:
        stage.pass_turn()


def _ended(stage: Stage) -> Ending:
    """Return how it ended; at rest nothing is written."""
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
    return Ending(
        groups=tuple(sorted(one for one in groups if not (one.is_empty and one.deployment in staying))),
        routes=routes,
        held=frozenset((one.deployment, one.reason.code.value) for one in held),
    )


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
