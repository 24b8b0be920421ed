"""The hooks through which plugins register what they bring, and watch what is done.

A plugin is a module (or object) named by an entry point of the group ``roadstead``. It implements hooks with
:data:`hookimpl`::

    from roadstead.spi.hookspecs import hookimpl
    from roadstead.spi.records import BackendPlugin


    @hookimpl
    def roadstead_backends():
        yield BackendPlugin(
            name="nomad", factory="acme_nomad.backend:connect", options=NomadOptions, summary="HashiCorp Nomad"
        )

The registration hooks return frozen records and are *historic*: it does not matter whether a plugin is registered
before or after they are called. A factory given as ``"module:attribute"`` is imported on first use, so that naming a
plugin costs no import of its client.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from roadstead.plans import Plan
from roadstead.spi.records import BackendPlugin, CommandPlugin, GatewayPlugin, PolicyPlugin, RuntimePlugin
from roadstead.world import Outcome

__all__ = ["PROJECT", "hookimpl"]

PROJECT = "roadstead"
hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec(historic=True)
def roadstead_backends() -> Iterable[BackendPlugin]:
    """Return the kinds of cluster that this plugin can drive; called once, at start."""
    return ()


@_hookspec(historic=True)
def roadstead_runtimes() -> Iterable[RuntimePlugin]:
    """Return the serving engines that this plugin knows; called once, at start."""
    return ()


@_hookspec(historic=True)
def roadstead_gateways() -> Iterable[GatewayPlugin]:
    """Return the kinds of gateway that this plugin can drive; called once, at start."""
    return ()


@_hookspec(historic=True)
def roadstead_policies() -> Iterable[PolicyPlugin]:
    """Return the policies that a fleet file may then choose by name; called once, at start."""
    return ()


@_hookspec(historic=True)
def roadstead_commands() -> Iterable[CommandPlugin]:
    """Return commands to add to ``roadstead``; called when the command line is read."""
    return ()


@_hookspec
def roadstead_planned(plan: Plan, turn: int) -> None:
    """See each plan before it is carried out; what is raised here is logged and changes nothing."""


@_hookspec
def roadstead_applied(outcomes: tuple[Outcome, ...], turn: int) -> None:
    """See what became of a plan's steps; what is raised here is logged and changes nothing."""
