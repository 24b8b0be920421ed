"""Whether a deployment can be sent to another cluster as things stand, and what that comes to. Pure."""

from __future__ import annotations

from roadstead.act.intents import migrated, moved_back
from roadstead.daemon.changes import nearest
from roadstead.daemon.errors import AlreadyThere, CannotRunThere, ClusterNotActive, UnknownCluster
from roadstead.daemon.ordering import Ordered
from roadstead.decide.destinations import destinations, migration
from roadstead.decide.eligibility import shortfalls
from roadstead.model import ClusterState, Deployment, Fleet, Strategy
from roadstead.world import World

__all__ = ["back", "migrate"]


def migrate(fleet: Fleet, declared: Deployment, world: World, to: str) -> Ordered:
    """Return that all of a deployment goes to cluster ``to``.

    Raises :class:`UnknownCluster`, :class:`ClusterNotActive`, :class:`CannotRunThere` or :class:`AlreadyThere`. Whether
    there is room is not asked: that may change, and the old replicas stay until the new ones serve.
    """
    spec = fleet.clusters.get(to)
    if spec is None:
        raise UnknownCluster(f"there is no cluster {to!r}", hint=nearest(to, fleet.clusters))
    if [to] == [target.cluster for target in destinations(fleet, declared).targets]:
        raise AlreadyThere(
            f"{declared.name} is to run on {to} and nowhere else already",
            hint=f"`roadstead status {declared.name}` shows how far that is",
        )
    if spec.state is not ClusterState.ACTIVE:
        raise ClusterNotActive(
            f"cluster {to} is {spec.state.value}: nothing is started there",
            hint=f"set clusters.{to}.state: active, or name another cluster",
        )
    _check(declared, world, to)
    return Ordered(migrated(fleet.intents, declared, to), f"{declared.name} was sent to cluster {to} by command")


def _check(declared: Deployment, world: World, to: str) -> None:
    """Raise :class:`CannotRunThere` with all that stands against it."""
    target = declared.target_on(to)
    if target is None:
        raise CannotRunThere(
            f"{declared.name} cannot run on {to}: its template is not known there",
            hint=f"say what it needs there in the fleet file, such as model.source: {{{to}: ...}}",
        )
    view = world.clusters.get(to)
    if view is None or view.snapshot is None:
        raise CannotRunThere(
            f"{to} has not answered since the daemon started: what it can run is not known",
            hint="wait for it, or name another cluster",
        )
    missing = shortfalls(target.template, view.snapshot.capabilities)
    if declared.rollout.strategy is Strategy.RELOAD and not view.snapshot.capabilities.reloads:
        missing = (*missing, "replicas there cannot load another version in place (rollout.strategy: reload)")
    if view.snapshot.foreign_owners:
        missing = (*missing, "it has objects of this fleet's name that belong to another owner")
    if missing:
        raise CannotRunThere(
            f"{declared.name} cannot run on {to}: {'; '.join(missing)}", hint="change the template, or name another"
        )


def back(fleet: Fleet, declared: Deployment) -> Ordered:
    """Return that a deployment goes back to where the file says; raises :class:`AlreadyThere`."""
    if migration(fleet, declared) is None:
        raise AlreadyThere(
            f"{declared.name} was not sent anywhere by command",
            hint="its clusters are those of the fleet file: change `clusters` there, or name one with --to",
        )
    where = ", ".join(declared.said_clusters)
    return Ordered(moved_back(fleet.intents, declared.name), f"{declared.name} goes back to {where} by command")
