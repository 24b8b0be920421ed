"""Makes a Marathon cluster's backend from what the daemon knows of it."""

from __future__ import annotations

from roadstead.errors import StateError
from roadstead.model import Reach
from roadstead.spi.backend import BackendContext
from roadstead_backends.marathon import names
from roadstead_backends.marathon.adoption import Adoptions
from roadstead_backends.marathon.backend import MarathonBackend
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.follower import Follower
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.subscribing import Subscriber

__all__ = ["connect", "options_of"]


def connect(context: BackendContext) -> MarathonBackend:
    """Return the backend of a cluster; nothing is asked of it yet."""
    options = options_of(context)
    path = f"{names.fleet_path(options.path, context.fleet)}/"
    adoptions = Adoptions(context.root, cluster=context.cluster, fleet=context.fleet, owner_id=context.owner_id)
    follower = Follower(Subscriber(options), lambda app_id: app_id.startswith(path) or adoptions.has(app_id))
    client = Client(options, cluster=context.cluster)
    return MarathonBackend(context, options, client, follower, adoptions, reaches=context.reach is Reach.DIRECT)


def options_of(context: BackendContext) -> MarathonOptions:
    """Return the options of a cluster; raises :class:`StateError` for those of another kind."""
    options = context.options
    if not isinstance(options, MarathonOptions):
        raise StateError(
            f"options of cluster {context.cluster!r} are {type(options).__name__}, not those of `marathon`"
        )
    return options
