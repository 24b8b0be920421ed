"""Registers the ``local`` backend."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import BackendPlugin
from roadstead_backends.local.options import LocalOptions

__all__ = ["roadstead_backends"]


@hookimpl
def roadstead_backends() -> Iterator[BackendPlugin]:
    """Bring the machine that the daemon runs on."""
    yield BackendPlugin(
        name="local",
        factory="roadstead_backends.local.connect:connect",
        options=LocalOptions,
        summary="processes on this machine, each under a shim that outlives the daemon",
    )
