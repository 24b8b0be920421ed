"""What Envoy shows at one moment, asked in an order in which nothing can be missed."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from roadstead.errors import Unreachable
from roadstead.shim.identity import ProcessIdentity
from roadstead_plugins.gateways.envoy import readings
from roadstead_plugins.gateways.envoy.admin import Admin
from roadstead_plugins.gateways.envoy.histogram import Histogram
from roadstead_plugins.gateways.envoy.process import Process

__all__ = ["Look", "Observer"]


@attrs.frozen(kw_only=True)
class Look:
    """What one Envoy process showed; ``bootstrap`` is the digest of what it was started with."""

    incarnation: ProcessIdentity | None
    bootstrap: str
    stats: readings.Stats
    hosts: Mapping[str, tuple[readings.Host, ...]]


class Observer:
    """Asks the Envoy that runs now."""

    def __init__(self, gateway: str, admin: Admin, process: Process) -> None:
        self._gateway = gateway
        self._admin = admin
        self._process = process
        self._started_with: tuple[ProcessIdentity | None, str] = (None, "")

    def look(self) -> Look:
        """Return what Envoy shows; raises ``Unreachable``, with the reason where Envoy does not run."""
        incarnation = self._process.incarnation()
        # Versions first: the hosts shown after them are theirs, or newer.
        stats = readings.read_stats(self._ask(readings.STATS))
        if not stats.live:
            raise Unreachable("envoy is starting", cluster=self._gateway)
        hosts = readings.hosts_by_cluster(self._ask(readings.CLUSTERS))
        bootstrap = self._bootstrap(incarnation)
        if incarnation != self._process.incarnation():
            raise Unreachable("envoy was started anew meanwhile", cluster=self._gateway)
        return Look(incarnation=incarnation, bootstrap=bootstrap, stats=stats, hosts=hosts)

    def is_answered(self) -> bool:
        """Tell whether an Envoy runs at all."""
        try:
            self._admin.get(readings.STATS)
        except Unreachable:
            return False
        return True

    def times(self) -> Mapping[str, Histogram]:
        """Return how long answers took, by cluster."""
        return readings.times_by_cluster(self._ask(readings.TIMES))

    def listeners(self) -> Mapping[str, readings.ListenerState]:
        """Return the state of every listener; this is a large answer."""
        return readings.listeners_in_force(self._ask(readings.LISTENERS))

    def _bootstrap(self, incarnation: ProcessIdentity | None) -> str:
        """Return what this process was started with; it is a large answer that never changes."""
        known, digest = self._started_with
        if incarnation is None or known != incarnation:
            digest = readings.bootstrap_in_force(self._ask(readings.SERVER))
            self._started_with = (incarnation, digest)
        return digest

    def _ask(self, question: str) -> bytes:
        try:
            return self._admin.get(question)
        except Unreachable as error:
            trouble = self._process.trouble()
            if trouble:
                raise Unreachable(trouble, cluster=self._gateway) from error
            raise
