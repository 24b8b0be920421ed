"""Us in a comparison: the production daemon's loop, on one cluster, with a fleet and a state of its own."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from roadstead.act.clock import Clock
from roadstead.act.pacing import Bell
from roadstead.act.session import Session
from roadstead.bench.comparison.contest import NotDone
from roadstead.daemon.service import Service
from roadstead.model import Deployment, Fleet, Intents, Quota
from roadstead.spi.comparison import Loses, Standing, Work
from roadstead.spi.host import PluginHost
from roadstead.template import target
from roadstead.world import Member, Shard, Snapshot

__all__ = ["Ours", "alone"]

_JOIN_WITHIN = 60.0
_LOOK_EVERY = 0.05


def alone(fleet: Fleet, deployment: Deployment, cluster: str) -> Fleet:
    """Return ``fleet`` with this one deployment, on this one cluster, under a name that nothing else has.

    Without a gateway and without quotas, so that nothing but the cluster is compared.
    """
    return attrs.evolve(
        fleet,
        name=f"compare{secrets.token_hex(3)}",
        clusters={cluster: fleet.clusters[cluster]},
        deployments={deployment.name: attrs.evolve(deployment, via=None, autoscaling=None, elsewhere=())},
        gateways={},
        addresses={},
        quotas={deployment.owner: Quota()},
        intents=Intents(),
        vanished=frozenset(),
        owner_id="",
    )


class Ours:
    """The daemon's loop on a thread of this process; what it saw last is where it stands."""

    def __init__(self, fleet: Fleet, file: Path, host: PluginHost, state: Path, clock: Clock) -> None:
        """Open ``fleet`` (see :func:`alone`) on ``state``, a folder for nothing else; ``file`` is only looked at."""
        self._fleet = attrs.evolve(fleet, deployments={})
        (self._deployment,) = fleet.deployments.values()
        (self._cluster,) = fleet.clusters
        self._revision = ""
        self._clock = clock
        bell = Bell()
        self._session = Session.open(self._fleet, host, state, "a comparison", wake=bell.ring, clock=clock)
        self._service = Service(self._session, file, lambda _: self._fleet, bell, clock)
        self._thread = threading.Thread(target=self._service.run, name=f"turns of {self._cluster}", daemon=True)
        self._thread.start()

    def is_emulated(self) -> bool:
        """Return whether the cluster only stands in for one; raises :class:`NotDone` where it never answers."""
        began = self._clock.monotonic()
        while (snapshot := self._snapshot()) is None:
            if self._clock.monotonic() - began >= _JOIN_WITHIN:
                raise NotDone(f"cluster {self._cluster} does not answer", hint="see `roadstead check`")
            self._clock.sleep(_LOOK_EVERY)
        return snapshot.capabilities.emulated

    def ask(self, work: Work) -> None:
        """Have that work done: begun if there was none, else rolled from what was asked for before."""
        made = target(self._cluster, work.template)
        self._revision = made.revision
        rollout = attrs.evolve(self._deployment.rollout, max_surge=work.max_surge, max_unavailable=work.max_unavailable)
        wanted = attrs.evolve(self._deployment, targets=(made,), replicas=work.replicas, rollout=rollout)
        self._become({wanted.name: wanted})

    def standing(self) -> Standing:
        """Return what the last turn saw, which is what decided the next one."""
        shard = self._shard()
        if shard is None:
            return Standing()
        ready = [member for member in shard.members if member.ready]
        return Standing(
            current=frozenset(map(_process, filter(self._is_current, ready))),
            ready=len(ready),
            others=sum(not self._is_current(member) for member in shard.members),
        )

    def lose(self) -> str:
        """End one ready server without notice; return its name in the standing."""
        backend = self._session.clusters[self._cluster].backend
        shard = self._shard()
        if not isinstance(backend, Loses) or shard is None:
            raise NotDone(
                f"cluster {self._cluster} offers no way to lose a replica",
                hint="name the others with --on",
            )
        victim = next(member for member in shard.members if member.ready and self._is_current(member))
        backend.lose(victim.replica.id)
        return _process(victim)

    def end(self) -> bool:
        """Take everything down; return whether nothing is left."""
        if self._fleet.deployments:
            self._become({})
        return self._shard() is None

    def close(self) -> None:
        """End the loop, and let the state go."""
        self._service.stop()
        self._thread.join(_JOIN_WITHIN)
        self._session.close()

    def _become(self, deployments: Mapping[str, Deployment]) -> None:
        self._fleet = attrs.evolve(self._fleet, deployments=MappingProxyType(dict(deployments)))
        self._service.apply(confirm_removals=True).result(_JOIN_WITHIN)

    def _shard(self) -> Shard | None:
        turn = self._service.view.turn
        return turn.world.shards.get(self._deployment.name) if turn is not None else None

    def _snapshot(self) -> Snapshot | None:
        turn = self._service.view.turn
        found = turn.world.clusters.get(self._cluster) if turn is not None else None
        return found.snapshot if found is not None else None

    def _is_current(self, member: Member) -> bool:
        return member.group.key.revision == self._revision


def _process(member: Member) -> str:
    return f"{member.replica.id} {member.replica.incarnation}"
