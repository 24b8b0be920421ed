"""How long it takes from the news of a lost replica to the call that repairs it, in a fleet of so many deployments.

    python -m benchmarks.reaction           # prints a table, writes benchmarks/results/reaction.json

Everything of a turn is real: the bell, the thread of the cluster, observing, planning, memory forced to disk, the
executor. Only the cluster is not: it keeps its groups as values, is told of every change as a watch would tell, and
reports readiness itself, so that what is measured is ours. The time until the daemon's loop lets a turn begin is not in
it: none after a quiet second, see :mod:`roadstead.act.pacing`. The garbage collector runs between rounds, and within
them as it likes. The disk is that of ``--state``.
"""

import argparse
import gc
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import psutil

from roadstead.act.pacing import Bell
from roadstead.act.session import Session
from roadstead.capabilities import Capabilities
from roadstead.model import (
    ClusterSpec,
    Deployment,
    Fleet,
    ModelSpec,
    Quota,
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
from roadstead.world import Endpoint, Group, GroupKey, Node, Phase, Replica, Snapshot

RESULTS: Final = Path(__file__).parent / "results" / "reaction.json"
BUDGET_MS: Final = 10
SIZES: Final = (10, 1_000, 10_000)
REPLICAS: Final = 10
PER_NODE: Final = 100
ABLE: Final = Capabilities(scheduling=frozenset({Scheduling.DIRECTED}), exact_retire=True, heals_alone=False)


class Watched:
    """A cluster as a backend that watches one keeps it: a change makes one group anew and touches no other."""

    capabilities = ABLE

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._groups: dict[GroupKey, Group] = {group.key: group for group in snapshot.groups}
        self._wake: Callable[[], None] = lambda: None
        self._made = 0
        self.asked_at: list[float] = []

    def observe(self) -> Snapshot:
        """Return what is there now."""
        return self._snapshot

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Note the time, and replace what is lost by slots."""
        self.asked_at.append(time.perf_counter())
        group = self._groups[order.key]
        assert not retire, "nothing is to go here"
        assert group.version == expect.version, "the group is not as it was planned for"
        slots = tuple(self._slot(order.key) for _ in range(target - len(group.living)))
        self._set(attrs.evolve(group, target=target, replicas=(*group.living, *slots)))

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Have the slot's server run there, and be ready, at once."""
        assert not devices, "nothing here needs any"
        group = next(group for group in self._groups.values() if any(one.id == replica for one in group.replicas))
        there = tuple(running(one.id, node) if one.id == replica else one for one in group.replicas)
        self._set(attrs.evolve(group, replicas=there))

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Fail: nothing is to go here."""
        raise AssertionError(key, grace, expect)

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` at every change."""
        self._wake = wake

    def close(self) -> None:
        """Hold nothing."""

    def lose(self, key: GroupKey) -> None:
        """End one replica of a group for good, and tell."""
        group = self._groups[key]
        lost = attrs.evolve(group.replicas[0], phase=Phase.LOST, node=None, endpoint=None, ready=None)
        self._set(attrs.evolve(group, replicas=(lost, *group.replicas[1:])))

    def _slot(self, key: GroupKey) -> Replica:
        self._made += 1
        return Replica(id=f"{key.deployment}-again-{self._made}", phase=Phase.SLOT)

    def _set(self, group: Group) -> None:
        self._groups[group.key] = attrs.evolve(group, version=f"{group.version}+")
        self._snapshot = attrs.evolve(self._snapshot, groups=tuple(self._groups.values()))
        self._wake()


class Plugin:
    """Brings the backend ``watched``, with everything there that ``fleet`` wants."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    @hookimpl
    def roadstead_backends(self) -> Iterator[BackendPlugin]:
        """Bring it."""
        yield BackendPlugin(name="watched", factory=self._connect, options=NoOptions, summary="for this measurement")

    def _connect(self, context: BackendContext) -> Backend:
        return Watched(all_well(self._fleet, context.owner_id))


def running(name: str, node: str) -> Replica:
    """Return a replica that serves."""
    at = Endpoint(host=f"{name}.here", grpc=8500, rest=8501)
    return Replica(id=name, phase=Phase.RUNNING, node=node, endpoint=at, incarnation=f"{name}#1", ready=True)


def fleet(deployments: int) -> Fleet:
    """Return that many deployments of ten replicas, with an owner for each tenth of them, and quotas."""
    names = [f"model-{number:05}" for number in range(deployments)]
    return Fleet(
        name="bench",
        clusters={"here": ClusterSpec(name="here", backend="watched", options=NoOptions())},
        deployments={
            name: Deployment(
                name=name, owner=f"owner-{number % 10}", targets=(target("here", template(name)),), replicas=REPLICAS
            )
            for number, name in enumerate(names)
        },
        quotas={f"owner-{number}": Quota(cpu=Cpus(10**9)) for number in range(10)},
    )


def template(name: str) -> Template:
    """Return the template of one deployment."""
    return Template(
        model=ModelSpec(name=name, source=f"/models/{name}"),
        runtime=RuntimeSpec(name="simulated", engine="simulated"),
        resources=Resources(cpu=Cpus(100), memory=Memory(2**20)),
    )


def all_well(fleet: Fleet, owner_id: str) -> Snapshot:
    """Return the cluster with everything there that ``fleet`` wants."""
    groups = []
    for number, declared in enumerate(fleet.deployments.values()):
        aimed = declared.targets[0]
        groups.append(
            Group(
                key=GroupKey(declared.name, aimed.revision),
                owner=declared.owner,
                owner_id=owner_id,
                generation=1,
                target=REPLICAS,
                template=aimed.template,
                version="1",
                replicas=tuple(
                    running(f"{declared.name}-{one}", f"node-{(number * REPLICAS + one) // PER_NODE:05}")
                    for one in range(REPLICAS)
                ),
            )
        )
    nodes = tuple(
        Node(name=f"node-{number:05}", cpu=Cpus(PER_NODE * 110), memory=Memory(PER_NODE * 2**21))
        for number in range((len(groups) * REPLICAS + PER_NODE - 1) // PER_NODE)
    )
    return Snapshot(capabilities=ABLE, nodes=nodes, groups=tuple(groups))


def settle(session: Session) -> None:
    """Run turns, none of them due, until everything is as it should be."""
    unsettled: list[str] = []
    for _ in range(10):
        turn = session.turn(news=True)
        if not turn.plan.unsettled and not turn.outcomes:
            return
        unsettled = sorted(turn.plan.unsettled)
    raise SystemExit(f"it does not settle: {unsettled[:3]}")


def measure(deployments: int, rounds: int, state: Path) -> Mapping[str, Mapping[str, float]]:
    """Return what one fleet takes, in milliseconds: until the repairing call, and what of that is what."""
    bell, declared, host = Bell(), fleet(deployments), PluginHost.installed()
    host.register(Plugin(declared), Provenance(distribution="benchmarks", version="0", module="benchmarks.reaction"))
    parts: dict[str, list[float]] = {"reaction": [], "observe": [], "plan": [], "turn": []}
    with Session.open(declared, host, state, "benchmark", wake=bell.ring) as session:
        settle(session)
        cluster = session.clusters["here"].backend
        assert isinstance(cluster, Watched)
        keys = [GroupKey(one.name, one.targets[0].revision) for one in declared.deployments.values()]
        for number in range(rounds):
            session.turn()  # as it was last due: everything is planned
            gc.collect()
            bell.wait(0)
            cluster.asked_at.clear()
            began = time.perf_counter()
            cluster.lose(keys[number * 37 % len(keys)])
            told = time.perf_counter()
            assert bell.wait(1.0), "the cluster told nobody"
            turn = session.turn(news=True)
            ended = time.perf_counter()
            assert cluster.asked_at, "the first turn after the news repairs nothing"
            parts["reaction"].append(cluster.asked_at[0] - told)
            parts["observe"].append(turn.timing.observe)
            parts["plan"].append(turn.timing.plan)
            parts["turn"].append(ended - began)
            settle(session)
    return {name: summary(taken) for name, taken in parts.items()}


def summary(seconds: list[float]) -> Mapping[str, float]:
    """Return the median, the 90th percentile and the maximum, in milliseconds."""
    return {
        "median_ms": round(1000 * statistics.median(seconds), 2),
        "p90_ms": round(1000 * statistics.quantiles(seconds, n=10)[8], 2),
        "max_ms": round(1000 * max(seconds), 2),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--deployments", type=int, nargs="+", default=SIZES)
    parser.add_argument("--state", type=Path, help="the folder for the state directory, instead of a temporary one")
    given = parser.parse_args()
    found = {}
    for size in given.deployments:
        with tempfile.TemporaryDirectory(prefix="roadstead-", dir=given.state) as state:
            found[str(size)] = measure(size, given.rounds, Path(state))
    print(f"{'deployments x 10':<18} {'median':>9} {'p90':>9} {'max':>9}  of it: {'observe':>8} {'plan':>8}")
    for name, one in found.items():
        until = one["reaction"]
        print(
            f"{name:<18} {until['median_ms']:>6.2f} ms {until['p90_ms']:>6.2f} ms {until['max_ms']:>6.2f} ms"
            f"         {one['observe']['median_ms']:>5.2f} ms {one['plan']['median_ms']:>5.2f} ms"
        )
    largest = found[str(max(given.deployments))]["reaction"]["median_ms"]
    print(f"budget: {BUDGET_MS} ms at the median, {'kept' if largest <= BUDGET_MS else 'BROKEN'}")
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "processors": psutil.cpu_count()}
    content = {"replicas": REPLICAS, "rounds": given.rounds, **machine, "deployments": found}
    RESULTS.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
