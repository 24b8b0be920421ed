"""Whether a destructive step may still be taken, by what was seen just before it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from roadstead.plans import Delete, Restart, Shrink, Standing
from roadstead.world import ClusterView, Group, Member, ModelState, Reachable, Replica

__all__ = ["Destructive", "concerned", "objection"]

Destructive = Shrink | Delete | Restart


def concerned(step: Destructive) -> frozenset[str]:
    """Return the clusters that must be seen before ``step`` may be taken."""
    return frozenset({step.cluster, *(standing.cluster for standing in step.standing)})


def objection(step: Destructive, views: Mapping[str, ClusterView], models: Mapping[str, ModelState]) -> str | None:
    """Return why ``step`` must not be taken any more, or ``None`` where it may be.

    ``views`` are of just now, ``models`` the newest word about each replica's model. The group must be as the plan saw
    it, and every replica that the plan counts on must be the same process and still serve.
    """
    for standing in step.standing:
        missing = _missing(standing, views.get(standing.cluster), models)
        if missing is not None:
            return missing
    view = views.get(step.cluster)
    if not isinstance(view, Reachable):
        return f"{step.cluster} does not answer"
    if isinstance(step, Restart):
        return _changed_replica(step, view, models)
    group = next((group for group in view.snapshot.groups if group.key == step.group), None)
    if group is None:
        return f"{step.group} is gone" if isinstance(step, Shrink) else None
    if group.version != step.version:
        return f"{step.group} was changed since the plan was made"
    if isinstance(step, Shrink):
        return _serving_after_all(step, group, models)
    return None


def _serving_after_all(step: Shrink | Restart, group: Group, models: Mapping[str, ModelState]) -> str | None:
    """Return why a replica that was to go for serving nobody may not: it became ready since."""
    for replica in group.replicas:
        if replica.id in step.idle and _is_ready(step.cluster, group, replica, models):
            return f"{replica.id} became ready since the plan was made"
    return None


def _is_ready(cluster: str, group: Group, replica: Replica, models: Mapping[str, ModelState]) -> bool:
    return Member(cluster=cluster, reachable=True, group=group, replica=replica, model=models.get(replica.id)).ready


def _missing(standing: Standing, view: ClusterView | None, models: Mapping[str, ModelState]) -> str | None:
    """Return why a replica that the plan counts on cannot be counted on."""
    if not isinstance(view, Reachable):
        return f"{standing.cluster} does not answer, and {standing.replica} there is counted on"
    found = _find(view, standing.replica)
    if found is None:
        return f"{standing.replica} is counted on and gone"
    group, replica = found
    if replica.incarnation != standing.incarnation:
        return f"{standing.replica} is counted on and was restarted"
    ready = _is_ready(standing.cluster, group, replica, models)
    return None if ready else f"{standing.replica} is counted on and not ready"


def _changed_replica(step: Restart, view: Reachable, models: Mapping[str, ModelState]) -> str | None:
    found = _find(view, step.replica)
    if found is None:
        return f"{step.replica} is gone"
    group, replica = found
    if replica.incarnation != step.incarnation:
        return f"{step.replica} was restarted already"
    return _serving_after_all(step, group, models)


def _find(view: Reachable, replica_id: str) -> tuple[Group, Replica] | None:
    return next(
        ((group, replica) for group in view.snapshot.groups for replica in group.replicas if replica.id == replica_id),
        None,
    )
