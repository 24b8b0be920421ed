"""Registers the ``kubernetes`` backend."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import BackendPlugin
from roadstead_backends.kubernetes.options import KubernetesOptions
from roadstead_backends.kubernetes.pod_options import PodOptions

__all__ = ["roadstead_backends"]


@hookimpl
def roadstead_backends() -> Iterator[BackendPlugin]:
    """Bring clusters of Kubernetes; its client is imported when one is opened."""
    yield BackendPlugin(
        name="kubernetes",
        factory="roadstead_backends.kubernetes.connect:connect",
        options=KubernetesOptions,
        leases="roadstead_backends.kubernetes.leases:open_lease",
        lacking="roadstead_backends.kubernetes.permits:lacking",
        adopts=True,
        imports="roadstead_backends.kubernetes.foreign:imports",
        deployment_options=PodOptions,
        rival="roadstead_backends.kubernetes.rival:plain_deployment",
        rival_name="a plain Deployment",
        summary="a ReplicaSet per group in one namespace of a Kubernetes cluster",
    )
