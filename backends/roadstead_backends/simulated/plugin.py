"""Registers the ``simulated`` backend and the ``simulated`` runtime."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import BackendPlugin, RuntimePlugin
from roadstead_backends.simulated.options import SimulatedOptions

__all__ = ["roadstead_backends", "roadstead_runtimes"]


@hookimpl
def roadstead_backends() -> Iterator[BackendPlugin]:
    """Bring clusters that exist only in memory."""
    yield BackendPlugin(
        name="simulated",
        factory="roadstead_backends.simulated.connect:connect",
        options=SimulatedOptions,
        simulation="roadstead_backends.simulated.simulation:Pretended",
        summary="a cluster in memory, for trying things out and for tests",
    )


@hookimpl
def roadstead_runtimes() -> Iterator[RuntimePlugin]:
    """Bring the engine whose servers simulated clusters pretend."""
    yield RuntimePlugin(
        name="simulated",
        factory="roadstead_backends.simulated.network:SimulatedRuntime",
        engines=("simulated",),
        formats=("tf_saved_model",),
        reloads=("simulated",),
        summary="pretends to serve, on simulated clusters only",
    )
