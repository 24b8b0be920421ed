"""How fast the simulator is, and whether it repeats itself: hours of a thousand nodes in seconds.

    python -m benchmarks.sim                # prints a table, writes benchmarks/results/sim.json

A fleet of 1,000 deployments with ten replicas each on 1,000 nodes, with something happening all the time: a node loses
its power every five minutes and returns ten minutes later, every ten minutes ten deployments get another version, and
every half hour the cluster does not answer for two minutes. *All of it* is from nothing at all to the end; *at work* is
what comes after the first five minutes, in which everything is made. A tenth of it is simulated three times with one
seed: again, for the two logs must be the same byte for byte, and with every turn made, where none is left out because
nothing could be different in it; that log must be the same, too. Seconds are of processor time, so that others on the
machine count for less; they do not count for nothing, so the load is kept with the results.
"""

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import psutil

from roadstead.bench.record import Simulated
from roadstead.bench.scenario import Action, ChangeFile, Partition, Scenario, SilenceNode
from roadstead.bench.simulation import simulate
from roadstead.model import ClusterSpec, Deployment, Fleet, ModelSpec, Quota, Resources, RuntimeSpec, Template
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import BackendPlugin
from roadstead.template import target
from roadstead.units import Cpus, Duration, Memory
from roadstead.wire import to_wire
from roadstead_backends.simulated.options import NodeGroup, SimulatedOptions, TemperName

RESULTS: Final = Path(__file__).parent / "results" / "sim.json"
REPLICAS: Final = 10
HOST: Final = PluginHost.installed()
PLUGIN: Final = HOST.get(BackendPlugin, "simulated")
TEMPERS: Final = {"like Kubernetes": TemperName.KUBERNETES, "directed": TemperName.PLAIN}


@attrs.frozen(kw_only=True)
class Story:
    """How large the fleet is and for how long it is simulated."""

    nodes: int
    deployments: int
    hours: int


def fleet(story: Story) -> Fleet:
    """Return a fleet of small replicas, all of one owner."""
    return Fleet(
        name="bench",
        clusters={"here": ClusterSpec(name="here", backend="simulated", options=None)},
        deployments={f"model-{number:05}": deployment(number) for number in range(story.deployments)},
        quotas={"owner": Quota(cpu=Cpus(10**9))},
    )


def deployment(number: int) -> Deployment:
    """Return one of many deployments, each with a template of its own."""
    template = Template(
        model=ModelSpec(name=f"model-{number}", source=f"gs://models/{number}"),
        runtime=RuntimeSpec(name="simulated", engine="simulated"),
        resources=Resources(cpu=Cpus(500), memory=Memory(2**30)),
    )
    return Deployment(name=f"model-{number:05}", owner="owner", targets=(target("here", template),), replicas=REPLICAS)


def scenario(story: Story, temper: TemperName) -> Scenario:
    """Return what happens to them."""
    nodes = NodeGroup(name="node", count=story.nodes, zones=3, cpu=Cpus(8_000), memory=Memory(2**35))
    options = SimulatedOptions(temper=temper, groups=(nodes,), load=Duration(20_000), vary=25)
    events = sorted(_events(story), key=lambda event: event.at.ms)
    return Scenario(lasts=Duration(story.hours * 3_600_000), clusters={"here": options}, seed=7, events=tuple(events))


def _events(story: Story) -> Iterator[Action]:
    for number in range(1, story.hours * 12):
        node = f"node-{number * 37 % story.nodes + 1}"
        yield SilenceNode(at=_minutes(number * 5), silence_node=node, cluster="here", lasts=_minutes(10))
    for number in range(1, story.hours * 6):
        for other in range(10):
            changed = (number * 10 + other) % story.deployments
            yield ChangeFile(at=_minutes(number * 10), change=f"model-{changed:05}", version=2)
    for number in range(1, story.hours * 2):
        yield Partition(at=_minutes(number * 30 + 3), partition="here", lasts=_minutes(2))


def _minutes(number: int) -> Duration:
    return Duration(number * 60_000)


def digest(found: Simulated) -> str:
    """Return the hash of the log of events, as ``roadstead sim --events`` writes it."""
    lines = (json.dumps(to_wire(one), ensure_ascii=False, sort_keys=True) for one in found.happenings)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def timed(story: Story, temper: TemperName, *, every_turn: bool) -> tuple[Simulated, float, float]:
    """Return what came of it, the seconds that it took, and how many of them until all served."""
    assert PLUGIN.simulation is not None
    up_at: list[float] = []
    began = time.process_time()

    def progress(passed: int) -> None:
        if passed >= 5 * 60_000 and not up_at:
            up_at.append(time.process_time() - began)

    found = simulate(
        fleet(story),
        scenario(story, temper),
        simulation=resolve(PLUGIN.simulation, "the simulation"),
        placement=HOST.placement_policies(),
        scaling=HOST.scaling_policies(),
        every_turn=every_turn,
        progress=progress,
    )
    return found, time.process_time() - began, up_at[0]


def measured(story: Story, temper: TemperName) -> Mapping[str, object]:
    """Return the numbers of one story."""
    found, seconds, coming_up = timed(story, temper, every_turn=False)
    return {
        "nodes": story.nodes,
        "replicas": story.deployments * REPLICAS,
        "hours": story.hours,
        "seconds": round(seconds, 2),
        "seconds_coming_up": round(coming_up, 2),
        "hours_per_second": round(story.hours / seconds, 3),
        "hours_per_second_at_work": round((story.hours - 1 / 12) / (seconds - coming_up), 3),
        "turns": found.turns,
        "events": len(found.happenings),
        "steps": dict(found.steps),
        "refused": dict(found.refused),
        "serving_at_the_end": sum(one.counts[-1].serving for one in found.deployments),
    }


def walked(story: Story, temper: TemperName) -> Mapping[str, object]:
    """Return whether it is the same again, what it costs to make every turn, and whether that changes anything."""
    leapt, leaping, _ = timed(story, temper, every_turn=False)
    again, _, _ = timed(story, temper, every_turn=False)
    found, walking, _ = timed(story, temper, every_turn=True)
    return {
        "nodes": story.nodes,
        "replicas": story.deployments * REPLICAS,
        "hours_per_second": round(story.hours / leaping, 3),
        "hours_per_second_every_turn": round(story.hours / walking, 3),
        "turns": leapt.turns,
        "turns_every_turn": found.turns,
        "same_log_with_the_same_seed": digest(leapt) == digest(again),
        "same_log_with_every_turn": digest(leapt) == digest(found),
    }


def main() -> None:
    """Measure, print and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--hours", type=int, default=1)
    parser.add_argument("--tempers", nargs="*", choices=sorted(TEMPERS))
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    story = Story(nodes=given.nodes, deployments=given.deployments, hours=given.hours)
    tenth = attrs.evolve(story, nodes=max(1, story.nodes // 10), deployments=max(1, story.deployments // 10))
    results: dict[str, Mapping[str, object]] = {}
    for name in given.tempers or TEMPERS:
        for title, measure, size in ((name, measured, story), (f"{name}, a tenth of it", walked, tenth)):
            results[title] = measure(size, TEMPERS[name])
            print(title)
            for key, value in results[title].items():
                print(f"  {key:<28} {value}", flush=True)
            if given.keep:
                machine = f"{platform.machine()}, Python {platform.python_version()}, {psutil.cpu_count()} processors"
                document = {"machine": machine, "load": round(psutil.getloadavg()[0], 1), "results": results}
                RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
