"""What this machine lacks to run Envoy."""

from __future__ import annotations

from roadstead.errors import Rejected
from roadstead_plugins.gateways.envoy.options import EnvoyOptions
from roadstead_plugins.gateways.envoy.process import find_envoy

__all__ = ["missing"]


def missing(_options: EnvoyOptions) -> tuple[str, ...]:
    """Return why Envoy cannot be started here, if it cannot; looks at files only."""
    try:
        find_envoy("")
    except Rejected as error:
        return (f"{error.args[0]}; {error.hint}",)
    return ()
