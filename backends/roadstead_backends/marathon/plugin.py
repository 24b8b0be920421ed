"""Registers the ``marathon`` backend."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import BackendPlugin
from roadstead_backends.marathon.app_options import AppOptions
from roadstead_backends.marathon.options import MarathonOptions

__all__ = ["roadstead_backends"]


@hookimpl
def roadstead_backends() -> Iterator[BackendPlugin]:
    """Bring clusters of Marathon; its client is imported when one is opened."""
    yield BackendPlugin(
        name="marathon",
        factory="roadstead_backends.marathon.connect:connect",
        options=MarathonOptions,
        deployment_options=AppOptions,
        imports="roadstead_backends.marathon.foreign:imports",
        address="urls",
        adopts=True,
        rival="roadstead_backends.marathon.rival:plain_app",
        rival_name="a plain app",
        summary="an app per group under one path of a Marathon",
    )
