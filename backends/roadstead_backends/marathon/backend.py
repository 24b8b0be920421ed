"""The ``marathon`` backend: each group an app under one path, each replica an instance of it.

What is decided on is what :meth:`MarathonBackend.observe` returned last. Marathon has no compare-and-set: each change
reads its app just before, and is made only if nothing has moved that a decision could rest on; what somebody else does
between the two cannot be prevented, only found out.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from roadstead.capabilities import Capabilities
from roadstead.errors import BackendError, Conflict, Rejected, Retryable
from roadstead.spi.backend import BackendContext, Expect, GroupOrder
from roadstead.units import Duration
from roadstead.world import GroupKey, Phase, Snapshot, Usage
from roadstead_backends.marathon import names, translate
from roadstead_backends.marathon.abilities import capabilities
from roadstead_backends.marathon.adoption import Adoptions
from roadstead_backends.marathon.catching_up import AppReader
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.faults import AlreadyExists
from roadstead_backends.marathon.follower import Follower
from roadstead_backends.marathon.insight import Insight
from roadstead_backends.marathon.logs import Log
from roadstead_backends.marathon.messages import App, Deployment, Info, Task
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.reading import active_tasks, instance_of, is_active, is_unseen, tasks_of
from roadstead_backends.marathon.view import View
from roadstead_backends.marathon.writing import Writer, about

__all__ = ["MarathonBackend"]

_LOG = logging.getLogger(__name__)

_HEARD_WITHIN: Final = Duration(10_000)
"""How long a task that we told to end counts as ending although Marathon does not show it: it may have gone wrong."""


class MarathonBackend:
    """Drives the apps of one fleet on a Marathon. Made by :func:`roadstead_backends.marathon.connect.connect`."""

    def __init__(
        self,
        context: BackendContext,
        options: MarathonOptions,
        client: Client,
        follower: Follower,
        adoptions: Adoptions,
        *,
        reaches: bool,
    ) -> None:
        self._cluster = context.cluster
        self._fleet = context.fleet
        self._owner_id = context.owner_id
        self._options = options
        self._client = client
        self._follower = follower
        self._reaches = reaches
        self._begun = False
        self._adoptions = adoptions
        self._ending: set[str] = set()
        self._going: dict[str, float] = {}
        known = capabilities(options, None)
        self._view = View(context.owner_id, known, adoptions.recognise, reports_ready=not reaches)
        self._insight = Insight(client, options, cluster=context.cluster)
        self._apps = AppReader(client, self._view, adoptions, fleet=context.fleet)
        self._view.node_of = self._insight.ground.node_of
        self._notes: tuple[str, ...] = ()
        self._said: Info | None = None
        self._writer = Writer(
            client, context.cluster, self._insight.writers, is_ours=self._view.is_ours, changed=self._apps.changed.add
        )

    # ---- the contract ----

    @property
    def capabilities(self) -> Capabilities:
        """What this cluster can do; less than it can, as long as it has not answered."""
        with contextlib.suppress(BackendError):
            self._begin()
        return self._view.capabilities

    def observe(self) -> Snapshot:
        """Return what the cluster looks like; raises where it does not answer now."""
        deployments = self._catch_up()
        self._look_around(deployments)
        self._end()
        return self._view.snapshot()

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create the group, or converge an existing one to ``target`` replicas."""
        with about(str(order.key)):
            self._begin()
            app = self._expected(order.key, expect)
            if app is None:
                self._create(order, target)
            elif app.id in self._ending:
                raise self._conflict("it is being deleted")
            elif target > app.instances:
                self._writer.scale(app, target)
            elif target < app.instances:
                self._shrink(app, target, retire)
            else:
                self._give_up(app, retire)

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:  # noqa: ARG002  # it is the app's own
        """Remove the group and stop what is left of it.

        An app that is gone shows nothing of its tasks that still stop. So it goes once it has none: it is asked for no
        instances now, and removed when they have ended, by whoever observes then.
        """
        with about(str(key)):
            self._begin()
            app_id = self._app_id(key)
            if self._view.known(app_id) is None and self._view.owner_of(app_id) is None:
                return
            app = self._expected(key, expect)
            if app is None or app.id in self._ending:
                return
            if not any(map(is_active, app.tasks or ())):
                self._remove(app.id)
                return
            if app.instances > 0:
                self._writer.scale(app, 0)
            self._ending.add(app.id)

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:  # noqa: ARG002  # grace is the app's own
        """Stop one replica, and have another instance take its place."""
        with about(replica):
            self._begin()
            found = self._view.replica(replica)
            if found is None:
                raise self._conflict("there is no such replica")
            app_id, shown = found
            if shown.phase is Phase.STOPPING:
                return
            app = self._apps.read(app_id)
            tasks = tasks_of(app, (replica,)) if app is not None else ()
            if app is None or not tasks:
                raise self._conflict("there is no such replica any more, or it waits to be launched")
            self._writer.replace(app, tasks[0])
            self._note_going(tasks)

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        """Put back what the group was made with; its servers are replaced, one more first, and the count stays."""
        with about(str(key)):
            self._begin()
            app = self._expected(key, expect)
            known = self._view.known(app.id) if app is not None else None
            if app is None or known is None:
                raise self._conflict("there is no such group")
            if known.drift and self._adoptions.has(app.id):
                why = "it was taken over, and of such an app nothing but the count is changed"
                raise Rejected(why, cluster=self._cluster, hint="set drift: report, or change the fleet file to be so")
            if known.drift:
                self._writer.put_back(app, translate.restored(known.stored, known.marks, app))

    def lose(self, replica: str) -> None:
        """Have Marathon kill a task, which starts it again: it has no way to end one without asking it first."""
        with about(replica):
            self._begin()
            found = self._view.replica(replica)
            app = self._apps.read(found[0]) if found is not None else None
            tasks = tasks_of(app, (replica,)) if app is not None else ()
            if not tasks:
                raise self._conflict("there is no such replica, or it waits to be launched")
            self._client.kill(tasks, scale=False)

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield what the tasks of a replica print, from their sandboxes; from any thread once it was observed."""
        if self._view.last is None:
            self.observe()
        log = Log(
            replica,
            cluster=self._cluster,
            task=lambda: self._task_of(replica),
            agents=lambda: self._insight.ground.agents,
            master=self._insight.apart(),
        )
        yield from log.read(tail=tail, follow=follow)

    def usage(self) -> Mapping[str, Usage]:
        """Return the use of every replica that runs; what of it nobody measures is unknown."""
        self._begin()
        return self._insight.usage(self._view.snapshot())

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` as soon as Marathon tells of a change of ours, until `close`."""
        self._follower.watch(wake)

    def close(self) -> None:
        """Hang up; everything goes on in the cluster."""
        self._follower.watch(lambda: None)
        self._follower.close()
        self._insight.close()
        self._client.close()

    # ---- looking ----

    def _begin(self) -> None:
        """See that the cluster was looked at before anything is changed in it."""
        if not self._begun:
            self._look_around(self._catch_up())

    def _catch_up(self) -> list[Deployment]:
        """Bring the view up to date; what Marathon carries out is asked each time, and tells that it is there."""
        news = self._follower.take()
        try:
            if not self._begun:
                self._said = self._client.info()
                self._insight.role = self._said.marathon_config.mesos_role or self._insight.role
                emulated = self._insight.emulated
                self._view.capabilities = capabilities(self._options, self._said, self._notes, emulated=emulated)
            deployments = self._client.deployments()
            self._apps.catch_up(news)
        except BackendError:
            self._follower.put_back(news)
            raise
        self._view.put_deployments(deployments)
        self._note_going()
        self._writer.in_flight = frozenset(
            app_id for one in deployments for app_id in one.affected_apps if self._view.is_ours(app_id)
        )
        self._begun = True
        return deployments

    def _look_around(self, deployments: list[Deployment]) -> None:
        """Find out on what agents apps are, and why they are not as they were asked."""
        before = self._insight.ground.agents
        self._view.explain(self._insight.look(self._view.apps, deployments))
        self._view.nodes = self._insight.ground.nodes
        if self._insight.ground.agents is not before:
            self._view.place_anew()
        notes, emulated = self._insight.notes, self._insight.emulated
        if (notes, emulated) != (self._notes, self._view.capabilities.emulated):
            self._notes = notes
            self._view.capabilities = capabilities(self._options, self._said, notes, emulated=emulated)

    def _task_of(self, replica: str) -> Task | None:
        """Ask which task a replica is, or was last; whoever asks may be in a thread of its own."""
        seen = self._view.last
        groups = seen.groups if seen is not None else ()
        key = next((one.key for one in groups if any(member.id == replica for member in one.replicas)), None)
        app_id = self._view.id_of(key) if key is not None else None
        app = self._client.app(app_id) if app_id is not None else None
        tasks = app.tasks or () if app is not None else ()
        return next((task for task in tasks if instance_of(task.id)[0] == replica), None)

    # ---- changing ----

    def _app_id(self, key: GroupKey) -> str:
        known = self._view.id_of(key)
        return known if known is not None else names.app_id(self._options.path, self._fleet, key)

    def _create(self, order: GroupOrder, target: int) -> None:
        if order.adopts and self._take_over(order):
            return
        try:
            document = translate.app(order, target, self._options, reaches=self._reaches)
        except ValueError as error:
            raise Rejected(str(error), cluster=self._cluster, hint="see the fleet file") from error
        try:
            self._writer.create(document)
        except AlreadyExists as taken:
            raise self._conflict(self._whose(document["id"])) from taken

    def _take_over(self, order: GroupOrder) -> bool:
        """Take over the app that an order names; return whether that is what was done, and nothing is to be made."""
        definition = self._client.definition(order.adopts)
        if definition is None or not self._adoptions.take_over(order, bytes(definition), self._options):
            return False
        self._apps.read(order.adopts)
        return True

    def _whose(self, app_id: str) -> str:
        """Return what is in the way of a new app; one of ours is known from then on."""
        found = self._apps.read(app_id)
        if found is None:
            return "it was there, and is gone"
        if self._view.is_ours(app_id):
            return "it is there already"
        owner_id = self._view.owner_of(app_id)
        return f"it belongs to {owner_id!r}" if owner_id is not None else f"there is an app {app_id} that is not ours"

    def _expected(self, key: GroupKey, expect: Expect) -> App | None:
        """Return the app as it must be for a change to go on: ours, and as it was decided on; or absent."""
        app_id = self._app_id(key)
        owner_id = self._view.owner_of(app_id)
        if owner_id is not None:
            raise self._conflict(f"it belongs to {owner_id!r}")
        known, version = self._view.known(app_id), self._view.version(app_id)
        if version != expect.version:
            raise self._conflict(f"its version is {version!r}, not {expect.version!r}")
        if known is None:
            return None
        before = known.app
        app = self._apps.read(app_id)
        if app is None:
            raise self._conflict("it is gone")
        if app.version != before.version:
            raise self._conflict("somebody changed it meanwhile")
        missing = active_tasks(before) - active_tasks(app)
        if missing:
            raise self._conflict(f"{min(missing)} is gone since it was looked at")
        return app

    def _shrink(self, app: App, target: int, retire: tuple[str, ...]) -> None:
        """Give up so many: those that are named, and then as Marathon chooses.

        It ends those that run before those that still wait for an offer, which have no name to be named by. So where
        some are to go on running, nobody who waits is given up: that has to wait for an offer as well.
        """
        surplus = app.instances - target
        tasks = tasks_of(app, retire)[:surplus]
        staying = _standing(app).keys() - self._going.keys() - set(tasks)
        waiting = app.instances - len(tasks) - len(staying)
        if tasks:
            self._writer.retire(app, tasks)
            self._note_going(tasks)
        if len(tasks) == surplus:
            return
        if target and staying and waiting > 0:
            raise Retryable(
                f"{waiting} of {app.instances} instances wait for an offer: Marathon would end one that runs instead",
                cluster=self._cluster,
                hint="they can be given up once they run: make room for them",
            )
        self._writer.scale(app, target)

    def _give_up(self, app: App, retire: tuple[str, ...]) -> None:
        """End those that are named and too many: Marathon would, but of who cannot be reached only minutes later.

        What it replaces itself is too many for a moment, and who is named among those may be the one that comes.
        """
        standing = _standing(app)
        named = [standing[task] for task in tasks_of(app, retire) if task in standing]
        surplus = max(0, len(standing.keys() - self._going.keys()) - app.instances)
        tasks = tuple(task.id for task in named if is_unseen(task) or not app.deployments)[:surplus]
        if tasks:
            self._writer.give_up(app, tasks)
            self._note_going(tasks)

    def _note_going(self, tasks: tuple[str, ...] = ()) -> None:
        """Note tasks that were told to end just now, and forget those that were told long ago."""
        now = time.monotonic()
        self._going = {task: until for task, until in self._going.items() if until > now}
        self._going.update(dict.fromkeys(tasks, now + _HEARD_WITHIN.seconds))
        self._view.put_going(frozenset(self._going))

    def _end(self) -> None:
        """Remove the apps that were to go and have no task any more."""
        for app_id in tuple(self._ending):
            known = self._view.known(app_id)
            if known is None or known.app.instances > 0:
                self._ending.discard(app_id)
            elif not any(map(is_active, known.app.tasks or ())):
                try:
                    self._remove(app_id)
                except BackendError as error:
                    _LOG.info("app %s is to go, and is not removed yet: %s", app_id, error)

    def _remove(self, app_id: str) -> None:
        self._writer.delete(app_id)
        self._ending.discard(app_id)
        self._adoptions.forget(app_id)
        self._view.put(app_id, None)

    def _conflict(self, why: str) -> Conflict:
        return Conflict(why, cluster=self._cluster, hint="observe again")


def _standing(app: App) -> dict[str, Task]:
    """Return the tasks of which something may be running and that Marathon has not told to end, by id."""
    return {task.id: task for task in app.tasks or () if is_active(task) and task.state != "TASK_KILLING"}
