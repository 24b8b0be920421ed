"""Where a story is told on a live cluster: the daemon's own loop on a thread of its own, and who watches its turns."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

from roadstead.act.clock import SystemClock
from roadstead.act.events import Turn
from roadstead.act.pacing import Bell
from roadstead.act.session import Session
from roadstead.daemon.service import Service
from roadstead.daemon.view import View
from roadstead.model import DaemonSpec, Deployment, Fleet, Quota
from roadstead.spi.host import PluginHost
from roadstead.testing.faults.telling import Ending
from roadstead.testing.live_faults.strikes import Mark
from roadstead.testing.live_faults.subject import LiveCluster, Standing
from roadstead.testing.oracles import crowding, disturbable, interfering, trespasses, unguarded, unsettled
from roadstead.testing.promises import misplaced, unlisted
from roadstead.units import Duration
from roadstead.world import Reachable

__all__ = ["FLEET", "OWNER", "Left", "Stage"]

FLEET: Final = "stories"
OWNER: Final = "search"
TURN: Final = Duration(200)
QUIET: Final = 3
"""So many turns in which nothing is done and nothing moves are a rest; they last longer than it takes to be proven."""

LONG_QUIET: Final = 12

_JOIN_S: Final = 60.0


@attrs.frozen(kw_only=True)
class Left:
    """What is left when all is at rest: groups that are more than history, what stands beside, and what is held."""

    ending: Ending
    beside: frozenset[str]

    def is_whole(self, wanted: int) -> bool:
        """Return whether one group is left, with what it was asked for, and that is ``wanted``; none for nothing."""
        groups = self.ending.groups
        served = all(one.target == one.ready and not one.unready for one in groups)
        return served and len(groups) == min(1, wanted) and wanted == sum(one.ready for one in groups)


class Stage:
    """A fleet on one cluster, in the hands of a daemon's loop; ``folder`` is for its state, and empty.

    Whatever is wrong with a turn is written down in ``wrong`` as it happens.
    """

    def __init__(self, cluster: LiveCluster, deployments: Iterable[Deployment], host: PluginHost, folder: Path) -> None:
        self.cluster = cluster
        self.wrong: list[str] = []
        self._host = host
        self._folder = folder
        self._moved = threading.Condition()
        self._turns = 0
        self._last: Turn | None = None
        self._quiet = 0
        self._revisions: dict[str, str] = {}
        self._going: set[str] = set()
        self._fleet = Fleet(
            name=FLEET,
            clusters={cluster.spec.name: cluster.spec},
            deployments={one.name: one for one in deployments},
            quotas={OWNER: Quota()},
            daemon=DaemonSpec(turn=TURN),
            owner_id="",
        )
        self._note_revisions()
        self._open()

    # ---- what the owner does ----

    def declare(self, deployment: Deployment) -> None:
        """Write a deployment to the file, in the place of one of that name."""
        changed = {**self._fleet.deployments, deployment.name: deployment}
        self._fleet = attrs.evolve(self._fleet, deployments=changed)
        self._note_revisions()
        self._service.apply(confirm_removals=False).result(_JOIN_S)

    def scale(self, name: str, replicas: int) -> None:
        """Order another count by command."""
        self._service.scale(name, replicas).result(_JOIN_S)

    def delete(self, name: str) -> None:
        """Order by command that a deployment goes."""
        self._going.add(name)
        self._service.delete(name).result(_JOIN_S)

    def replace_daemon(self) -> None:
        """End the daemon, and start the next one on the same state."""
        self.close()
        self._open()

    def _note_revisions(self) -> None:
        for deployment in self._fleet.deployments.values():
            for one in deployment.targets:
                self._revisions.setdefault(one.revision, f"revision-of-{one.template.model.name}")

    # ---- the daemon ----

    def _open(self) -> None:
        clock, bell = SystemClock(), Bell()
        self._session = Session.open(self._fleet, self._host, self._folder, "a story", wake=bell.ring, clock=clock)
        self._service = Service(self._session, self._folder / "fleet.yaml", lambda _: self._fleet, bell, clock)
        self._service.listen(self._see)
        self._thread = threading.Thread(target=self._service.run, name="turns of a story", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the daemon; replicas are left as they are."""
        self._service.stop()
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            self.wrong.append(f"the daemon does not end within {_JOIN_S:g} s")
            return
        self._session.close()

    # ---- watching it, on its thread ----

    def _see(self, view: View) -> None:
        with self._moved:
            if view.stale:
                self.wrong.append(f"a turn failed: {view.problems}")
            turn = view.turn
            if turn is not None and turn is not self._last:
                self._judge(turn)
                self._quiet = self._quiet + 1 if self._is_still(turn) else 0
                self._last = turn
                self._turns += 1
            self._moved.notify_all()

    def _judge(self, turn: Turn) -> None:
        """Judge a plan by what it was made for."""
        world, plan = turn.world, turn.plan
        self.wrong += (
            *crowding(world, plan),
            *unguarded(world, plan),
            *trespasses(turn.fleet, world, plan),
            *disturbable(world, plan),
            *interfering(turn.fleet, world, plan),
            *misplaced(world, plan),
            *unlisted(world, plan),
        )
        if turn.undone:
            self.wrong.append(f"nothing was done: {turn.undone}")

    def _is_still(self, turn: Turn) -> bool:
        """Return whether nothing was done, and nothing looks different from before."""
        before = self._last
        views = turn.world.clusters.values()
        return (
            before is not None
            and not turn.plan.steps
            and not turn.outcomes
            and all(isinstance(view, Reachable) for view in views)
            and turn.world.shards == before.world.shards
        )

    # ---- rest ----

    def begin(self, within: Duration) -> None:
        """Wait until the fleet that the story begins with is at rest."""
        self._rest(within, None, QUIET)

    def rest(self, within: Duration, right: Left | None) -> Left:
        """Return what is left once all is at rest: as it is in ``right``, or else with every group as it was asked for.

        What never comes to that is written down, and returned as it is.
        """
        # What is not known to be the end may be a pause on the way to it, such as one for draining.
        return self._rest(within, right, QUIET if right is not None else LONG_QUIET)

    def _rest(self, within: Duration, right: Left | None, least: int) -> Left:
        clock = SystemClock()
        until = clock.monotonic() + within.seconds
        with self._moved:
            self._quiet = 0
        while True:
            with self._moved:
                self._moved.wait_for(lambda: self._quiet >= least, max(0.0, until - clock.monotonic()))
                is_quiet, self._quiet = self._quiet >= least, 0
            standing = self.cluster.standing()
            left = self._left(standing)
            is_right = left.is_whole(self._wanted()) if right is None else left == right
            if is_quiet and is_right and not standing.ending:
                return left
            if clock.monotonic() >= until:
                self.wrong.append(f"not at rest within {within}: {self._why(left, right, standing)}")
                return left

    def judge_rest(self) -> None:
        """Judge what stands at rest, and that nothing is written while some turns pass."""
        turn = self._last
        assert turn is not None, "a rest comes after turns"
        self.wrong += unsettled(turn.fleet, turn.world, turn.plan)
        mark = Mark.of(self.cluster.proxy)
        with self._moved:
            until = self._turns + QUIET
            self._moved.wait_for(lambda: self._turns >= until, _JOIN_S)
        writes = mark.writes(self.cluster.proxy, self.cluster.dialect)
        if writes:
            self.wrong.append(f"written at rest: {writes}")

    def _left(self, standing: Standing) -> Left:
        held = self._last.plan.held if self._last is not None else ()
        staying = self._fleet.deployments.keys() - self._going
        groups = (attrs.evolve(one, revision=self._called(one.revision)) for one in standing.groups)
        return Left(
            ending=Ending(
                groups=tuple(sorted(one for one in groups if not (one.is_empty and one.deployment in staying))),
                routes=(),
                held=frozenset((one.deployment, one.reason.code.value) for one in held),
            ),
            beside=frozenset(map(self._called, standing.beside)),
        )

    def _called(self, text: str) -> str:
        """Return a text with the names that revisions have in every telling: where nodes differ, so do theirs."""
        for revision, name in self._revisions.items():
            text = text.replace(revision, name)
        return text

    def _why(self, left: Left, right: Left | None, standing: Standing) -> str:
        if right is not None and left != right:
            return f"{left} instead of {right}"
        if standing.ending or not left.is_whole(self._wanted()):
            held = self._last.plan.held if self._last is not None else ()
            return f"{standing.groups}, {standing.ending} ending; held: {[one.reason.detail for one in held]}"
        return f"{self._last.plan.steps if self._last is not None else 'no turn'}"

    def _wanted(self) -> int:
        wanted = self._last.plan.wanted if self._last is not None else {}
        return sum(count for name, count in wanted.items() if name not in self._going)
