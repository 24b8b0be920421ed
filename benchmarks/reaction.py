"""How long it takes from the news of a lost replica to the call that repairs it, in a fleet of so many deployments.

    python -m benchmarks.reaction           # prints a table, writes benchmarks/results/reaction.json

Everything of a turn is real: observing, planning, memory made durable with two fsyncs, the executor's thread. Only the
cluster is simulated, in virtual time, and reports readiness itself, so that what is measured is ours.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from roadstead.act.pacing import Bell
from roadstead.act.session import Session
from roadstead.model import (
    ClusterSpec,
    Deployment,
    Fleet,
    HealthSpec,
    ModelSpec,
    Resources,
    RuntimeSpec,
    Scheduling,
    Template,
)
from roadstead.spi.backend import Backend, BackendContext, Expect, GroupOrder
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.host import PluginHost, Provenance
from roadstead.spi.records import BackendPlugin, NoOptions
from roadstead.template import target
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Node
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster, capabilities
from roadstead_backends.simulated.network import Network

RESULTS: Final = Path(__file__).parent / "results" / "reaction.json"
SIZES: Final = (10, 100, 1000)
REPLICAS: Final = 2


class Timed(SimulatedCluster):
    """A simulated cluster that notes when it is asked for a count of replicas."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.asked_at: list[float] = []

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Note the time and do it."""
        self.asked_at.append(time.perf_counter())
        super().apply(order, target, retire=retire, expect=expect)


class Plugin:
    """Brings the backend ``timed``, in a time that passes when it is told to."""

    def __init__(self, clock: VirtualClock, nodes: int) -> None:
        self._clock = clock
        self._nodes = nodes

    @hookimpl
    def roadstead_backends(self) -> Iterator[BackendPlugin]:
        """Bring it."""
        yield BackendPlugin(name="timed", factory=self._connect, options=NoOptions, summary="for this measurement")

    def _connect(self, context: BackendContext) -> Backend:
        return Timed(
            context.cluster,
            owner_id=context.owner_id,
            nodes=[Node(name=f"n{n}", cpu=Cpus(64_000), memory=Memory(2**40)) for n in range(self._nodes)],
            clock=self._clock,
            network=Network(),
            able=capabilities(Scheduling.DIRECTED),
            reports_ready=True,
        )


def fleet(deployments: int) -> Fleet:
    """Return that many deployments of two replicas."""
    made = Template(
        model=ModelSpec(name="m", source="/models/m"),
        runtime=RuntimeSpec(name="simulated", engine="simulated"),
        resources=Resources(cpu=Cpus(500), memory=Memory(2**28)),
        health=HealthSpec(every=Duration(1_000)),
    )
    names = [f"d{number}" for number in range(deployments)]
    return Fleet(
        name="bench",
        clusters={"here": ClusterSpec(name="here", backend="timed", options=NoOptions())},
        deployments={
            n: Deployment(name=n, owner="o", targets=(target("here", made),), replicas=REPLICAS) for n in names
        },
    )


def settle(session: Session, clock: VirtualClock) -> None:
    """Run turns until there is nothing to do and every group is proven."""
    quiet = 0
    while quiet < 5:
        clock.advance(4_000)
        turn = session.turn()
        ready = all(len(shard.ready) == REPLICAS for shard in turn.world.shards.values())
        quiet = quiet + 1 if ready and not turn.outcomes else 0


def measure(deployments: int, rounds: int) -> dict[str, float]:
    """Return what one fleet takes, in milliseconds."""
    clock, bell = VirtualClock(), Bell()
    host = PluginHost.installed()
    provenance = Provenance(distribution="benchmarks", version="0", module="benchmarks.reaction")
    host.register(Plugin(clock, nodes=4 + deployments * REPLICAS // 64), provenance)
    reactions: list[float] = []
    observed: list[float] = []
    planned: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="roadstead-") as state,
        Session.open(fleet(deployments), host, Path(state), "benchmark", wake=bell.ring) as session,
    ):
        settle(session, clock)
        cluster = session.clusters["here"].backend
        assert isinstance(cluster, Timed)
        for number in range(rounds):
            victim = cluster.truth().groups[number % deployments].replicas[0].id
            bell.wait(0)
            cluster.asked_at.clear()
            began = time.perf_counter()
            cluster.lose(victim)
            assert bell.wait(1.0), "the cluster told nobody"
            timing = session.turn().timing
            assert cluster.asked_at, "the first turn after the news repairs nothing"
            reactions.append(1000 * (cluster.asked_at[0] - began))
            observed.append(1000 * timing.observe)
            planned.append(1000 * timing.plan)
            settle(session, clock)
    return {
        "median_ms": round(statistics.median(reactions), 2),
        "p90_ms": round(statistics.quantiles(reactions, n=10)[8], 2),
        "max_ms": round(max(reactions), 2),
        "observe_median_ms": round(statistics.median(observed), 2),
        "plan_median_ms": round(statistics.median(planned), 2),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    found = {str(size): measure(size, rounds) for size in SIZES}
    print(f"{'deployments':>11} {'median':>9} {'p90':>9} {'max':>9}   of it: {'observe':>8} {'plan':>8}")
    for size, one in found.items():
        print(
            f"{size:>11} {one['median_ms']:>7.1f}ms {one['p90_ms']:>7.1f}ms {one['max_ms']:>7.1f}ms"
            f"           {one['observe_median_ms']:>6.1f}ms {one['plan_median_ms']:>6.1f}ms"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"machine": platform.platform(), "python": platform.python_version(), "replicas": REPLICAS}
    RESULTS.write_text(json.dumps({**content, "rounds": rounds, "deployments": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
