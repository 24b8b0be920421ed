"""Makes a Kubernetes cluster's backend from what the daemon knows of it."""

from __future__ import annotations

import os

from roadstead.errors import Forbidden, StateError
from roadstead.model import Reach, Scheduling
from roadstead.spi.backend import BackendContext
from roadstead_backends.kubernetes.access import Login, find_source
from roadstead_backends.kubernetes.backend import KubernetesBackend
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.kubeconfig import Unusable
from roadstead_backends.kubernetes.options import KubernetesOptions
from roadstead_backends.kubernetes.transport import Transport

__all__ = ["connect", "open_transport", "options_of"]


def connect(context: BackendContext) -> KubernetesBackend:
    """Return the backend of a cluster; nothing is asked of it yet."""
    transport, namespace = open_transport(context)
    place = Place(
        namespace=namespace,
        fleet=context.fleet,
        owner_id=context.owner_id,
        directed=context.scheduling is Scheduling.DIRECTED,
        reaches=context.reach is Reach.DIRECT,
        model_roots=options_of(context).model_roots,
    )
    return KubernetesBackend(context.cluster, transport, place, manager=options_of(context).field_manager)


def options_of(context: BackendContext) -> KubernetesOptions:
    """Return the options of a cluster; raises :class:`StateError` for those of another kind."""
    options = context.options
    if not isinstance(options, KubernetesOptions):
        raise StateError(
            f"options of cluster {context.cluster!r} are {type(options).__name__}, not those of `kubernetes`"
        )
    return options


def open_transport(context: BackendContext) -> tuple[Transport, str]:
    """Return what asks the cluster's API server, and the namespace that our objects are in.

    Nothing is asked yet, and no program run: a server that is down is no reason not to start. Raises
    :class:`Forbidden` for credentials that are not there, or must not be used.
    """
    options = options_of(context)
    try:
        login = Login(find_source(options, os.environ))
    except Unusable as error:
        raise Forbidden(str(error), cluster=context.cluster, hint=error.hint) from error
    return Transport(login, cluster=context.cluster), options.namespace or login.namespace
