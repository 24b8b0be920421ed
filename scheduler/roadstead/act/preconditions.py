"""Whether a destructive step may still be taken, by what was seen just before it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from roadstead.decide.rollout import may_stop_at_once
from roadstead.plans import Delete, Evict, Reload, Restart, Revert, Shrink, Standing
from roadstead.traffic import NO_DATA_PATH, DataPath
from roadstead.world import ClusterView, Group, Member, ModelState, Reachable, Replica

__all__ = ["Destructive", "Now", "concerned", "objection"]

Destructive = Shrink | Delete | Restart | Evict | Reload | Revert


def concerned(step: Destructive) -> frozenset[str]:
    """Return the clusters that must be seen before ``step`` may be taken."""
    return frozenset({step.cluster, *(standing.cluster for standing in step.standing)})


@attrs.frozen(kw_only=True)
class Now:
    """What is seen just before a step: ``views`` and ``data_path`` are of this moment, ``models`` the newest word."""

    views: Mapping[str, ClusterView]
    models: Mapping[str, ModelState]
    data_path: DataPath = NO_DATA_PATH

    def member(self, cluster: str, group: Group, replica: Replica) -> Member:
        """Return a replica with what is said of it now."""
        return Member(
            cluster=cluster,
            reachable=True,
            group=group,
            replica=replica,
            model=self.models.get(replica.id),
            passage=self.data_path.passage(group.key.deployment, replica.endpoint),
        )


def objection(step: Destructive, now: Now) -> str | None:
    """Return why ``step`` must not be taken any more, or ``None`` where it may be.

    The group must be as the plan saw it, every replica that the plan counts on must be the same process and still
    serve, and whoever goes must still be out of the gateway, with nothing in flight unless its grace is over.
    """
    deployment = _deployment(step)
    for standing in step.standing:
        missing = _missing(standing, deployment, now)
        if missing is not None:
            return missing
    view = now.views.get(step.cluster)
    if not isinstance(view, Reachable):
        return f"{step.cluster} does not answer"
    if isinstance(step, Restart | Evict):
        return _changed_replica(step, view, now)
    if isinstance(step, Reload):
        return _changed_process(step, view)
    group = next((group for group in view.snapshot.by_deployment.get(deployment, ()) if group.key == step.group), None)
    if group is None:
        return f"{step.group} is gone" if isinstance(step, Shrink | Revert) else None
    if group.version != step.version:
        return f"{step.group} was changed since the plan was made"
    if isinstance(step, Shrink):
        return (
            _undisturbable_then(step, view) or _serving_after_all(step, group, now) or _busy_after_all(step, group, now)
        )
    return None


def _undisturbable_then(step: Shrink, view: Reachable) -> str | None:
    """Return why a group may not get smaller: nobody could disturb any of the replicas that are left."""
    settled = view.snapshot.settled.get(step.group.deployment, 0)
    if step.most_settled is None or settled <= step.most_settled:
        return None
    return f"{settled} replicas of {step.group.deployment} may not be disturbed, and no more than those would be left"


def _serving_after_all(step: Shrink | Restart | Evict, group: Group, now: Now) -> str | None:
    """Return why a replica that was to go because it is not ready may not: it is ready now."""
    for replica in group.replicas:
        if replica.id in step.idle and now.member(step.cluster, group, replica).ready:
            return f"{replica.id} became ready since the plan was made"
    return None


def _busy_after_all(step: Shrink, group: Group, now: Now) -> str | None:
    """Return why a replica that was drained may not go: a gateway sends it requests, or some are in flight to it."""
    for replica in group.replicas:
        if replica.id not in step.retire:
            continue
        busy = _busy(now.member(step.cluster, group, replica), step.overdue)
        if busy is not None:
            return busy
    return None


def _busy(member: Member, overdue: tuple[str, ...]) -> str | None:
    """Return why a replica may not be ended: it may get requests, or has some and is none of those ``overdue``."""
    replica = member.replica.id
    if not member.is_out:
        return f"the gateway may send requests to {replica}"
    if member.passage is None or member.is_idle or may_stop_at_once(member) or replica in overdue:
        return None
    return f"requests are in flight to {replica}"


def _missing(standing: Standing, deployment: str, now: Now) -> str | None:
    """Return why a replica of ``deployment`` that the plan counts on cannot be counted on."""
    view = now.views.get(standing.cluster)
    if not isinstance(view, Reachable):
        return f"{standing.cluster} does not answer, and {standing.replica} there is counted on"
    found = _find(view, deployment, standing.replica)
    if found is None:
        return f"{standing.replica} is counted on and gone"
    group, replica = found
    if replica.incarnation != standing.incarnation:
        return f"{standing.replica} is counted on and was restarted"
    serving = now.member(standing.cluster, group, replica).serving
    return None if serving else f"{standing.replica} is counted on and does not serve"


def _changed_replica(step: Restart | Evict, view: Reachable, now: Now) -> str | None:
    found = _find(view, step.deployment, step.replica)
    if found is None:
        return f"{step.replica} is gone"
    group, replica = found
    if replica.incarnation != step.incarnation:
        return f"{step.replica} was restarted already"
    # One that has not been ready for as long as it may take to start has had all of its time.
    past = (*step.overdue, *step.idle)
    return _busy(now.member(step.cluster, group, replica), past) or _serving_after_all(step, group, now)


def _changed_process(step: Reload, view: Reachable) -> str | None:
    found = _find(view, step.deployment, step.replica)
    if found is None:
        return f"{step.replica} is gone"
    return None if found[1].incarnation == step.incarnation else f"{step.replica} was restarted"


def _deployment(step: Destructive) -> str:
    return step.group.deployment if isinstance(step, Shrink | Delete | Revert) else step.deployment


def _find(view: Reachable, deployment: str, replica_id: str) -> tuple[Group, Replica] | None:
    """Return a replica of a deployment with its group; nobody else's are looked through."""
    for group in view.snapshot.by_deployment.get(deployment, ()):
        for replica in group.replicas:
            if replica.id == replica_id:
                return group, replica
    return None
