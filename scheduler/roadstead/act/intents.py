"""What commands ask for on top of the fleet file, and when it no longer holds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

import attrs

from roadstead.model import (
    Deployment,
    Fleet,
    Intents,
    MigrateIntent,
    OnChange,
    PauseIntent,
    PromoteIntent,
    RemoveIntent,
    ScaleIntent,
    Strategy,
    UndoIntent,
)
from roadstead.world import Unreachable, World

__all__ = [
    "as_applied",
    "declared_revision",
    "fulfilled",
    "migrated",
    "moved_back",
    "orphans",
    "paused",
    "promoted",
    "redone",
    "removed",
    "resumed",
    "scaled",
    "still_held",
    "undone",
    "with_removals",
]


class _About(Protocol):
    """An intent of whatever kind."""

    @property
    def deployment(self) -> str: ...


Steering = TypeVar("Steering", PauseIntent, PromoteIntent, UndoIntent)
Intent = TypeVar("Intent", bound=_About)


def declared_revision(deployment: Deployment) -> str:
    """Return the revision that stands for what the file says of a deployment: that on its first cluster."""
    return deployment.targets[0].revision


def scaled(intents: Intents, deployment: Deployment, replicas: int) -> Intents:
    """Return ``intents`` with ``deployment`` at ``replicas``.

    The declared number is the file's word, and needs no intent.
    """
    others = tuple(intent for intent in intents.scale if intent.deployment != deployment.name)
    if replicas == deployment.replicas:
        return attrs.evolve(intents, scale=others)
    asked = ScaleIntent(deployment=deployment.name, replicas=replicas, declared=deployment.replicas)
    return attrs.evolve(intents, scale=tuple(sorted((*others, asked), key=lambda intent: intent.deployment)))


def removed(intents: Intents, fleet: Fleet, names: Iterable[str]) -> Intents:
    """Return ``intents`` with the deployments ``names`` going, as the file stands now."""
    going = frozenset(names)
    asked = (
        RemoveIntent(
            deployment=name, declared=declared_revision(fleet.deployments[name]) if name in fleet.deployments else None
        )
        for name in going
    )
    kept = (intent for intent in intents.remove if intent.deployment not in going)
    return attrs.evolve(
        intents,
        scale=_without(intents.scale, going),
        pause=_without(intents.pause, going),
        promote=_without(intents.promote, going),
        undo=_without(intents.undo, going),
        migrate=_without(intents.migrate, going),
        remove=tuple(sorted((*kept, *asked), key=lambda intent: intent.deployment)),
    )


def migrated(intents: Intents, deployment: Deployment, to: str) -> Intents:
    """Return ``intents`` with all of ``deployment`` on cluster ``to``.

    The only cluster that the file names is the file's word, and needs no intent.
    """
    if [to] == [target.cluster for target in deployment.targets]:
        return moved_back(intents, deployment.name)
    asked = MigrateIntent(deployment=deployment.name, to=to, declared=deployment.said_clusters)
    return attrs.evolve(intents, migrate=_with(intents.migrate, asked))


def moved_back(intents: Intents, name: str) -> Intents:
    """Return ``intents`` with deployment ``name`` where the file says."""
    return attrs.evolve(intents, migrate=_without(intents.migrate, {name}))


def paused(intents: Intents, deployment: Deployment) -> Intents:
    """Return ``intents`` with the rollout of ``deployment`` standing still."""
    asked = PauseIntent(deployment=deployment.name, declared=deployment.declared_template)
    return attrs.evolve(intents, pause=_with(intents.pause, asked))


def resumed(intents: Intents, name: str) -> Intents:
    """Return ``intents`` with the rollout of deployment ``name`` going on."""
    return attrs.evolve(intents, pause=_without(intents.pause, {name}))


def promoted(intents: Intents, deployment: Deployment) -> Intents:
    """Return ``intents`` with a person vouching for the template that the file gives ``deployment``."""
    first = deployment.targets[0]
    reloads = deployment.rollout.strategy is Strategy.RELOAD
    asked = PromoteIntent(
        deployment=deployment.name,
        revision=first.revision,
        version=first.template.model.version if reloads else None,
        declared=deployment.declared_template,
    )
    return attrs.evolve(intents, promote=_with(intents.promote, asked))


def undone(intents: Intents, asked: UndoIntent) -> Intents:
    """Return ``intents`` with what ``asked`` names running; that it is to roll is said too, so a pause ends."""
    return attrs.evolve(resumed(intents, asked.deployment), undo=_with(intents.undo, asked))


def redone(intents: Intents, name: str) -> Intents:
    """Return ``intents`` with what the file says running again; that it is to roll is said too, so a pause ends."""
    return attrs.evolve(resumed(intents, name), undo=_without(intents.undo, {name}))


def as_applied(fleet: Fleet) -> Fleet:
    """Return ``fleet`` as ``apply`` makes it: what its file declares is wanted again, though a command deleted it."""
    going = tuple(intent for intent in fleet.intents.remove if intent.deployment not in fleet.deployments)
    if going == fleet.intents.remove:
        return fleet
    return attrs.evolve(fleet, intents=attrs.evolve(fleet.intents, remove=going))


def still_held(intents: Intents, fleet: Fleet) -> Intents:
    """Return what of ``intents`` still holds: the file's key that it is about says what it said then.

    A deployment that was deleted by command and then taken out of the file stays deleted; one that comes back into
    the file is wanted again. A number asked for a deployment that is out of the file waits for it: a half-saved file
    must not forget it.
    """
    return attrs.evolve(
        intents,
        pause=_of_same_template(intents.pause, fleet),
        promote=_of_same_template(intents.promote, fleet),
        undo=_of_same_template(intents.undo, fleet),
        migrate=tuple(
            intent
            for intent in intents.migrate
            if (declared := fleet.deployments.get(intent.deployment)) is None
            or declared.said_clusters == intent.declared
        ),
        scale=tuple(
            intent
            for intent in intents.scale
            if (declared := fleet.deployments.get(intent.deployment)) is None
            or (declared.replicas == intent.declared and declared.autoscaling is None)
        ),
        remove=tuple(
            attrs.evolve(intent, declared=None) if intent.deployment not in fleet.deployments else intent
            for intent in intents.remove
            if (declared := fleet.deployments.get(intent.deployment)) is None
            or declared_revision(declared) == intent.declared
        ),
    )


def _of_same_template(intents: tuple[Steering, ...], fleet: Fleet) -> tuple[Steering, ...]:
    """Return those that are about the template in the file; the file may be half saved and lack a deployment."""
    return tuple(
        intent
        for intent in intents
        if (declared := fleet.deployments.get(intent.deployment)) is None
        or declared.declared_template == intent.declared
    )


def _without(intents: tuple[Intent, ...], names: Collection[str]) -> tuple[Intent, ...]:
    return tuple(intent for intent in intents if intent.deployment not in names)


def _with(intents: tuple[Intent, ...], asked: Intent) -> tuple[Intent, ...]:
    """Return ``intents`` with ``asked`` in the place of any other for its deployment."""
    return tuple(sorted((*_without(intents, {asked.deployment}), asked), key=lambda intent: intent.deployment))


def fulfilled(fleet: Fleet, world: World) -> Intents:
    """Return the fleet's intents without the removals that are done: nothing is left, and every cluster says so."""
    unseen = any(isinstance(view, Unreachable) for view in world.clusters.values())
    if unseen or not fleet.intents.remove:
        return fleet.intents
    left = tuple(
        intent
        for intent in fleet.intents.remove
        if intent.deployment in fleet.deployments or intent.deployment in world.shards
    )
    return fleet.intents if left == fleet.intents.remove else attrs.evolve(fleet.intents, remove=left)


def orphans(fleet: Fleet, existing: Iterable[str]) -> frozenset[str]:
    """Return the deployments that exist on a cluster, stand in no file, and wait for a person's word."""
    confirmed = {intent.deployment for intent in fleet.intents.remove}
    return frozenset(name for name in existing if name not in fleet.deployments and name not in confirmed)


def with_removals(fleet: Fleet, existing: Iterable[str]) -> Fleet:
    """Return ``fleet`` with what vanished from its file confirmed to go, if ``on_removal`` says so."""
    if fleet.daemon.on_removal is not OnChange.APPLY:
        return fleet
    gone = orphans(fleet, existing)
    return attrs.evolve(fleet, intents=removed(fleet.intents, fleet, gone)) if gone else fleet
