"""All gateways of a fleet: opened and closed as the fleet file says, looked at, and offered their tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from roadstead.act.clock import Clock
from roadstead.act.gateway import DrivenGateway
from roadstead.act.worker import Hire, hire
from roadstead.errors import RoadsteadError
from roadstead.model import GatewaySpec
from roadstead.spi.gateway import Gateway, RouteTable
from roadstead.traffic import DataPath, GatewayState
from roadstead.units import Duration

__all__ = ["PATIENCE", "SOON", "Gateways"]

_LOG = logging.getLogger(__name__)

PATIENCE = Duration(5_000)
"""How long the first look waits for gateways that have not answered yet."""

SOON = Duration(500)
"""How long a destructive step waits for what gateways say just before it."""


class Gateways:
    """Drives each gateway with a thread of its own; used from one thread, but for :meth:`newest`.

    ``connect`` makes the object that drives a gateway, and raises :class:`RoadsteadError` where the fleet file asks for
    what cannot be. ``via`` is the gateway of each deployment that has one.
    """

    def __init__(
        self,
        connect: Callable[[GatewaySpec], Gateway],
        wake: Callable[[], None],
        clock: Clock,
        patience: Duration = PATIENCE,
        *,
        hiring: Hire = hire,
    ) -> None:
        self._connect = connect
        self._hiring = hiring
        self._wake = wake
        self._clock = clock
        self._patience = patience
        self._driven: Mapping[str, DrivenGateway] = MappingProxyType({})
        self._awaited: set[str] = set()
        self.via: Mapping[str, str] = MappingProxyType({})

    # ---- which there are ----

    def drive(self, specs: Mapping[str, GatewaySpec]) -> Mapping[str, Mapping[str, int]]:
        """Drive exactly the gateways of ``specs``, and return the ports that newly opened ones kept, by gateway.

        What is opened again for another address or other options finds its process where it was; one of another kind
        takes the place of the old one, which is taken down. Raises :class:`RoadsteadError`, and all is as before.
        """
        before = self._driven
        kept = {name: one for name, one in before.items() if name in specs and _is_driven_alike(one.spec, specs[name])}
        # A plugin may hold its root for itself, so the old one lets go before the new one takes hold.
        for name, one in before.items():
            if name not in kept:
                if name in specs and specs[name].kind != one.spec.kind:
                    self._take_down(one)
                one.close()
        opened: dict[str, DrivenGateway] = {}
        try:
            for name, spec in specs.items():
                if name not in kept:
                    opened[name] = self._open(spec)
        except RoadsteadError:
            for one in opened.values():
                one.close()
            self._keep({name: kept.get(name) or self._open(one.spec) for name, one in before.items()})
            raise
        for name, one in kept.items():
            one.spec = specs[name]
        self._keep({name: opened.get(name) or kept[name] for name in specs})
        return {name: one.ports() for name, one in opened.items()}

    def take_down(self, names: Iterable[str]) -> Mapping[str, str]:
        """Take these gateways down, and return why that did not work for those that are still there."""
        wrong = {name: self._take_down(self._driven[name]) for name in names if name in self._driven}
        return {name: why for name, why in wrong.items() if why}

    def close(self) -> None:
        """Let go of all, and leave them serving."""
        for one in self._driven.values():
            one.close()
        self._keep({})

    def _open(self, spec: GatewaySpec) -> DrivenGateway:
        return DrivenGateway(spec, self._connect(spec), self._wake, self._clock, hiring=self._hiring)

    def _keep(self, driven: Mapping[str, DrivenGateway]) -> None:
        self._driven = MappingProxyType(dict(driven))
        self._awaited &= driven.keys()

    def _take_down(self, one: DrivenGateway) -> str:
        why = one.take_down()
        if why:
            _LOG.warning("gateway %s cannot be taken down: %s", one.spec.name, why)
        return why

    # ---- what they do ----

    def data_path(self, *, anew: bool = False) -> DataPath:
        """Return what all of them last showed, as what the next decision knows; the first time each is waited for.

        With ``anew`` nothing counts that was seen before now: one that does not answer :data:`SOON` is unseen.
        """
        states = self._seen_anew() if anew else self._seen()
        return DataPath(gateways=MappingProxyType(states), via=self.via)

    def newest(self) -> DataPath:
        """Return what all of them last showed, with the newest load; from any thread."""
        states = {name: one.newest for name, one in self._driven.items()}
        return DataPath(gateways=MappingProxyType(states), via=self.via)

    def offer(self, tables: Mapping[str, RouteTable]) -> None:
        """Have each gateway follow its table, and return at once."""
        for name, table in tables.items():
            if name in self._driven:
                self._driven[name].offer(table)

    def _seen(self) -> dict[str, GatewayState]:
        deadline = self._clock.monotonic() + self._patience.seconds
        for name, one in self._driven.items():
            if name not in self._awaited:
                self._awaited.add(name)
                one.wait(max(0.0, deadline - self._clock.monotonic()))
        return {name: one.state() for name, one in self._driven.items()}

    def _seen_anew(self) -> dict[str, GatewayState]:
        asked = [(name, one, one.look()) for name, one in self._driven.items()]
        deadline = self._clock.monotonic() + SOON.seconds
        return {name: one.state_of(future, max(0.0, deadline - self._clock.monotonic())) for name, one, future in asked}


def _is_driven_alike(one: GatewaySpec, other: GatewaySpec) -> bool:
    """Return whether the same object can go on: which ports there are to give is our own business."""
    return (one.kind, one.address, one.tls, one.options) == (other.kind, other.address, other.tls, other.options)
