"""What this package brings, for the entry point group ``roadstead``."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import BackendPlugin, PolicyKind, PolicyPlugin
from roadstead_pier.options import PierOptions


@hookimpl
def roadstead_backends() -> Iterator[BackendPlugin]:
    """Bring the backend."""
    yield BackendPlugin(
        name="pier",
        factory="roadstead_pier.backend:Pier",
        options=PierOptions,
        summary="processes of this machine, kept in a directory",
    )


@hookimpl
def roadstead_policies() -> Iterator[PolicyPlugin]:
    """Bring the policy."""
    yield PolicyPlugin(
        name="one-to-spare",
        decides=PolicyKind.SCALING,
        factory="roadstead_pier.policy:OneToSpare",
        summary="as many replicas as the load makes, and one more",
    )
