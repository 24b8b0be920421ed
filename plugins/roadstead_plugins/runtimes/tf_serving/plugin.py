"""Registers the runtime ``tf_serving``; the entry point of the distribution names this module."""

from __future__ import annotations

from collections.abc import Iterable

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import RuntimePlugin
from roadstead_plugins.runtimes.tf_serving.launch import ENGINES, FORMATS

__all__ = ["roadstead_runtimes"]


@hookimpl
def roadstead_runtimes() -> Iterable[RuntimePlugin]:
    """Bring the runtime."""
    yield RuntimePlugin(
        name="tf_serving",
        factory="roadstead_plugins.runtimes.tf_serving.runtime:TfServing",
        engines=ENGINES,
        formats=FORMATS,
        reloads=ENGINES,
        summary="TensorFlow Serving's API: our embedded server, or tensorflow_model_server",
    )
