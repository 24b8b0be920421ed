"""Who takes part: us on every cluster that was named, and beside us what each orchestrator has of its own."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from roadstead.act.clock import Clock
from roadstead.act.identity import Identity, new_owner_id
from roadstead.act.opening import open_rival
from roadstead.act.state import StateDirectory
from roadstead.bench.comparison.contest import Contestant, NotDone
from roadstead.bench.comparison.ours import Ours, alone
from roadstead.model import ClusterSpec, Deployment, Fleet, Target
from roadstead.spi.host import PluginHost
from roadstead.spi.records import BackendPlugin

__all__ = ["Venue", "entered", "target_of"]


@attrs.frozen(kw_only=True)
class Venue:
    """Where a comparison takes place: ``fleet`` as read from ``file``, and a ``folder`` for everybody's state."""

    fleet: Fleet
    file: Path
    folder: Path
    host: PluginHost
    clock: Clock


def target_of(deployment: Deployment, clusters: Sequence[str]) -> Target:
    """Return what all of them are to run: what ``deployment`` runs on the first of ``clusters``.

    Raises :class:`NotDone` where it cannot run on one of them, or would be something else there.
    """
    found = {name: deployment.target_on(name) for name in clusters}
    for name, one in found.items():
        if one is None:
            raise NotDone(
                f"{deployment.name} cannot run on cluster {name}", hint="give its model a `source` for that cluster"
            )
    first, *others = (one for one in found.values() if one is not None)
    for other in others:
        if other.template.resources != first.template.resources:
            raise NotDone(
                f"{deployment.name} has other resources on {other.cluster} than on {first.cluster}",
                hint="what is compared has to be the same",
            )
    return first


@contextmanager
def entered(
    venue: Venue, deployment: Deployment, clusters: Sequence[str], *, rivals: bool
) -> Iterator[tuple[Contestant, ...]]:
    """Yield everybody who takes part, each with a state of its own, until the block ends."""
    with ExitStack() as stack:
        contestants = []
        emulated = set()
        for name in clusters:
            fleet = alone(venue.fleet, deployment, name)
            ours = Ours(fleet, venue.file, venue.host, venue.folder / f"ours-{name}", venue.clock)
            stack.callback(ours.close)
            if ours.is_emulated():
                emulated.add(name)
            contestants.append(Contestant(name=_called("roadstead", name, emulated), rival=ours))
        for spec in _with_rivals(venue, clusters) if rivals else ():
            state = StateDirectory.open(venue.folder / f"rival-{spec.name}")
            identity = Identity(fleet=f"rival{secrets.token_hex(3)}", owner_id=new_owner_id())
            rival = open_rival(spec, venue.host, identity, state)
            stack.callback(rival.close)
            name = venue.host.get(BackendPlugin, spec.backend).rival_name
            contestants.append(Contestant(name=_called(name, spec.name, emulated), rival=rival))
        yield tuple(contestants)


def _called(who: str, cluster: str, emulated: Collection[str]) -> str:
    """Return what a contestant is called in every table: one on no real cluster is never taken for another."""
    return f"{who} on {cluster}{' (emulated)' if cluster in emulated else ''}"


def _with_rivals(venue: Venue, clusters: Sequence[str]) -> Iterator[ClusterSpec]:
    """Yield one cluster for each that differs in more than who picks the nodes, where there is a rival."""
    seen: list[ClusterSpec] = []
    for name in clusters:
        spec = venue.fleet.clusters[name]
        same = attrs.evolve(spec, name="", scheduling=None)
        if venue.host.get(BackendPlugin, spec.backend).rival is not None and same not in seen:
            seen.append(same)
            yield spec
