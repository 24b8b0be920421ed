"""Where a deployment should run: the clusters that the file names, or the one that a command sent it to."""

from __future__ import annotations

import attrs

from roadstead.model import Deployment, Fleet, MigrateIntent, Target

__all__ = ["Destinations", "destinations", "migration"]


@attrs.frozen
class Destinations:
    """Where a deployment runs (``targets``, in order), and where what is lost may be made up besides (``reserves``)."""

    targets: tuple[Target, ...]
    reserves: tuple[Target, ...] = ()

    @property
    def all(self) -> tuple[Target, ...]:
        """Both, in that order."""
        return (*self.targets, *self.reserves)


def migration(fleet: Fleet, deployment: Deployment) -> MigrateIntent | None:
    """Return the command that sent ``deployment`` elsewhere, as long as its clusters in the file are the same."""
    intent = fleet.intents.migrate_of.get(deployment.name)
    return intent if intent is not None and intent.declared == deployment.said_clusters else None


def destinations(fleet: Fleet, deployment: Deployment) -> Destinations:
    """Return where ``deployment`` should run now.

    All of what was migrated belongs on that one cluster; the file's own clusters stay in reserve for the day when that
    one falls silent. A command that names a cluster for which the template can no longer be resolved means nothing.
    """
    intent = migration(fleet, deployment)
    to = deployment.target_on(intent.to) if intent is not None else None
    if to is None:
        return Destinations(deployment.targets)
    others = (attrs.evolve(one, weight=None) for one in deployment.targets if one.cluster != to.cluster)
    return Destinations((attrs.evolve(to, weight=None),), tuple(others))
