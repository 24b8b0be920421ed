"""The scaling policies that come with Roadstead: ``concurrency``."""

from __future__ import annotations

from collections.abc import Iterable

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import PolicyKind, PolicyPlugin
from roadstead_plugins.scaling.concurrency import Concurrency

__all__ = ["roadstead_policies"]


@hookimpl
def roadstead_policies() -> Iterable[PolicyPlugin]:
    """Bring the policy."""
    yield PolicyPlugin(
        name="concurrency",
        decides=PolicyKind.SCALING,
        factory=Concurrency,
        summary="as many replicas as the load makes of its target, at once in a surge, and slowly down",
    )
