"""Registers ``roadstead emulate marathon``."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import CommandPlugin

__all__ = ["roadstead_commands"]


@hookimpl
def roadstead_commands() -> Iterator[CommandPlugin]:
    """Bring a stand-in for Marathon on Mesos."""
    yield CommandPlugin(
        name="emulate-marathon",
        factory="roadstead_backends.marathon.emulator.command:made",
        summary="a Marathon on an emulated Mesos cluster",
    )
