"""What the clusters of a fleet would refuse us: asked where their backend knows how, before anything is tried."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.act.opening import lacking
from roadstead.act.state import StateDirectory
from roadstead.cli.doctor import Finding, Level
from roadstead.errors import RoadsteadError
from roadstead.model import ClusterState, Fleet
from roadstead.spi.host import PluginHost

__all__ = ["permits"]

_ABOUT = "permits"


def permits(fleet: Fleet, host: PluginHost, state: StateDirectory) -> Iterator[Finding]:
    """Yield what is found about our rights on every cluster that is to be used and can tell."""
    for name, spec in fleet.clusters.items():
        if spec.state is ClusterState.DISABLED:
            continue
        try:
            lacks = lacking(spec, host, fleet.name, state)
        except RoadsteadError as error:
            yield Finding(level=Level.WRONG, about=_ABOUT, text=f"{name}: {error}", hint=error.hint or "")
            continue
        for lack in lacks or ():
            level = Level.WRONG if lack.is_in_the_way else Level.NOTE
            yield Finding(level=level, about=_ABOUT, text=f"{name}: {lack.what}", hint=lack.hint)
        if lacks == ():
            yield Finding(level=Level.OK, about=_ABOUT, text=f"{name} allows all that is needed")
