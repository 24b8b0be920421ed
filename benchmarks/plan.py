"""What the decision itself costs: ``plan`` over a fleet at rest, after one event, and in a rollout of everything.

    python -m benchmarks.plan               # prints a table, writes benchmarks/results/plan.json

The worlds are values, ten ready replicas for each deployment on nodes of a hundred replicas each, and every owner has a
quota, so that nothing of the decision is left out. One *event* is one replica lost: a new snapshot, the world put
together again, and the plan for that deployment. In the *rollout* every deployment has nine replicas of the old
revision and one of the new, all ready, and is given its next: a question for room, a place in the quota and a step for
each. While that one starts (*waiting*), each has eleven and nothing can be done. *Full nodes*: every deployment should
have one more replica, for which no node has room, and each is told why and what would be enough. *Again* is what looks
once more, just before, whether one replica of each may still be taken down: whether all that are counted on serve. Each
number is over ``--rounds`` rounds, a quarter of them where every deployment is decided about; the garbage collector
runs between them and not within, as it would for any process that keeps so many values. Times are of processor time, so
that others on the machine count for less; they do not count for nothing, so the load is kept with the results. Budgets:
100 ms for the full plan at 10,000 deployments, 10 ms from an event to the call, of which this is the thinking part, and
2 s for the turn in which all of them go on with a rollout.
"""

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import psutil

from roadstead.act.preconditions import Now, objection
from roadstead.assembly import assemble
from roadstead.capabilities import Capabilities
from roadstead.decide.planner import plan
from roadstead.memory import PlanMemory
from roadstead.model import ClusterSpec, Deployment, Fleet, ModelSpec, Quota, Resources, Scheduling, Template
from roadstead.plans import Shrink, Standing
from roadstead.spi.policies import PlacementPolicy
from roadstead.template import target
from roadstead.units import Cpus, Memory
from roadstead.world import (
    Endpoint,
    Group,
    GroupKey,
    ModelState,
    ModelStatus,
    Node,
    Phase,
    Reachable,
    Replica,
    Snapshot,
    World,
)
from roadstead_plugins.placement.plugin import BinPack, Spread

RESULTS: Final = Path(__file__).parent / "results" / "plan.json"
BUDGETS_MS: Final = {"full": 100, "event": 10, "rollout": 2_000}
REPLICAS: Final = 10
PER_NODE: Final = 100
NOW: Final = 1_700_000_000_000
POLICIES: Final[Mapping[str, PlacementPolicy]] = {"spread": Spread(), "binpack": BinPack()}
ABLE: Final = Capabilities(scheduling=frozenset({Scheduling.DIRECTED}), exact_retire=True, heals_alone=False)


@attrs.frozen(kw_only=True)
class Case:
    """A fleet at rest, what is seen of it, and what the planner remembers of it."""

    fleet: Fleet
    world: World
    memory: PlanMemory


def deployment(number: int) -> Deployment:
    """Return one of many deployments, each with a template of its own."""
    template = Template(
        model=ModelSpec(name=f"model-{number}", source=f"/models/{number}"),
        resources=Resources(cpu=Cpus(100), memory=Memory(2**20)),
    )
    name, owner = f"model-{number:05}", f"owner-{number % 10}"
    return Deployment(name=name, owner=owner, targets=(target("here", template),), replicas=REPLICAS)


def group(number: int, declared: Deployment) -> Group:
    """Return the group of a deployment as it is when all is well."""
    aimed = declared.targets[0]
    replicas = tuple(
        Replica(
            id=f"{declared.name}-{index}",
            phase=Phase.RUNNING,
            node=f"node-{(number * REPLICAS + index) // PER_NODE:05}",
            endpoint=Endpoint(host=f"10.{number >> 8}.{number & 255}.{index}", grpc=8500, rest=8501),
            incarnation=f"{declared.name}-{index}#1",
            started_at=NOW,
        )
        for index in range(REPLICAS)
    )
    return Group(
        key=GroupKey(declared.name, aimed.revision),
        owner=declared.owner,
        owner_id="owner",
        generation=1,
        target=REPLICAS,
        template=aimed.template,
        version="1",
        replicas=replicas,
    )


def at_rest(count: int) -> Case:
    """Return a fleet of so many deployments, with everything as it should be."""
    declared = [deployment(number) for number in range(count)]
    groups = tuple(group(number, one) for number, one in enumerate(declared))
    nodes = tuple(
        Node(name=f"node-{number:05}", cpu=Cpus(PER_NODE * 110), memory=Memory(PER_NODE * 2**21))
        for number in range((count * REPLICAS + PER_NODE - 1) // PER_NODE)
    )
    models = {
        replica.id: ModelState(status=ModelStatus.AVAILABLE, incarnation=replica.incarnation, versions=(1,))
        for one in groups
        for replica in one.replicas
    }
    fleet = Fleet(
        name="bench",
        clusters={"here": ClusterSpec(name="here", backend="simulated", options=None)},
        deployments={one.name: one for one in declared},
        owner_id="owner",
        quotas={f"owner-{number}": Quota(cpu=Cpus(10**9)) for number in range(10)},
    )
    world = assemble(None, {"here": Reachable(Snapshot(capabilities=ABLE, nodes=nodes, groups=groups))}, models)
    first = plan(fleet, world, PlanMemory(), NOW, POLICIES)
    assert first.steps == (), first.steps[:3]
    return Case(fleet=fleet, world=world, memory=first.memory)


def in_rollout(rest: Case, *, waiting: bool) -> Case:
    """Return the fleet of ``rest`` with a new template for each, and one replica of ten that has it.

    With ``waiting``, one more replica of each was asked for, and starts.
    """
    view = rest.world.clusters["here"]
    assert isinstance(view, Reachable)
    groups: list[Group] = []
    models = dict(rest.world.models)
    changed = {}
    for old in view.snapshot.groups:
        declared = rest.fleet.deployments[old.key.deployment]
        model = attrs.evolve(old.template.model, source=f"{old.template.model.source}/new")
        aimed = target("here", attrs.evolve(old.template, model=model))
        changed[declared.name] = attrs.evolve(declared, targets=(aimed,))
        replaced = attrs.evolve(old.replicas[-1], id=f"{declared.name}-new", incarnation=f"{declared.name}-new#1")
        models[replaced.id] = attrs.evolve(models[old.replicas[-1].id], incarnation=replaced.incarnation)
        starting = attrs.evolve(replaced, id=f"{declared.name}-next", phase=Phase.STARTING, endpoint=None)
        replicas = (replaced, starting) if waiting else (replaced,)
        key = GroupKey(declared.name, aimed.revision)
        groups += [
            attrs.evolve(old, target=REPLICAS - 1, replicas=old.replicas[:-1]),
            attrs.evolve(old, key=key, generation=2, template=aimed.template, target=len(replicas), replicas=replicas),
        ]
    fleet = attrs.evolve(rest.fleet, deployments=changed)
    snapshot = attrs.evolve(view.snapshot, groups=tuple(groups))
    world = assemble(None, {"here": Reachable(snapshot)}, models)
    first = plan(fleet, world, PlanMemory(), NOW, POLICIES)
    return Case(fleet=fleet, world=world, memory=first.memory)


def without_room(rest: Case) -> Case:
    """Return the fleet of ``rest`` with one replica more for each, which has a slot, on nodes that are full."""
    view = rest.world.clusters["here"]
    assert isinstance(view, Reachable)
    groups = tuple(
        attrs.evolve(
            one,
            target=REPLICAS + 1,
            replicas=(*one.replicas, Replica(id=f"{one.key.deployment}-more", phase=Phase.SLOT)),
        )
        for one in view.snapshot.groups
    )
    nodes = tuple(attrs.evolve(node, cpu=Cpus(PER_NODE * 100 + 50)) for node in view.snapshot.nodes)
    deployments = {name: attrs.evolve(one, replicas=REPLICAS + 1) for name, one in rest.fleet.deployments.items()}
    fleet = attrs.evolve(rest.fleet, deployments=deployments)
    snapshot = attrs.evolve(view.snapshot, nodes=nodes, groups=groups)
    world = assemble(None, {"here": Reachable(snapshot)}, rest.world.models)
    return Case(fleet=fleet, world=world, memory=plan(fleet, world, rest.memory, NOW, POLICIES).memory)


def milliseconds(rounds: int, act: Callable[[int], Sequence[object]], *, steps: int) -> list[float]:
    """Return how long each round took; every one must have ended in so many steps."""
    taken = []
    for number in range(rounds):
        gc.collect()
        gc.disable()
        began = time.process_time()
        decided = act(number)
        taken.append((time.process_time() - began) * 1000)
        gc.enable()
        assert len(decided) == steps, decided[:3]
    return taken


def thinking(case: Case, only: frozenset[str] | None = None) -> Sequence[object]:
    """Return the steps of a second later."""
    return plan(case.fleet, case.world, case.memory, NOW + 1_000, POLICIES, only=only).steps


def one_less(one: Group) -> Shrink:
    """Return the step that takes one replica of a group down while all others serve."""
    *others, last = one.replicas
    return Shrink(
        cluster="here",
        group=one.key,
        owner=one.owner,
        generation=one.generation,
        template=one.template,
        target=one.target - 1,
        was=one.target,
        retire=(last.id,),
        version=one.version,
        standing=tuple(Standing(cluster="here", replica=one.id, incarnation=one.incarnation) for one in others),
        because="of another revision",
    )


def looking_again(case: Case) -> Callable[[int], Sequence[object]]:
    """Return the work of looking at one step for each deployment again, each time with a new observation."""
    view = case.world.clusters["here"]
    assert isinstance(view, Reachable)
    steps = [one_less(one) for one in view.snapshot.groups]

    def act(_: int) -> Sequence[object]:
        now = Now(views={"here": Reachable(attrs.evolve(view.snapshot))}, models=case.world.models)
        return [step for step in steps if objection(step, now) is None]

    return act


def after_a_loss(case: Case, number: int) -> Callable[[], Sequence[object]]:
    """Return the work that follows when some deployment lost a replica; the observation is made beforehand."""
    view = case.world.clusters["here"]
    assert isinstance(view, Reachable)
    groups = list(view.snapshot.groups)
    position = number * 37 % len(groups)
    hit = groups[position]
    lost = attrs.evolve(hit.replicas[0], phase=Phase.LOST, node=None)
    groups[position] = attrs.evolve(hit, replicas=(lost, *hit.replicas[1:]), version="2")
    views = {"here": Reachable(attrs.evolve(view.snapshot, groups=tuple(groups)))}
    only = frozenset({hit.key.deployment})

    def act() -> Sequence[object]:
        world = assemble(case.world, views, case.world.models)
        return thinking(attrs.evolve(case, world=world), only)

    return act


def measured(count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return what a fleet of so many deployments costs."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    case = at_rest(count)
    gc.collect()
    held = process.memory_info().rss - before
    rolling, waiting, full = in_rollout(case, waiting=False), in_rollout(case, waiting=True), without_room(case)
    works = [after_a_loss(case, number) for number in range(rounds)]
    fewer = max(2, rounds // 4)
    rows = {
        "full": milliseconds(rounds, lambda _: thinking(case), steps=0),
        "event": milliseconds(rounds, lambda number: works[number](), steps=1),
        "rollout": milliseconds(fewer, lambda _: thinking(rolling), steps=count),
        "waiting": milliseconds(fewer, lambda _: thinking(waiting), steps=0),
        "full_nodes": milliseconds(fewer, lambda _: thinking(full), steps=0),
        "again": milliseconds(fewer, looking_again(case), steps=count),
    }
    found = {
        name: {
            "median_ms": round(statistics.median(taken), 2),
            "p90_ms": round(statistics.quantiles(taken, n=10)[8], 2),
        }
        for name, taken in rows.items()
    }
    found["memory"] = {"mib": round(held / 2**20, 1), "kib_per_replica": round(held / 1024 / count / REPLICAS, 2)}
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--deployments", type=int, nargs="+", default=[1_000, 10_000])
    given = parser.parse_args()
    found = {str(count): measured(count, given.rounds) for count in given.deployments}
    heads = f"{'full plan':>11} {'p90':>9} {'one event':>11} {'p90':>9} {'rollout':>11} {'waiting':>11}"
    heads += f" {'full nodes':>11} {'again':>11} {'values':>10}"
    print(f"{'deployments x 10':<18} {heads}")
    for count, one in found.items():
        full, event, memory = one["full"], one["event"], one["memory"]
        print(
            f"{count:<18} {full['median_ms']:>8.2f} ms {full['p90_ms']:>6.2f} ms"
            f" {event['median_ms']:>8.2f} ms {event['p90_ms']:>6.2f} ms {one['rollout']['median_ms']:>8.0f} ms"
            f" {one['waiting']['median_ms']:>8.0f} ms {one['full_nodes']['median_ms']:>8.0f} ms"
            f" {one['again']['median_ms']:>8.0f} ms"
            f" {memory['mib']:>6.0f} MiB"
        )
    largest = found[str(max(given.deployments))]
    for name, budget in BUDGETS_MS.items():
        kept = "kept" if largest[name]["median_ms"] <= budget else "BROKEN"
        print(f"budget for {name}: {budget} ms at the median, {kept}")
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": psutil.cpu_count(),
        "load": round(psutil.getloadavg()[0], 1),
    }
    print(f"the machine's load was {machine['load']} on {machine['processors']} processors")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"rounds": given.rounds, **machine, "deployments": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
