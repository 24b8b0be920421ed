"""The simulated clusters that stories are told on, in every temper that there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from roadstead.model import Fleet
from roadstead.testing.faults.props import Props
from roadstead.testing.faults.telling import Scenario
from roadstead.testing.proxy import Answer, Proxy
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Endpoint, Node
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.network import Network, SimulatedRuntime
from roadstead_backends.simulated.tempers import DIRECTED, KUBERNETES, MARATHON, NATIVE, Temper
from roadstead_plugins.placement.plugin import BinPack, Spread
from roadstead_plugins.scaling.concurrency import Concurrency

OWNER_ID = "owner"
NODES = 3
PLAIN: Mapping[str, Temper] = {
    "directed": DIRECTED,
    "native": NATIVE,
    "like Kubernetes": KUBERNETES,
    "like Marathon": MARATHON,
}
"""What every story is told on that names no others."""

TEMPERS: Mapping[str, Temper] = {
    **PLAIN,
    "like Kubernetes, serving on": attrs.evolve(KUBERNETES, serves_on=True),
}
"""All that there are: in the last, whoever is told to stop serves until its time to drain is over, as by a preStop."""


def tempers_of(scenario: Scenario) -> tuple[str, ...]:
    """Return the tempers that a story is told on, in the order of the table."""
    return tuple(name for name in TEMPERS if name in (scenario.tempers or PLAIN))


def _hurried(temper: Temper) -> Temper:
    """Return the same temper with times of about a second: a story is to be told thousands of times."""
    second = Duration(1_000)
    probe = second if temper.timings.probe.ms else temper.timings.probe
    timings = attrs.evolve(
        temper.timings,
        place=Duration(200),
        start=second,
        load=second,
        stop=second,
        back_off=second,
        longest_back_off=Duration(4_000),
        probe=probe,
        notice=probe,
    )
    return attrs.evolve(temper, timings=timings)


def node(name: str) -> Node:
    """Return a node with room for four small replicas."""
    return Node(name=name, cpu=Cpus(4_000), memory=Memory(2**30), attributes={"hostname": name})


def furnished(fleet: Fleet, temper: str, seed: int = 0) -> Props:
    """Return what a stage for ``fleet`` is furnished with: its clusters, all of one temper, and its gateways."""
    time, network = VirtualClock(), Network()

    def answer(endpoint: Endpoint) -> Answer | None:
        state = network.ask(endpoint, 1)
        return Answer(state.incarnation) if state is not None and state.versions else None

    clusters = {
        name: SimulatedCluster(
            name,
            owner_id=OWNER_ID,
            nodes=[node(f"{name[0]}{number}") for number in range(NODES)],
            clock=time,
            network=network,
            temper=_hurried(TEMPERS[temper]),
            seed=seed,
        )
        for name in fleet.clusters
    }
    return Props(
        time=time,
        clusters=clusters,
        period_ms=_hurried(TEMPERS[temper]).timings.probe.ms,
        began=lambda: (at for one in clusters.values() for at in _began(one)),
        proxies={name: Proxy(now=time.now, answers=answer, seed=seed) for name in fleet.gateways},
        runtimes={"simulated": SimulatedRuntime(network)},
        policies={"spread": Spread(), "binpack": BinPack()},
        scalers={"concurrency": Concurrency()},
    )


def _began(cluster: SimulatedCluster) -> Iterator[int]:
    for server in cluster._store.servers():
        yield server.started_at or 0
        yield server.ready_at
