"""What a cluster looks like, kept up to date object by object, so that what did not change costs nothing.

Pure but for its own memory: it is told which objects changed, and answers with a snapshot that shares with the one
before it every group, and in the end itself, that is as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import attrs

from roadstead.capabilities import Capabilities
from roadstead.model import Template
from roadstead.world import Drift, Group, GroupKey, Phase, Replica, Snapshot
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.ground import Ground
from roadstead_backends.kubernetes.objects import Autoscaler, Complaint, Pod, ReplicaSet, VerticalAutoscaler
from roadstead_backends.kubernetes.reading import Around, replica_of
from roadstead_backends.kubernetes.rules import Rules
from roadstead_backends.kubernetes.shards import Shard, group_of, is_as_written, template_of, token_of
from roadstead_backends.kubernetes.standing import Standing

__all__ = ["Suspect", "View"]

_LOG = logging.getLogger(__name__)
_NOBODY: Mapping[str, Pod] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Suspect:
    """A group whose object somebody else has written to; whether that matters, only the whole object can tell."""

    name: str
    uid: str


class View:
    """The objects of one fleet in one namespace, as groups and replicas.

    ``ground`` has the nodes, ``standing`` what stands beside the groups, ``rules`` what the namespace allows.
    ``capabilities`` may be changed at any time.
    """

    def __init__(self, owner_id: str, capabilities: Capabilities, *, reports_ready: bool = False) -> None:
        self.capabilities = capabilities
        self.ground = Ground()
        self.standing = Standing(owner_id)
        self.rules = Rules()
        self._owner_id = owner_id
        self._reports_ready = reports_ready
        self._shards: dict[str, Shard] = {}
        self._uids: dict[str, str] = {}
        self._foreign: dict[str, str] = {}
        self._pods: dict[str, Pod] = {}
        self._complaints: dict[str, Complaint] = {}
        self._assumed: dict[str, tuple[str, str]] = {}
        self._seated: dict[str, str] = {}
        self._guests: dict[str, dict[str, Pod]] = {}
        self._now = 0
        self._patience: dict[str, int] = {}
        self._stale: dict[str, None] = {}
        self._written_to: dict[str, None] = {}
        self._put_back: dict[str, None] = {}
        self._adopted: dict[str, GroupKey] = {}
        self._groups: tuple[Group, ...] = ()
        self._places: dict[str, int] = {}
        self._last: Snapshot | None = None

    # ---- what changed ----

    def put_group(self, name: str, stored: ReplicaSet | None) -> None:
        """Note a ReplicaSet as it is now, or that there is none of that name any more."""
        uid = self._uids.pop(name, None)
        self._foreign.pop(name, None)
        self._adopted.pop(name, None)
        self._put_back.pop(name, None)
        if uid is not None and (stored is None or stored.metadata.uid != uid):
            self._shards[uid].stored = None
            self._forget_if_empty(uid)
        if stored is None:
            return
        owner_id = stored.metadata.labels.get(names.OWNER_ID, "")
        if owner_id != self._owner_id:
            self._foreign[name] = owner_id
            return
        self._uids[name] = stored.metadata.uid
        shard = self._shard(stored.metadata.uid)
        shard.stored = stored
        self._stale[stored.metadata.uid] = None
        key = names.key_of(stored.metadata.labels)
        if key is not None and names.ADOPTED in stored.metadata.annotations:
            self._adopted[name] = key
        if names.REVERTED in stored.metadata.annotations:
            self._put_back[name] = None
        if is_as_written(stored):
            shard.drift = ()
        else:
            self._written_to[name] = None

    def put_pod(self, name: str, pod: Pod | None) -> None:
        """Note a pod as it is now, or that there is none of that name any more."""
        before = self._pods.pop(name, None)
        if before is not None and (pod is None or pod.metadata.uid != before.metadata.uid):
            self._drop(before)
        if pod is None or pod.metadata.labels.get(names.OWNER_ID) != self._owner_id:
            return
        self._pods[name] = pod
        if pod.spec.node_name:
            self._assumed.pop(pod.metadata.uid, None)
        self._read(pod)

    def put_complaint(self, uid: str, complaint: Complaint | None) -> None:
        """Note what the cluster complained of last about the pod with this uid."""
        if complaint is None:
            self._complaints.pop(uid, None)
        else:
            self._complaints[uid] = complaint
        pod = self._pods.get(complaint.involved_object.name) if complaint is not None else None
        if pod is not None and pod.metadata.uid == uid:
            self._read(pod)

    def put_autoscaler(self, name: str, autoscaler: Autoscaler | None) -> None:
        """Note an autoscaler of others as it is now."""
        self._look_again_at(self.standing.put_autoscaler(name, autoscaler))

    def put_vertical(self, name: str, autoscaler: VerticalAutoscaler | None) -> None:
        """Note a vertical autoscaler of others as it is now."""
        self._look_again_at(self.standing.put_vertical(name, autoscaler))

    def at(self, now: int) -> None:
        """Note that it is ``now`` (ms since the epoch): whoever is to go on a silent node is given up in its time."""
        self._now = now
        for node, due in tuple(self._patience.items()):
            if due <= now:
                del self._patience[node]
                for pod in tuple(self._guests.get(node, {}).values()):
                    self._read(pod)

    def assume(self, pod: str, node: str, devices: str) -> None:
        """Take a pod to be on a node from now on: it was bound there, and the cluster may show that later."""
        known = self._pods.get(pod)
        if known is not None and not known.spec.node_name:
            self._assumed[known.metadata.uid] = node, devices
            self._read(known)

    def judge(self, uid: str, generation: int, drift: tuple[Drift, ...]) -> None:
        """Note what others have changed of a group, as of a generation of its object."""
        shard = self._shards.get(uid)
        if shard is not None:
            shard.judged, shard.drift = generation, drift
            self._stale[uid] = None

    def mark_drifted(self, name: str, pods: frozenset[str]) -> None:
        """Note which pods of a group were made from what somebody else wrote."""
        shard = self._shards.get(self._uids.get(name, ""))
        if shard is not None and shard.drifted != pods:
            shard.drifted = pods
            for pod in tuple(shard.pods.values()):
                self._read(pod)

    # ---- what is ----

    def suspects(self) -> tuple[Suspect, ...]:
        """Return the groups that somebody else has written to since they were last judged."""
        found = []
        for name in tuple(self._written_to):
            stored = self.stored(name)
            shard = self._shards.get(self._uids.get(name, ""))
            if stored is None or shard is None or is_as_written(stored):
                self._written_to.pop(name)
            elif stored.metadata.deletion is None and shard.judged != stored.metadata.generation:
                found.append(Suspect(name=name, uid=stored.metadata.uid))
        return tuple(found)

    def put_back_once(self) -> tuple[str, ...]:
        """Return the groups that were put back, now or long ago, by name."""
        return tuple(self._put_back)

    def is_clean(self, name: str) -> bool:
        """Return whether nobody but us has written to what a group is made from."""
        shard = self._shards.get(self._uids.get(name, ""))
        if shard is None or shard.stored is None:
            return False
        judged_well = shard.judged == shard.stored.metadata.generation and not shard.drift
        return is_as_written(shard.stored) or judged_well

    def stored(self, name: str) -> ReplicaSet | None:
        """Return the ReplicaSet of a name, if it is ours."""
        shard = self._shards.get(self._uids.get(name, ""))
        return shard.stored if shard is not None else None

    def owner_of(self, name: str) -> str | None:
        """Return the owner id of a ReplicaSet of that name that belongs to others."""
        return self._foreign.get(name)

    def pods_of(self, name: str) -> Mapping[str, Pod]:
        """Return the pods of a group, by name."""
        shard = self._shards.get(self._uids.get(name, ""))
        return MappingProxyType(shard.pods) if shard is not None else _NOBODY

    def pod(self, name: str) -> Pod | None:
        """Return the pod of a name, if it is ours."""
        return self._pods.get(name)

    def seat_of(self, pod: str) -> str | None:
        """Return the node that a pod is on, or was bound to by us; ``None`` where it has none."""
        return self._seated.get(pod)

    def adopted_name(self, key: GroupKey) -> str | None:
        """Return what a group that we took over is called; its maker gave it that name."""
        return next((name for name, adopted in self._adopted.items() if adopted == key), None)

    def template_of(self, pod: Pod) -> Template | None:
        """Return what a pod's group is made from; ``None`` where its group is gone."""
        owner = pod.metadata.controller
        shard = self._shards.get(owner.uid) if owner is not None else None
        return template_of(shard.stored) if shard is not None and shard.stored is not None else None

    def guests(self, node: str) -> Iterator[tuple[Replica, Template]]:
        """Yield our replicas that hold room on a node, each with what it holds."""
        for pod in self._guests.get(node, {}).values():
            owner, template = pod.metadata.controller, self.template_of(pod)
            if owner is None or template is None:
                continue
            replica = self._shards[owner.uid].replicas[pod.metadata.name]
            if replica.phase is not Phase.LOST:
                yield replica, template

    def version(self, name: str) -> str | None:
        """Return the token of a group of ours as it is now; ``None`` where there is none."""
        shard = self._shards.get(self._uids.get(name, ""))
        return token_of(shard.stored, shard.pods) if shard is not None and shard.stored is not None else None

    def snapshot(self) -> Snapshot:
        """Return what the cluster looks like; the same object while nothing of it changed."""
        self._refresh()
        made = Snapshot(
            capabilities=self.capabilities,
            nodes=self.ground.nodes(),
            groups=self._groups,
            foreign_owners=frozenset(self._foreign.values()) | self.standing.foreign_owners,
            quota=self.standing.quota(self._groups),
            settled=self.standing.settled(),
        )
        last = self._last
        if last is None or not (
            last.nodes is made.nodes
            and last.groups is made.groups
            and last.settled is made.settled
            and (last.capabilities, last.foreign_owners, last.quota)
            == (made.capabilities, made.foreign_owners, made.quota)
        ):
            self._last = last = made
        return last

    # ---- how it works ----

    def _shard(self, uid: str) -> Shard:
        return self._shards.setdefault(uid, Shard())

    def _forget_if_empty(self, uid: str) -> None:
        self._stale[uid] = None
        shard = self._shards[uid]
        if shard.stored is None and not shard.pods:
            del self._shards[uid]

    def _drop(self, pod: Pod) -> None:
        self._complaints.pop(pod.metadata.uid, None)
        self._assumed.pop(pod.metadata.uid, None)
        self._seat(pod, None)
        owner = pod.metadata.controller
        shard = self._shards.get(owner.uid) if owner is not None else None
        if owner is None or shard is None:
            return
        shard.pods.pop(pod.metadata.name, None)
        shard.replicas.pop(pod.metadata.name, None)
        self._forget_if_empty(owner.uid)

    def _read(self, pod: Pod) -> None:
        """Keep what a pod says now, and have its group made anew where that is something else than before."""
        owner = pod.metadata.controller
        if owner is None:
            return
        shard, name = self._shard(owner.uid), pod.metadata.name
        shard.pods[name] = pod
        assumed, devices = self._assumed.get(pod.metadata.uid, (None, ""))
        around = Around(
            node_silent=self.ground.is_silent(pod.spec.node_name),
            given_up=self._is_given_up(pod),
            assumed=assumed,
            assumed_devices=devices,
            complaint=self._complaints.get(pod.metadata.uid),
            drifted=name in shard.drifted,
            reports_ready=self._reports_ready,
        )
        replica = replica_of(pod, around)
        self._seat(pod, replica.node)
        if shard.replicas.get(name) != replica:
            shard.replicas[name] = replica
            self._stale[owner.uid] = None

    def _is_given_up(self, pod: Pod) -> bool:
        """Return whether a pod that is to go has not been heard of for too long; where not yet, look again then."""
        node, template = pod.spec.node_name, self.template_of(pod)
        if pod.metadata.deletion is None or not self.ground.is_silent(node):
            return False
        patience = template.health.node_lost_after.ms if template is not None else 0
        due = self.ground.silent_since(node) + patience
        if due > self._now:
            self._patience[node] = min(due, self._patience.get(node, due))
        return due <= self._now

    def _seat(self, pod: Pod, node: str | None) -> None:
        """Note on which node a pod is."""
        name = pod.metadata.name
        before = self._seated.pop(name, None)
        if before is not None:
            self._guests[before].pop(name, None)
        if node is not None:
            self._seated[name] = node
            self._guests.setdefault(node, {})[name] = pod

    def _refresh(self) -> None:
        for node in self.ground.take_moved():
            for pod in tuple(self._guests.get(node, {}).values()):
                self._read(pod)
        stale, self._stale = self._stale, {}
        changed: dict[str, Group | None] = {}
        for uid in stale:
            shard = self._shards.get(uid)
            before = shard.shown if shard is not None else None
            after = group_of(shard, self._owner_id, self.standing.scaled_by) if shard is not None else None
            if shard is not None:
                shard.shown = after
            if after is not before or (after is None and uid in self._places):
                changed[uid] = after
        if changed:
            self._show(changed)

    def _look_again_at(self, groups: Iterable[str]) -> None:
        self._stale.update((self._uids[group], None) for group in groups if group in self._uids)

    def _show(self, changed: Mapping[str, Group | None]) -> None:
        """Put changed groups in their places; only where groups come or go is everything put in order anew."""
        if all(group is not None and uid in self._places for uid, group in changed.items()):
            groups = list(self._groups)
            for uid, group in changed.items():
                if group is not None:
                    groups[self._places[uid]] = group
            self._groups = tuple(groups)
            return
        shown = [(uid, group) for uid in self._uids.values() if (group := self._shards[uid].shown) is not None]
        shown.sort(key=lambda one: one[1].key)
        self._places = {uid: place for place, (uid, _) in enumerate(shown)}
        self._groups = tuple(group for _, group in shown)
