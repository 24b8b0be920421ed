"""What clients see of changes, kills and the gateway itself, with the quickstart's model under load.

    python -m benchmarks.underload          # about half an hour; writes benchmarks/results/underload.{json,md}

A fleet of its own in a temporary folder: real servers of two versions of MiniLM behind a real gateway, a daemon, and
`roadstead load`, which checks each answer. Changes are made by saving the fleet file; what is killed is killed with
SIGKILL. Run it on a machine that does nothing else: everything shares its processors.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs

from benchmarks.fleet import Replica, Stage, kill, running, until
from benchmarks.load_told import result, sending, sent, stretch
from benchmarks.underload_report import Cost, Found, Kill, Killed, Planned, Unplanned, report
from configs.minilm.workload import write
from roadstead.decide.report import DeploymentStatus, RolloutState
from roadstead.shim.files import read_json
from roadstead.shim.identity import ProcessIdentity, open_process
from roadstead.shim.state import STATE_FILE, state_from_json
from roadstead.units import Memory

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
NAME: Final = "minilm"
VERSIONS: Final = (1, 2)
SHARE: Final = 0.6
"""Of the capacity: how much is asked for in an open loop."""
MOMENTS: Final = 10
CALM: Final = 6.0
"""Seconds of load before and after what happens."""
EVERY: Final = 0.5
STOPPED_FOR: Final = 10.0

FLEET: Final = """
    version: 1
    fleet: underload
    clusters:
      here: {{backend: local, options: {{model_roots: ["{model}"]}}}}
    gateways:
      edge: {{kind: envoy, ports: 18400-18409}}
    deployments:
      minilm:
        model: {{source: "{model}", version: {version}}}
        replicas: {replicas}
        resources: {{cpu: 400m, memory: {memory}}}
        stop: {{drain_within: 10s}}
        rollout: {{strategy: {strategy}}}
    daemon: {{http: "{http}", state: "{state}"}}
"""


@attrs.frozen(kw_only=True)
class Wish:
    """What the fleet file says of the deployment."""

    version: int = 1
    replicas: int = 2
    memory: str = "1Gi"
    strategy: str = "auto"


@attrs.frozen(kw_only=True)
class Change:
    """A planned change: the wishes that follow each other, and the first one again after the last."""

    name: str
    wishes: tuple[Wish, ...]

    @property
    def least(self) -> int:
        """The fewest replicas that it leaves."""
        return min(wish.replicas for wish in self.wishes)


CHANGES: Final = (
    Change(name="version 1 to 2, new replicas", wishes=(Wish(), Wish(version=2))),
    Change(name="memory 1Gi to 1100Mi", wishes=(Wish(), Wish(memory="1100Mi"))),
    Change(name="replicas 1 to 4 to 1", wishes=(Wish(replicas=1), Wish(replicas=4))),
    Change(
        name="version 1 to 2, reload",
        wishes=(Wish(strategy="reload"), Wish(strategy="reload", version=2)),
    ),
)


class Bench:
    """The fleet under measurement, and what clients send it."""

    def __init__(self, stage: Stage, model: Path, requests: Path, expected: Path) -> None:
        self._stage = stage
        self._model = model
        self._files = ("--requests", str(requests), "--expect", str(expected))
        self._text = stage.file.read_text()
        self._wish = Wish()

    # ---- the fleet ----

    def want(self, wish: Wish) -> None:
        """Save the fleet file with that wish."""
        old, self._wish = self._wish, wish
        text = self._text
        for was, now in (
            (f"version: {old.version}}}", f"version: {wish.version}}}"),
            (f"replicas: {old.replicas}\n", f"replicas: {wish.replicas}\n"),
            (f"memory: {old.memory}}}", f"memory: {wish.memory}}}"),
            (f"strategy: {old.strategy}}}", f"strategy: {wish.strategy}}}"),
        ):
            text = text.replace(was, now)
        self._text = text
        self._stage.file.write_text(text)

    def settled(self) -> None:
        """Wait until everything is as the file says and all of it serves."""
        wish = self._wish

        def look() -> bool:
            found = self._stage.deployment(NAME)
            return found is not None and _is_as_wished(found, wish)

        until(look, every=0.05, within=300)

    def go(self, wish: Wish) -> float:
        """Want that, wait until it is so, and return the seconds that it took."""
        began = time.monotonic()
        self.want(wish)
        self.settled()
        return time.monotonic() - began

    def replace_daemon(self) -> None:
        """Kill the daemon, and start the next one at once."""
        kill(self._stage.daemon())
        self._stage.must("daemon", "start", "--background")

    def replicas(self) -> list[Replica]:
        """Return the replicas that are listed."""
        return self._stage.replicas(NAME)

    def until_listed_again(self, replica: Replica, restarts: int) -> None:
        """Wait until a replica gets requests, in its run after so many restarts."""
        until(lambda: self._stage.is_listed(NAME, replica, restarts))

    def gateway(self) -> ProcessIdentity:
        """Return Envoy's process."""
        value = read_json(str(self._stage.state.path / "gateways" / "edge" / "process" / STATE_FILE))
        assert value is not None
        found = state_from_json(value).server
        assert found is not None
        return found

    # ---- the load ----

    def load(self, *words: str, to: str = NAME) -> "subprocess.Popen[str]":
        """Start sending."""
        command = ["load", to, *self._files, "--versions", "1,2", "--every", f"{EVERY}s", "-o", "json", *words]
        if to != NAME:
            command += ["--model", NAME]
        return self._stage.start(*command)

    def open_loop(self, rate: float, seconds: float, *, to: str = NAME) -> "subprocess.Popen[str]":
        """Send at that rate, on a hundred connections; it has begun."""
        words = ("--rate", f"{rate:.2f}", "--connections", "100", "--duration", f"{seconds:.0f}s")
        return sending(self.load(*words, to=to))

    def closed_loop(self, clients: int, seconds: float, *, to: str = NAME) -> dict[str, Any]:
        """Send as fast as answers come, and return what was found."""
        return result(self.load("--concurrency", str(clients), "--duration", f"{seconds:.0f}s", to=to))


def _is_as_wished(found: DeploymentStatus, wish: Wish) -> bool:
    groups = [group for group in found.groups if group.current]
    return (
        found.state is RolloutState.SETTLED
        and found.version == wish.version
        and found.wanted == wish.replicas == found.serving == found.listed
        and len(found.replicas) == wish.replicas
        and len(groups) == 1
        and groups[0].updated == wish.replicas
        and all(replica.versions == (wish.version,) for replica in found.replicas)
        and all(replica.requested.memory == Memory.parse(wish.memory) for replica in found.replicas)
    )


# ---- what is measured ----


def planned(bench: Bench, change: Change, capacity: float) -> Planned:
    """Make a change and take it back, with nothing else happening."""
    rate = SHARE * capacity * change.least / 2
    first, *others = change.wishes
    bench.go(first)
    # As long as it takes without load, twice, is long enough.
    probe = sum(bench.go(wish) for wish in (*others, first))
    seconds = 2 * CALM + 2 * probe + 10
    process = bench.open_loop(rate, seconds)
    began = time.time()
    time.sleep(CALM)
    changing = time.time()
    took = sum(bench.go(wish) for wish in (*others, first))
    changed = time.time()
    found = result(process)
    started = found["started_at"] or began
    return Planned(
        name=change.name,
        rate=rate,
        took=took,
        sent=sent(found),
        before=stretch(found, 0, changing - started),
        during=stretch(found, changing - started, changed - started),
        after=stretch(found, changed - started, seconds),
    )


def killed(bench: Bench, change: Change, capacity: float, clean: Planned) -> Killed:
    """Make a change ten times under one load, and kill the daemon at another moment of each."""
    rate = SHARE * capacity * change.least / 2
    length = clean.took / len(change.wishes)
    seconds = 2 * CALM + MOMENTS * (1.5 * length + 9)
    process = bench.open_loop(rate, seconds)
    end = time.monotonic() + seconds - CALM
    time.sleep(CALM)
    kills = []
    for number in range(MOMENTS):
        if time.monotonic() >= end:
            break
        wish = change.wishes[(number + 1) % len(change.wishes)]
        moment = length * number / MOMENTS
        began = time.monotonic()
        bench.want(wish)
        time.sleep(moment)
        bench.replace_daemon()
        bench.settled()
        kills.append(Kill(moment=moment, took=time.monotonic() - began))
        print(f"    {change.name}, killed after {moment:.1f} s: took {kills[-1].took:.1f} s", flush=True)
    return Killed(name=change.name, rate=rate, kills=tuple(kills), sent=sent(result(process)))


def unplanned(bench: Bench, name: str, capacity: float, strike: Callable[[], None]) -> Unplanned:
    """Do something bad under load, and watch until all is as before."""
    rate = SHARE * capacity
    bench.settled()
    process = bench.open_loop(rate, 3 * CALM + STOPPED_FOR + 8)
    time.sleep(CALM)
    struck = time.monotonic()
    strike()
    bench.settled()
    recovered = time.monotonic() - struck
    found = result(process)
    bad = [row["at"] for row in found["timeline"] if row["failures"]]
    return Unplanned(
        name=name,
        rate=rate,
        sent=sent(found),
        recovered=recovered,
        failing=bad[-1] - bad[0] + EVERY if bad else 0.0,
    )


def strikes(bench: Bench) -> Sequence[tuple[str, Callable[[], None]]]:
    """Return everything bad that is done."""

    def kill_server() -> None:
        replica = bench.replicas()[0]
        restarts = replica.state().restarts
        kill(replica.server())
        bench.until_listed_again(replica, restarts + 1)

    def kill_shim() -> None:
        replica = bench.replicas()[0]
        shim = replica.state().shim
        assert shim is not None
        kill(shim)
        until(lambda: replica.state().shim != shim)

    def kill_gateway() -> None:
        before = bench.gateway()
        kill(before)
        until(lambda: bench.gateway() != before)

    def stop_server() -> None:
        replica = bench.replicas()[0]
        server, restarts = replica.server(), replica.state().restarts
        _signal(server, signal.SIGSTOP)
        time.sleep(STOPPED_FOR)
        _signal(server, signal.SIGCONT)
        bench.until_listed_again(replica, restarts)

    return (
        ("kill -9 of a replica", kill_server),
        ("kill -9 of its shim", kill_shim),
        ("kill -9 of Envoy", kill_gateway),
        (f"SIGSTOP of a replica for {STOPPED_FOR:g} s", stop_server),
    )


def _signal(process: ProcessIdentity, number: signal.Signals) -> None:
    pidfd = open_process(process)
    assert pidfd is not None
    try:
        signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def costs(bench: Bench, capacity: float, rounds: int) -> tuple[Cost, ...]:
    """Compare one replica asked directly and through the gateway, in turns."""
    bench.go(Wish(replicas=1))
    address = bench.replicas()[0].address
    found = []
    for _ in range(rounds):
        for way, to in (("directly", address), ("gateway", NAME)):
            found.append(_cost("closed, 8 at a time", way, bench.closed_loop(8, 10, to=to)))
            at_rate = result(bench.open_loop(SHARE * capacity / 2, 10, to=to))
            found.append(_cost("open, 60 %", way, at_rate))
    return tuple(found)


def _cost(loop: str, way: str, found: dict[str, Any]) -> Cost:
    latency = found["latency"]
    return Cost(
        loop=loop,
        way=way,
        rate=found["rate"],
        p50=latency["p50"],
        p99=latency["p99"],
        failed=found["counts"]["failed"],
    )


def measure(model: Path, changes: Sequence[Change], rounds: int) -> Found:
    """Measure everything, one part after the other."""
    began = time.monotonic()

    def note(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s: {text}", flush=True)

    first = Wish()
    with (
        tempfile.TemporaryDirectory(prefix="roadstead-load-") as folder,
        running(FLEET, model=model, **attrs.asdict(first)) as stage,
    ):
        requests, expected = write(Path(folder), count=100, versions=VERSIONS)
        bench = Bench(stage, model, requests, expected)
        bench.settled()
        capacity = bench.closed_loop(16, 15)["rate"]
        note(f"capacity {capacity:.1f}/s")
        compared = costs(bench, capacity, rounds)
        note("costs are compared")
        bad = []
        bench.go(first)
        for name, strike in strikes(bench):
            for _ in range(rounds):
                bad.append(unplanned(bench, name, capacity, strike))
                note(f"{name}: {bad[-1].sent.failed} failed, as before after {bad[-1].recovered:.1f} s")
        good, cut = [], []
        for change in changes:
            good.append(planned(bench, change, capacity))
            note(f"{change.name}: {good[-1].sent.failed} of {good[-1].sent.sent} failed")
            cut.append(killed(bench, change, capacity, good[-1]))
            note(f"{change.name}, daemon killed: {cut[-1].sent.failed} of {cut[-1].sent.sent} failed")
    return Found(
        machine=f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        took=time.monotonic() - began,
        capacity=capacity,
        planned=tuple(good),
        killed=tuple(cut),
        unplanned=tuple(bad),
        costs=compared,
    )


def renewed(earlier: Found, found: Found) -> Found:
    """Return the results of an earlier run with the rows that were measured again."""
    planned_again = {row.name: row for row in found.planned}
    killed_again = {row.name: row for row in found.killed}
    return attrs.evolve(
        found,
        took=earlier.took + found.took,
        capacity=earlier.capacity,
        planned=tuple(planned_again.get(row.name, row) for row in earlier.planned),
        killed=tuple(killed_again.get(row.name, row) for row in earlier.killed),
        unplanned=found.unplanned or earlier.unplanned,
        costs=found.costs or earlier.costs,
    )


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description="Change, kill and compare what serves a real model under load.")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "minilm", help="versions 1 and 2 of it")
    parser.add_argument("--rounds", type=int, default=2, help="of each kill and comparison (default: %(default)s)")
    parser.add_argument(
        "--only", help="the changes with this in their names, 'no change' for none; other rows of the results are kept"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    for version in VERSIONS:
        if not (given.model / str(version) / "saved_model.pb").is_file():
            parser.error(f"{given.model} has no version {version}: `python -m configs.minilm.export` writes it")
    changes = tuple(change for change in CHANGES if given.only is None or given.only in change.name)
    found = measure(given.model.absolute(), changes, given.rounds)
    earlier = given.results / "underload.json"
    if given.only is not None and earlier.exists():
        found = renewed(cattrs.structure(json.loads(earlier.read_text()), Found), found)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "underload.json").write_text(json.dumps(attrs.asdict(found), indent=1) + "\n")
    text = report(found)
    (given.results / "underload.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
