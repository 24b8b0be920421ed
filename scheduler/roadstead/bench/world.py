"""The world of one simulation: its time, its clusters and gateways, and what is still to happen to them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from roadstead.act.addresses import assigned
from roadstead.bench.demand import Flow
from roadstead.bench.gateway import PretendedGateway
from roadstead.bench.scenario import Scenario
from roadstead.model import Fleet
from roadstead.spi.backend import BackendContext
from roadstead.spi.simulation import Now, SimulatedBackend, Simulation
from roadstead.traffic import Endpoint
from roadstead.units import Duration

__all__ = ["BEGAN", "PretendedWorld", "Told"]

BEGAN = 1_700_000_000_000
"""When every simulation begins, in milliseconds since the epoch: no particular moment, and always the same."""

OWNER_ID = "simulated"

Listed = Callable[[str], tuple[Endpoint, ...]]
"""The addresses that the clients of a deployment use where it has no gateway."""


@attrs.frozen
class Told:
    """Something that happened to the world from outside, ``at`` a virtual time, said in a sentence."""

    at: int
    text: str
    cluster: str = ""
    deployment: str = ""


@attrs.frozen(order=True)
class _Due:
    """Something that is still to be done: what has its time first, and of one time what was ordered first."""

    at: int
    order: int
    happens: Callable[[PretendedWorld], Told] = attrs.field(order=False)


class PretendedWorld:
    """A fleet's clusters and gateways, pretended; :attr:`now` is the virtual time.

    :attr:`fleet` is what its owners ask for now: file and intents. ``away_until`` is set while there is no daemon, and
    ``forgets`` where it comes back without its memory.
    """

    def __init__(self, fleet: Fleet, scenario: Scenario, simulation: Callable[[Now], Simulation], seed: int) -> None:
        self.now = BEGAN
        self.fleet = fleet
        self.away_until: int | None = None
        self.forgets = False
        self.pretended = simulation(lambda: self.now)
        self.clusters: Mapping[str, SimulatedBackend] = {
            name: self.pretended.cluster(_context(fleet, name, scenario.clusters[name]), seed)
            for name in sorted(fleet.clusters)
        }
        self.flows: Mapping[str, Flow] = {name: Flow(traffic, BEGAN) for name, traffic in sorted(scenario.load.items())}
        service = {name: traffic.service_time for name, traffic in scenario.load.items()}
        self.gateways = {name: self._gateway(service) for name in sorted(fleet.gateways)}
        self._due: list[_Due] = []
        self._ordered = 0
        self.declare(attrs.evolve(fleet, owner_id=OWNER_ID))

    def _gateway(self, service: Mapping[str, Duration]) -> PretendedGateway:
        return PretendedGateway(
            now=lambda: self.now,
            serves=self.pretended.serves,
            signs=self.signs,
            flows=self.flows,
            service=service,
        )

    def declare(self, fleet: Fleet) -> None:
        """Let the owners ask for something else from now on."""
        self.fleet = attrs.evolve(fleet, addresses=assigned(fleet, fleet.addresses).addresses)

    def order(self, at: int, happens: Callable[[PretendedWorld], Told]) -> None:
        """Have something happen at a time that has not passed yet."""
        heapq.heappush(self._due, _Due(at, self._ordered, happens))
        self._ordered += 1

    # ---- time ----

    def next_due(self) -> int | None:
        """Return when something may happen next without the daemon's doing, or ``None`` for never."""
        moments = [cluster.next_due() for cluster in self.clusters.values()]
        moments += [flow.next_change() for flow in self.flows.values()]
        moments += [self.away_until, self._due[0].at if self._due else None]
        return min((moment for moment in moments if moment is not None), default=None)

    def advance(self, until: int, listed: Listed) -> list[Told]:
        """Let the time pass up to ``until``, with all that is due by then, and return what that was."""
        told = []
        while self._due and self._due[0].at <= until:
            due = heapq.heappop(self._due)
            self._pass(due.at, listed)
            told.append(due.happens(self))
        self._pass(until, listed)
        return told

    def _pass(self, until: int, listed: Listed) -> None:
        servers = {name: self.serving(name, listed) for name in self.flows}
        self.now = max(self.now, until)
        for name, flow in self.flows.items():
            flow.advance(self.now, servers[name])

    def serving(self, name: str, listed: Listed) -> int:
        """Return how many servers get the requests of a deployment now, and answer them."""
        address = self.fleet.addresses.get(name)
        if address is not None:
            return self.gateways[address.gateway].serving(name)
        return sum(self.pretended.serves(endpoint) for endpoint in listed(name))

    def signs(self) -> tuple[object, ...]:
        """Return what is another object whenever a server may answer otherwise than before."""
        return tuple(cluster.model_states() for cluster in self.clusters.values())


def _context(fleet: Fleet, name: str, options: object) -> BackendContext:
    return BackendContext(
        cluster=name,
        fleet=fleet.name,
        owner_id=OWNER_ID,
        options=options,
        scheduling=fleet.clusters[name].scheduling,
        root=Path(),
        reach=fleet.clusters[name].reach,
    )
