"""What the apps of a fleet look like, kept up to date app by app, so that what did not change costs nothing.

Pure but for its own memory: it is told which apps changed, and answers with a snapshot that shares with the one before
it every group, and in the end itself, that is as it was.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import attrs

from roadstead.capabilities import Capabilities
from roadstead.world import Drift, Exit, Group, GroupKey, Node, Replica, Snapshot
from roadstead_backends.marathon import names
from roadstead_backends.marathon.messages import App, Deployment
from roadstead_backends.marathon.reading import Around, exit_of, instance_of, replicas_of
from roadstead_backends.marathon.translate import Stored
from roadstead_backends.marathon.why import NO_REASON, Why

__all__ = ["Known", "View", "is_waited_for"]

_LOG = logging.getLogger(__name__)


@attrs.define(kw_only=True)
class Known:
    """One app of ours: as Marathon shows it, what it says of itself, and the group that was shown last.

    ``judged`` is the configuration of it that was last compared with what it carries, ``drift`` what came of that.
    ``marks`` are the labels by which it is ours: whoever takes them away does not make it somebody else's.
    """

    app: App
    stored: Stored
    marks: Mapping[str, str]
    drift: tuple[Drift, ...] = ()
    judged: str = ""
    why: Why = NO_REASON
    exits: dict[str, Exit] = attrs.field(factory=dict)
    shown: Group | None = None


class View:
    """The apps of one fleet as groups and replicas.

    ``recognise`` returns what an app says of itself. ``capabilities``, ``nodes`` and ``node_of`` may be changed at any
    time.
    """

    def __init__(
        self,
        owner_id: str,
        capabilities: Capabilities,
        recognise: Callable[[App], Stored | None],
        *,
        reports_ready: bool = False,
    ) -> None:
        self.capabilities = capabilities
        self.nodes: tuple[Node, ...] = ()
        self.node_of: Callable[[str | None, str], str] = lambda _agent, host: host
        self._owner_id = owner_id
        self._recognise = recognise
        self._reports_ready = reports_ready
        self._known: dict[str, Known] = {}
        self._ids: dict[GroupKey, str] = {}
        self._foreign: dict[str, str] = {}
        self._unready: dict[str, frozenset[str]] = {}
        self._going: frozenset[str] = frozenset()
        self._stale: dict[str, None] = {}
        self._groups: tuple[Group, ...] = ()
        self._places: dict[str, int] = {}
        self._explained: frozenset[str] = frozenset()
        self._last: Snapshot | None = None

    # ---- what changed ----

    def put_all(self, apps: Iterable[App]) -> None:
        """Note every app that there is; those that are not among them are gone."""
        found = {app.id: app for app in apps}
        for app_id in [*(self._known.keys() - found.keys()), *(self._foreign.keys() - found.keys())]:
            self.put(app_id, None)
        for app_id, app in found.items():
            self.put(app_id, app)

    def put(self, app_id: str, app: App | None) -> None:
        """Note an app as it is now, or that there is none of that id any more."""
        known = self._known.get(app_id)
        if app is not None and known is not None and known.app == app:
            return
        self._foreign.pop(app_id, None)
        stored = self._said(app, known) if app is not None else None
        if app is None or stored is None or stored.owner_id != self._owner_id:
            if app is not None and stored is not None:
                self._foreign[app_id] = stored.owner_id
            self._forget(app_id)
            return
        if known is None or known.stored != stored:
            self._forget(app_id)
            known = self._known[app_id] = Known(app=app, stored=stored, marks=_marks(app))
        known.app = app
        self._ids[stored.key] = app_id
        self._note_exits(known)
        self._stale[app_id] = None

    def put_deployments(self, deployments: Iterable[Deployment]) -> None:
        """Note what Marathon is carrying out, and so which tasks it waits for."""
        if not self._reports_ready:
            return
        found: dict[str, frozenset[str]] = {}
        for deployment in deployments:
            for app_id in deployment.affected_apps:
                known = self._known.get(app_id)
                if known is not None:
                    waited = frozenset(task for task in _tasks(known.app) if is_waited_for(task, deployment, known.app))
                    found[app_id] = found.get(app_id, frozenset()) | waited
        found = {app_id: waited for app_id, waited in found.items() if waited}
        for app_id in found.keys() | self._unready.keys():
            if found.get(app_id) != self._unready.get(app_id):
                self._stale[app_id] = None
        self._unready = found

    def put_going(self, tasks: frozenset[str]) -> None:
        """Note which tasks were told to end and may not have heard of it yet."""
        moved = tasks ^ self._going
        self._going = tasks
        for app_id, known in self._known.items() if moved else ():
            if not moved.isdisjoint(_tasks(known.app)):
                self._stale[app_id] = None

    def judge(self, app_id: str, judged: str, drift: tuple[Drift, ...]) -> None:
        """Note what others have changed of an app, as of a configuration of it."""
        known = self._known.get(app_id)
        if known is not None:
            known.judged = judged
            if known.drift != drift:
                known.drift = drift
                self._stale[app_id] = None

    def explain(self, found: Mapping[str, Why]) -> None:
        """Note why apps are not as they were asked to be, by id; those not named are."""
        for app_id in found.keys() | self._explained:
            known = self._known.get(app_id)
            if known is not None and known.why is not found.get(app_id, NO_REASON):
                known.why = found.get(app_id, NO_REASON)
                self._stale[app_id] = None
        self._explained = frozenset(found)

    def place_anew(self) -> None:
        """Have every group made anew: agents have other names now."""
        self._stale.update(dict.fromkeys(self._known))

    # ---- what is ----

    def id_of(self, key: GroupKey) -> str | None:
        """Return which app a group is, if it is there and ours."""
        return self._ids.get(key)

    def known(self, app_id: str) -> Known | None:
        """Return an app of ours, by its id."""
        return self._known.get(app_id)

    def owner_of(self, app_id: str) -> str | None:
        """Return the owner id of an app that belongs to another fleet's owner."""
        return self._foreign.get(app_id)

    def is_ours(self, app_id: str) -> bool:
        """Return whether an app is one of ours."""
        return app_id in self._known

    @property
    def apps(self) -> Mapping[str, Known]:
        """Every app of ours, by id."""
        return MappingProxyType(self._known)

    def version(self, app_id: str) -> str | None:
        """Return the token of a group as it was shown last, or as it is where it was not yet."""
        self._refresh()
        known = self._known.get(app_id)
        return known.shown.version if known is not None and known.shown is not None else None

    def replica(self, replica: str) -> tuple[str, Replica] | None:
        """Return a replica as it was shown last, with the app that it is of."""
        self._refresh()
        for app_id, known in self._known.items():
            for one in known.shown.replicas if known.shown is not None else ():
                if one.id == replica:
                    return app_id, one
        return None

    @property
    def last(self) -> Snapshot | None:
        """What :meth:`snapshot` returned last; from any thread."""
        return self._last

    def snapshot(self) -> Snapshot:
        """Return what the cluster looks like; the same object while nothing of it changed."""
        self._refresh()
        made = Snapshot(
            capabilities=self.capabilities,
            nodes=self.nodes,
            groups=self._groups,
            foreign_owners=frozenset(self._foreign.values()),
        )
        last = self._last
        if last is None or not (
            last.nodes is made.nodes
            and last.groups is made.groups
            and (last.capabilities, last.foreign_owners) == (made.capabilities, made.foreign_owners)
        ):
            self._last = last = made
        return last

    # ---- how it works ----

    def _said(self, app: App, known: Known | None) -> Stored | None:
        """Return what an app says of itself; of one that says nothing any more, what it said."""
        try:
            said = self._recognise(app)
        except ValueError as error:
            if known is None:
                _LOG.warning("app %s looks like one of ours and cannot be read; it is left alone: %s", app.id, error)
            said = None
        return said if said is not None or known is None else known.stored

    def _forget(self, app_id: str) -> None:
        known = self._known.pop(app_id, None)
        if known is not None:
            self._ids.pop(known.stored.key, None)
            self._stale[app_id] = None

    def _note_exits(self, known: Known) -> None:
        """Keep how instances ended: Marathon tells of one failure per app, and only of the last."""
        app = known.app
        there = {instance_of(task)[0] for task in _tasks(app)}
        known.exits = {instance: end for instance, end in known.exits.items() if instance in there}
        failure = app.last_task_failure
        if failure is not None and (instance := instance_of(failure.task_id)[0]) in there:
            known.exits[instance] = exit_of(failure)

    def _refresh(self) -> None:
        stale, self._stale = self._stale, {}
        changed: dict[str, Group | None] = {}
        for app_id in stale:
            known = self._known.get(app_id)
            before = known.shown if known is not None else None
            after = self._group(known) if known is not None else None
            if known is not None:
                known.shown = after
            if after is not before or (after is None and app_id in self._places):
                changed[app_id] = after
        if changed:
            self._show(changed)

    def _group(self, known: Known) -> Group:
        app, stored = known.app, known.stored
        around = Around(
            node_of=self.node_of,
            reports_ready=self._reports_ready,
            unready=self._unready.get(app.id, frozenset()),
            exits=known.exits,
            going=self._going,
            why=known.why,
        )
        replicas = replicas_of(app, around)
        made = Group(
            key=stored.key,
            owner=stored.owner,
            owner_id=stored.owner_id,
            generation=stored.generation,
            target=app.instances,
            template=stored.template,
            version=_token(app, replicas),
            replicas=replicas,
            reason=known.why.app,
            drift=known.drift,
        )
        return known.shown if known.shown == made else made

    def _show(self, changed: Mapping[str, Group | None]) -> None:
        """Put changed groups in their places; only where groups come or go is everything put in order anew."""
        if all(group is not None and app_id in self._places for app_id, group in changed.items()):
            groups = list(self._groups)
            for app_id, group in changed.items():
                if group is not None:
                    groups[self._places[app_id]] = group
            self._groups = tuple(groups)
            return
        shown = [(app_id, known.shown) for app_id, known in self._known.items() if known.shown is not None]
        shown.sort(key=lambda one: one[1].key)
        self._places = {app_id: place for place, (app_id, _) in enumerate(shown)}
        self._groups = tuple(group for _, group in shown)


def is_waited_for(task_id: str, deployment: Deployment, app: App) -> bool:
    """Return whether a deployment has not found a task ready yet, of an app that it asks whether it is.

    It asks what was started since it began, and shows what it has asked; one that was ready before is not asked again.
    """
    for action in deployment.current_actions:
        if action.app != app.id:
            continue
        for result in action.readiness_check_results:
            if result.task_id == task_id:
                return not result.ready
    return False


def _marks(app: App) -> Mapping[str, str]:
    return {name: value for name, value in app.labels.items() if name.startswith(names.PREFIX)}


def _tasks(app: App) -> list[str]:
    return [task.id for task in app.tasks or ()]


def _token(app: App, replicas: tuple[Replica, ...]) -> str:
    """Return the version of a group: what is stored of it, and which replicas it has."""
    members = " ".join(sorted(replica.id for replica in replicas))
    return f"{app.version}.{zlib.crc32(members.encode()):08x}"
