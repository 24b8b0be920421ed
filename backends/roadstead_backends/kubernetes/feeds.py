"""Everything that is watched of a cluster, and how it gets into the view of it.

ReplicaSets, pods, Services and budgets must be seen, or nothing is. The rest may be forbidden to us: then less is known
(no nodes, no foreign use, no quotas), and that is said in a note. Where placement is ours, nodes and foreign pods must
be seen, too.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import attrs

from roadstead.errors import BackendError, Forbidden, Rejected, Unreachable
from roadstead.units import Duration
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.faults import NotFound
from roadstead_backends.kubernetes.meta import Object
from roadstead_backends.kubernetes.objects import (
    Autoscaler,
    Budget,
    Complaint,
    LimitRange,
    Node,
    Pod,
    ReplicaSet,
    ResourceQuota,
    Service,
    StorageClass,
    StrangePod,
    VerticalAutoscaler,
    VolumeClaim,
)
from roadstead_backends.kubernetes.reflector import Following, Reflector
from roadstead_backends.kubernetes.transport import Transport
from roadstead_backends.kubernetes.view import View

__all__ = ["Feeds", "Place"]

T = TypeVar("T", bound=Object)

_FIRST: Final = Duration(30_000)
_BEHIND: Final = Duration(10_000)
_TROUBLED: Final = Duration(5_000)
"""For how long a watch may be broken before what it showed last counts as no answer."""

_ASKING: Final = Duration(5_000)
_EVENTS: Final = Following(idle=Duration(330_000))
"""How events are followed: the server keeps no bookmarks for them, so a silent watch says nothing until it is ended."""
_ASKED_AGAIN_AFTER: Final = Duration(60_000)
"""How long what we may not see is left alone: rights are given back, and kinds are installed, while we run."""


@attrs.frozen(kw_only=True)
class Place:
    """Where our objects are, and whose they are.

    With ``directed``, our placement picks the node. With ``reaches``, we can connect to replicas: readiness is the
    runtime's word, and whoever we tell to stop has been drained. ``model_roots`` are the folders of nodes that models
    may be in, any where there are none.
    """

    namespace: str
    fleet: str
    owner_id: str
    directed: bool
    reaches: bool = True
    model_roots: tuple[str, ...] = ()

    def path(self, group: str, kind: str) -> str:
        """Return the path of a kind of objects in our namespace; the core group is empty.

        >>> Place(namespace="models", fleet="f", owner_id="o", directed=False).path("apps/v1", "replicasets")
        '/apis/apps/v1/namespaces/models/replicasets'
        """
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{kind}"


@attrs.frozen(kw_only=True)
class _Feed:
    """One kind: where it is, what of it, and who takes what changed.

    ``lacking`` is what is not known without it; empty where it cannot be done without. ``seen`` is told when
    it begins to be watched, and ``unseen`` when it cannot be watched any more.
    """

    name: str
    path: str
    kind: type[Any]
    take: Callable[[str, Any], None]
    query: dict[str, str] = attrs.field(factory=dict)
    following: Following | None = None
    lacking: str = ""
    seen: Callable[[], None] = lambda: None
    unseen: Callable[[], None] = lambda: None


class Feeds:
    """The reflectors of one cluster, and the view that they feed; for the cluster's one thread."""

    def __init__(self, transport: Transport, place: Place, view: View) -> None:
        self._transport = transport
        self._place = place
        self._view = view
        self._wake: Callable[[], None] = lambda: None
        self._reflectors: dict[str, Reflector[Any]] = {}
        self._known: dict[str, dict[str, Any]] = {}
        self._complained: dict[str, str] = {}
        self._complaints = Counter[str]()
        self._all = {feed.name: feed for feed in self._feeds()}
        self._lacking: dict[str, str] = {}
        self._asked_at = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not known of the cluster, and why, a sentence each."""
        return tuple(filter(None, self._lacking.values()))

    @property
    def has_begun(self) -> bool:
        """Whether the cluster was ever seen."""
        return bool(self._reflectors)

    def watch(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called from any thread when something changes."""
        self._wake = wake

    def begin(self) -> None:
        """Begin to watch all that we may see; raises what keeps us from seeing what we must."""
        refusals = {feed.name: self._refusal(feed) for feed in self._all.values()}
        for feed in self._all.values():
            refused = refusals[feed.name]
            if refused is not None and not feed.lacking:
                raise refused
        for feed in self._all.values():
            refused = refusals[feed.name]
            if refused is not None:
                self._note(feed, refused)
            else:
                self._follow(feed)
        self._asked_at = time.monotonic()

    def take(self) -> None:
        """Bring the view up to date, never behind our own writes; raises where that cannot be done."""
        self._ask_again()
        for name, reflector in tuple(self._reflectors.items()):
            try:
                self._wait_for(reflector)
            except (Forbidden, Rejected) as refused:
                self._do_without(name, refused)
        # Nodes before pods, or all pods would be read again once their nodes are known; and after them, so that every
        # node that a pod is on is there.
        for name in ("nodes", *self._reflectors):
            if name in self._reflectors:
                self._hand_over(self._all[name], self._reflectors[name])

    def expect(self, name: str, written: Any) -> None:
        """Remember what the server answered to a write of ours to one kind."""
        reflector = self._reflectors.get(name)
        if reflector is not None:
            reflector.expect(written.metadata)

    def expect_gone(self, name: str, namespace: str, key: str, uid: str) -> None:
        """Remember that the server removed an object for us."""
        reflector = self._reflectors.get(name)
        if reflector is not None:
            reflector.expect_gone((namespace, key), uid)

    def close(self) -> None:
        """End every watch."""
        for reflector in self._reflectors.values():
            reflector.close()

    # ---- which ones ----

    def _feeds(self) -> Iterator[_Feed]:
        place, view = self._place, self._view
        ours = {"labelSelector": names.selector_of(place.fleet)}
        yield _Feed(
            name="replicasets",
            path=place.path("apps/v1", "replicasets"),
            kind=ReplicaSet,
            take=view.put_group,
            query=ours,
        )
        yield _Feed(name="pods", path=place.path("", "pods"), kind=Pod, take=view.put_pod, query=ours)
        yield _Feed(
            name="services",
            path=place.path("", "services"),
            kind=Service,
            take=view.standing.put_service,
            query=ours,
        )
        yield _Feed(
            name="budgets",
            path=place.path("policy/v1", "poddisruptionbudgets"),
            kind=Budget,
            take=view.standing.put_budget,
            query=ours,
        )
        yield from self._feeds_of_room()
        yield from self._feeds_of_others()
        yield from self._feeds_of_rules()

    def _feeds_of_room(self) -> Iterator[_Feed]:
        ground, directed = self._view.ground, self._place.directed
        yield _Feed(
            name="nodes",
            path="/api/v1/nodes",
            kind=Node,
            take=ground.put_node,
            lacking="" if directed else "nodes are not shown",
            seen=self._see_nodes,
            unseen=self._lose_nodes,
        )
        yield _Feed(
            name="strangers",
            path="/api/v1/pods",
            kind=StrangePod,
            take=ground.put_stranger,
            query={
                "labelSelector": f"{names.OWNER_ID}!={self._place.owner_id}",
                "fieldSelector": "status.phase!=Succeeded,status.phase!=Failed",
            },
            lacking="" if directed else "what others hold of nodes is not known",
        )

    def _feeds_of_others(self) -> Iterator[_Feed]:
        place, standing = self._place, self._view.standing
        yield _Feed(
            name="quotas",
            path=place.path("", "resourcequotas"),
            kind=ResourceQuota,
            take=standing.put_quota,
            lacking="quotas of the namespace are not known",
        )
        yield _Feed(
            name="autoscalers",
            path=place.path("autoscaling/v2", "horizontalpodautoscalers"),
            kind=Autoscaler,
            take=self._view.put_autoscaler,
            lacking="autoscalers of others are not seen",
        )
        yield _Feed(
            name="verticals",
            path=place.path("autoscaling.k8s.io/v1", "verticalpodautoscalers"),
            kind=VerticalAutoscaler,
            take=self._view.put_vertical,
            lacking="vertical autoscalers of others are not seen",
        )
        yield _Feed(
            name="events",
            path=place.path("", "events"),
            kind=Complaint,
            take=self._take_complaint,
            query={"fieldSelector": "type=Warning,involvedObject.kind=Pod"},
            following=_EVENTS,
            lacking="warnings about pods are not seen",
        )

    def _feeds_of_rules(self) -> Iterator[_Feed]:
        place, rules = self._place, self._view.rules
        yield _Feed(
            name="limits",
            path=place.path("", "limitranges"),
            kind=LimitRange,
            take=rules.put_limits,
            lacking="what each replica may have by LimitRanges is not known",
        )
        if not place.directed:
            return
        lacking = "volumes that wait for the cluster's own scheduler are not recognised"
        yield _Feed(
            name="claims",
            path=place.path("", "persistentvolumeclaims"),
            kind=VolumeClaim,
            take=rules.put_claim,
            lacking=lacking,
        )
        yield _Feed(
            name="storage",
            path="/apis/storage.k8s.io/v1/storageclasses",
            kind=StorageClass,
            take=rules.put_storage,
            lacking=lacking,
        )

    def _see_nodes(self) -> None:
        self._view.ground.is_seen = True

    def _lose_nodes(self) -> None:
        self._view.ground.is_seen = False

    def _take_complaint(self, name: str, complaint: Complaint | None) -> None:
        """Hand over the last warning about a pod, of those that the cluster still has."""
        about = self._complained.pop(name, None)
        if about is not None:
            self._complaints[about] -= 1
        if complaint is not None:
            uid = complaint.involved_object.uid
            self._complained[name] = uid
            self._complaints[uid] += 1
            self._view.put_complaint(uid, complaint)
        if about is not None and not self._complaints[about]:
            del self._complaints[about]
            self._view.put_complaint(about, None)

    # ---- how they are followed ----

    def _refusal(self, feed: _Feed) -> BackendError | None:
        """Return why we may not see a kind, ``None`` if we may; raises where nobody can tell now."""
        try:
            self._transport.call("GET", feed.path, query={**feed.query, "limit": "1"}, timeout=_ASKING)
        except (Forbidden, Rejected) as refused:
            return refused
        return None

    def _started(self, feed: _Feed) -> Reflector[Any]:
        reflector = Reflector(
            self._transport,
            feed.path,
            feed.kind,
            query=feed.query,
            wake=self._woken,
            following=feed.following,
            chance=random.Random(),  # noqa: S311  # spreads load, guards nothing
        )
        reflector.start()
        return reflector

    def _do_without(self, name: str, refused: BackendError) -> None:
        """Go on without a kind that we may not see any more; raises where it cannot be done without.

        What was seen of it is taken back: nobody would ever say that it has changed.
        """
        feed = self._all[name]
        if not feed.lacking:
            raise refused
        self._reflectors.pop(name).close()
        feed.unseen()
        for key in self._known.pop(name, {}):
            feed.take(key, None)
        self._note(feed, refused)

    def _note(self, feed: _Feed, refused: BackendError) -> None:
        """Remember what we do without; of a kind that the cluster does not have, there is nothing to be known."""
        self._lacking[feed.name] = "" if isinstance(refused, NotFound) else f"{feed.lacking}: {refused}"

    def _ask_again(self) -> None:
        """Follow what we may see by now."""
        if not self._lacking or time.monotonic() - self._asked_at < _ASKED_AGAIN_AFTER.seconds:
            return
        self._asked_at = time.monotonic()
        for name in tuple(self._lacking):
            try:
                refused = self._refusal(self._all[name])
            except BackendError:
                continue  # whether the cluster answers at all is found out elsewhere
            if refused is not None:
                self._note(self._all[name], refused)
            else:
                del self._lacking[name]
                self._follow(self._all[name])

    def _follow(self, feed: _Feed) -> None:
        self._reflectors[feed.name] = self._started(feed)
        feed.seen()

    def _woken(self) -> None:
        self._wake()

    def _wait_for(self, reflector: Reflector[Any]) -> None:
        if not reflector.is_synced and not reflector.wait_until_synced(_FIRST):
            raise self._behind(reflector, "the first list of its objects did not come")
        if not reflector.catch_up(_BEHIND):
            raise self._behind(reflector, "what it shows is older than what we wrote")
        trouble = reflector.trouble
        if trouble is not None and trouble.lasts() > _TROUBLED:
            raise self._behind(reflector, "it cannot be watched")

    def _behind(self, reflector: Reflector[Any], what: str) -> BackendError:
        trouble = reflector.trouble
        if trouble is not None and isinstance(trouble.error, Forbidden | Rejected | Unreachable):
            return trouble.error
        why = f": {trouble.error}" if trouble is not None else ""
        return Unreachable(f"{what}{why}", cluster=self._transport.cluster)

    def _hand_over(self, feed: _Feed, reflector: Reflector[Any]) -> None:
        """Give what changed to whoever takes it; after a loss, what is not there any more is said to be gone."""
        changes = reflector.changes()
        keyed = {_name(feed, key): one for key, one in changes.objects.items()}
        known = self._known.setdefault(feed.name, {})
        if changes.everything:
            keyed = {**dict.fromkeys(known.keys() - keyed.keys()), **keyed}
        for name, one in keyed.items():
            feed.take(name, one)
            if one is None:
                known.pop(name, None)
            else:
                known[name] = None


def _name(feed: _Feed, key: tuple[str, str]) -> str:
    """Return what an object is known by: names are unique in our namespace, and not over all of them."""
    return "/".join(key) if feed.name == "strangers" else key[1]
