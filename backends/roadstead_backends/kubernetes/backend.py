"""The ``kubernetes`` backend: each group a ReplicaSet of one namespace, each replica a pod.

What is decided on is what :meth:`KubernetesBackend.observe` returned last, with our own writes since. Every change
names the state of the object that it is meant for; where the object has moved on by itself (the cluster reports about
it all the time), it is read again, and the change is made only if nothing has moved that a decision could rest on.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from roadstead.capabilities import Capabilities
from roadstead.errors import BackendError, Conflict, Forbidden, OutOfCapacity, Rejected
from roadstead.spi.backend import Expect, GroupOrder
from roadstead.units import Duration
from roadstead.world import GroupKey, Phase, Snapshot, Usage
from roadstead_backends.kubernetes import names, translate
from roadstead_backends.kubernetes.abilities import capabilities
from roadstead_backends.kubernetes.adoption import Adopter
from roadstead_backends.kubernetes.binding import lacks
from roadstead_backends.kubernetes.faults import AlreadyExists, NotFound
from roadstead_backends.kubernetes.feeds import Feeds, Place
from roadstead_backends.kubernetes.judging import Judge
from roadstead_backends.kubernetes.logs import Log
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.objects import Pod, ReplicaSet
from roadstead_backends.kubernetes.probes import is_hurried
from roadstead_backends.kubernetes.reading import has_ended
from roadstead_backends.kubernetes.server import server_minor
from roadstead_backends.kubernetes.settling import Settler
from roadstead_backends.kubernetes.shards import token_of
from roadstead_backends.kubernetes.transport import Transport
from roadstead_backends.kubernetes.usage import UsageReader
from roadstead_backends.kubernetes.view import View
from roadstead_backends.kubernetes.writing import Writer

__all__ = ["KubernetesBackend"]

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

_TRIES: Final = 4
_UNKNOWN: Final = Usage()
_ALIVE: Final = Duration(10_000)


class KubernetesBackend:
    """Drives one namespace of a cluster. Made by :func:`roadstead_backends.kubernetes.connect.connect`."""

    def __init__(self, cluster: str, transport: Transport, place: Place, *, manager: str) -> None:
        self._cluster = cluster
        self._transport = transport
        self._place = place
        self._minor: int | None = None
        able = capabilities(place, minor=None, notes=transport.notes)
        self._view = View(place.owner_id, able, reports_ready=not place.reaches)
        self._feeds = Feeds(transport, place, self._view)
        self._writer = Writer(transport, place, manager, self._told)
        self._settler = Settler(self._writer, self._view.standing, place, cluster, self._told_gone)
        self._judge = Judge(self._writer, self._view, cluster)
        self._usage = UsageReader(transport, place.namespace, names.selector_of(place.fleet))

    # ---- the contract ----

    @property
    def capabilities(self) -> Capabilities:
        """What this cluster can do; less than it can, as long as it has not answered."""
        with contextlib.suppress(BackendError):
            self._begin()
        return self._view.capabilities

    def observe(self) -> Snapshot:
        """Return what the cluster looks like; raises where it does not answer now."""
        self._catch_up()
        self._judge.look()
        self._view.at(int(time.time() * 1000))
        return self._view.snapshot()

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create the group, or converge an existing one to ``target`` replicas."""
        subject = str(order.key)
        self._begin()
        stored = self._expected(order.key, expect)
        if stored is None:
            self._create(order, target)
            return
        if stored.metadata.deletion is not None:
            raise self._conflict(subject, "it is being deleted")
        pods = tuple(self._view.pods_of(stored.metadata.name).values())
        with contextlib.suppress(Forbidden):  # what has ended then lies there
            for pod in filter(has_ended, pods):
                self._writer.bury_pod(pod, subject)
        if target < stored.spec.replicas:
            with contextlib.suppress(Forbidden):  # who goes first is then the cluster's choice alone
                self._point_at(pods, retire, subject)
        self._write_counts(order, target, stored, expect)

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove the group and stop what is left of it."""
        subject = str(key)
        self._begin()
        stored = self._view.stored(self._name(key))
        if stored is None and self._view.owner_of(self._name(key)) is None:
            return
        stored = self._expected(key, expect)
        if stored is None or stored.metadata.deletion is not None:
            return
        name, pods = stored.metadata.name, tuple(self._view.pods_of(self._name(key)).values())
        left = self._insist(stored, expect, lambda now: self._writer.delete_group(now, subject))
        if left is None:
            self._told_gone("replicasets", stored.metadata)
            self._view.put_group(name, None)
        for pod in pods:
            if is_hurried(grace, pod.spec.termination_grace_period_seconds):
                self._end(pod, grace)
        self._settler.remove_group_service(name, subject)

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Put the slot ``replica`` on ``node``; ``devices`` are counted for it, the kubelet picks which it gets."""
        self._begin()
        if not self._place.directed:
            raise Rejected("this cluster's own scheduler picks the node", cluster=self._cluster, subject=replica)
        pod = self._known(replica)
        seat = self._view.seat_of(replica)
        if seat is not None:
            if seat == node and pod.metadata.deletion is None and not has_ended(pod):
                return
            raise self._conflict(replica, "it is bound elsewhere")
        missing = lacks(self._view, pod, node, devices)
        if missing is not None:
            raise OutOfCapacity(missing, cluster=self._cluster, subject=replica)
        said = ",".join(devices)
        try:
            self._writer.bind_pod(pod, node, {names.DEVICES: said} if said else {}, replica)
        except NotFound as gone:
            raise self._conflict(replica, "there is no such slot") from gone
        except Conflict:
            self._must_be_bound(pod, node)
        self._view.assume(replica, node, said)

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:  # noqa: ARG002  # shown nowhere here
        """Stop one replica, if the disruption budget allows it; its ReplicaSet makes another.

        Where it has been drained, ``grace`` is short; else it goes on serving for a while, as its own grace says.
        """
        self._begin()
        pod = self._known(replica)
        if has_ended(pod):
            self._writer.bury_pod(pod, replica)
            return
        if pod.metadata.deletion is not None:
            return
        try:
            hurried = is_hurried(grace, pod.spec.termination_grace_period_seconds)
            self._writer.evict_pod(pod, grace if hurried else None, replica)
        except NotFound as gone:
            raise self._conflict(replica, "there is no such replica") from gone

    def lose(self, replica: str) -> None:
        """Remove a pod at once, without asking its server to end."""
        self._begin()
        try:
            self._writer.bury_pod(self._known(replica), replica)
        except NotFound as gone:
            raise self._conflict(replica, "there is no such replica") from gone

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        """Put back the template that the group carries; its count stays."""
        self._begin()
        subject = str(key)
        stored = self._expected(key, expect)
        if stored is None:
            raise self._conflict(subject, "there is no such group")
        written = self._insist(stored, expect, lambda now: self._judge.put_back(now, subject))
        self._view.put_group(stored.metadata.name, written)

    def settle(self, deployment: str, floor: int | None) -> None:
        """Have the Service and the budget of a deployment stand, or remove all that stands for it."""
        self._begin()
        self._settler.settle(deployment, floor)

    def usage(self) -> Mapping[str, Usage]:
        """Return the use of every replica that runs; what of it nobody measures is unknown."""
        self._begin()
        running = {
            replica.id: replica.node
            for group in self._view.snapshot().groups
            for replica in group.replicas
            if replica.phase is Phase.RUNNING and replica.node is not None
        }
        known = self._usage.read(running)
        return {replica: known.get(replica, _UNKNOWN) for replica in running}

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield a replica's output, oldest first, in whole lines."""
        self._begin()
        if self._view.pod(replica) is None:
            hint = "see `roadstead status`"
            raise Rejected("there is no such replica", cluster=self._cluster, subject=replica, hint=hint)
        log = Log.of_pod(self._transport, self._place.namespace, replica, names.SERVER)
        yield from log.read(tail=tail, follow=follow)

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` as soon as the cluster tells of a change, until `close`."""
        self._feeds.watch(wake)

    def close(self) -> None:
        """End the watches and the connections; everything goes on in the cluster."""
        self._feeds.watch(lambda: None)
        self._feeds.close()
        self._transport.close()

    # ---- looking ----

    def _begin(self) -> None:
        """See that the cluster was looked at before anything is changed in it."""
        if not self._feeds.has_begun:
            self._catch_up()

    def _catch_up(self) -> None:
        """Bring the view up to date; whether the cluster answers at all, only a question can tell."""
        self._transport.call(
            "GET",
            self._place.path("apps/v1", "replicasets"),
            query={"limit": "1", "labelSelector": names.selector_of(self._place.fleet)},
            timeout=_ALIVE,
        )
        if not self._feeds.has_begun:
            self._minor = server_minor(self._transport)
            self._feeds.begin()
        self._feeds.take()
        notes = (*self._transport.notes, *self._feeds.notes, *self._usage.notes)
        able = capabilities(self._place, minor=self._minor, notes=notes, rules=self._view.rules)
        if able != self._view.capabilities:
            self._view.capabilities = able

    def _told(self, feed: str, written: object) -> None:
        self._feeds.expect(feed, written)

    def _told_gone(self, feed: str, meta: Meta) -> None:
        self._feeds.expect_gone(feed, self._place.namespace, meta.name, meta.uid)

    # ---- changing groups ----

    def _create(self, order: GroupOrder, target: int) -> None:
        subject = str(order.key)
        if order.adopts:
            adopted = Adopter(self._transport, self._place).take_over(order)
            if adopted is not None:
                self._view.put_group(adopted.metadata.name, adopted)
                self._told("replicasets", adopted)
                return
        try:
            document = translate.replica_set(order, target, directed=self._place.directed)
        except ValueError as error:
            raise Rejected(str(error), cluster=self._cluster, subject=subject, hint="see the fleet file") from error
        name = document["metadata"]["name"]
        # Before the group: a group without it would be one that nobody looks after.
        self._settler.make_group_service(order)
        try:
            self._view.put_group(name, self._writer.create_group(document, subject))
        except AlreadyExists as taken:
            raise self._conflict(subject, self._whose(name, subject)) from taken

    def _whose(self, name: str, subject: str) -> str:
        """Return what is in the way of a new group."""
        found = self._writer.read_group(name, subject)
        owner_id = found.metadata.labels.get(names.OWNER_ID) if found is not None else None
        if found is None:
            return "it was there, and is gone"
        if owner_id is None:
            return f"there is a ReplicaSet {name} that is not ours"
        return "it is there already" if owner_id == self._place.owner_id else f"it belongs to {owner_id!r}"

    def _write_counts(self, order: GroupOrder, target: int, stored: ReplicaSet, expect: Expect) -> None:
        meta = stored.metadata
        is_same = (
            stored.spec.replicas,
            meta.annotations.get(names.OWNER),
            meta.annotations.get(names.GENERATION),
        ) == (target, order.owner, str(order.generation))
        if is_same:
            return

        def write(now: ReplicaSet) -> ReplicaSet:
            counts = self._counts(order, target, now)
            return self._writer.apply_counts(counts, now, str(order.key))

        self._view.put_group(meta.name, self._insist(stored, expect, write))

    def _counts(self, order: GroupOrder, target: int, now: ReplicaSet) -> dict[str, object]:
        """Return what a group in this state is told; a foreign change that shows goes on showing."""
        name, meta = now.metadata.name, now.metadata
        sent = None if self._view.standing.scaled_by(name) else target
        written = meta.annotations.get(names.WRITTEN, "")
        if self._view.is_clean(name):
            written = str(meta.generation + (sent not in (None, now.spec.replicas)))
        said = translate.counts(order, sent, written=written)
        return {**said, "metadata": {**said["metadata"], "name": name}}  # its maker may have called it otherwise

    def _insist(self, stored: ReplicaSet, expect: Expect, change: Callable[[ReplicaSet], T]) -> T:
        """Make a change to a ReplicaSet, as often as needed where it only reports something else by now."""
        name, subject = stored.metadata.name, str(names.key_of(stored.metadata.labels))
        for _ in range(_TRIES):
            try:
                return change(stored)
            except Conflict as conflict:
                now = self._writer.read_group(name, subject)
                pods = self._view.pods_of(name)
                if now is None or token_of(now, pods) != expect.version:
                    raise self._conflict(subject, "it was changed since it was observed") from conflict
                stored = now
        raise self._conflict(subject, f"it changed {_TRIES} times while it was to be changed")

    def _point_at(self, pods: Iterable[Pod], retire: tuple[str, ...], subject: str) -> None:
        """Have those in ``retire`` be preferred when pods are given up, and nobody else who was so before."""
        for pod in pods:
            if pod.metadata.deletion is None and not has_ended(pod):
                self._writer.prefer_to_go(pod, first=pod.metadata.name in retire, subject=subject)

    def _end(self, pod: Pod, grace: Duration) -> None:
        """End a pod sooner than it would by itself; where that cannot be asked, it ends in its own time."""
        try:
            self._writer.delete_pod(pod, grace, pod.metadata.name)
        except BackendError as error:
            _LOG.info("%s ends in its own time: %s", pod.metadata.name, error)

    # ---- preconditions ----

    def _name(self, key: GroupKey) -> str:
        return self._view.adopted_name(key) or names.group_name(self._place.fleet, key)

    def _known(self, replica: str) -> Pod:
        pod = self._view.pod(replica)
        if pod is None:
            raise self._conflict(replica, "there is no such replica")
        return pod

    def _expected(self, key: GroupKey, expect: Expect) -> ReplicaSet | None:
        """Return the group as it must be for a change to go on: ours and unchanged, or absent."""
        name, subject = self._name(key), str(key)
        owner_id = self._view.owner_of(name)
        if owner_id is not None:
            raise self._conflict(subject, f"it belongs to {owner_id!r}")
        version = self._view.version(name)
        if version != expect.version:
            raise self._conflict(subject, f"its version is {version!r}, not {expect.version!r}")
        return self._view.stored(name)

    def _must_be_bound(self, pod: Pod, node: str) -> None:
        """Return if a pod is on the node after all, as where the answer to the first request was lost."""
        now = self._writer.read_whole("pods", pod.metadata.name, pod.metadata.name)
        found = (now or {}).get("spec", {}).get("nodeName", "")
        same = now is not None and now["metadata"]["uid"] == pod.metadata.uid
        if not same or found != node:
            raise self._conflict(pod.metadata.name, f"it is bound to {found!r}" if found else "it is no slot any more")

    def _conflict(self, subject: str, why: str) -> Conflict:
        return Conflict(why, cluster=self._cluster, subject=subject, hint="observe again")
