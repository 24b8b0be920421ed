"""What happens when things are killed, run out of memory, or ask for too much, with the quickstart's model.

    python -m benchmarks.healing            # about seven minutes; writes benchmarks/results/healing.json and healing.md

Two replicas of MiniLM at 400m CPU each, and a third with little memory, under a daemon of their own in a temporary
folder. Servers, shims and daemons are ended with SIGKILL; everything is seen from outside and nothing is simulated.
"""

import argparse
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import attrs
import numpy as np
import psutil

from benchmarks.fleet import LOOK_EVERY, MODEL, SENTENCE, Load, Replica, Stage, kill, running, until
from benchmarks.healing_report import (
    Adopted,
    Found,
    Healed,
    Kills,
    OutOfMemory,
    OverQuota,
    Replaced,
    Served,
    Spun,
    Wait,
    report,
)
from configs.minilm.embed import request
from roadstead.shim.backoff import wait_before
from roadstead.shim.cgroup import cpu_seconds, oom_kills, peak_memory_bytes, throttled_seconds
from roadstead.units import Cpus
from roadstead_plugins.runtimes.tf_serving.protos import predict_pb2
from roadstead_plugins.runtimes.tf_serving.tensors import proto_of

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
CPU: Final = "400m"
SERVING: Final = "minilm"
TIGHT: Final = "tight"
"""The deployment whose memory is enough for the model and not for a large batch."""
CRASHES: Final = 5
"""Crashes of the row that shows the back-off; their waits are 0, 1, 2, 4 and 8 s."""
ALONE: Final = 2.0
"""Seconds without a daemon, each time."""
LARGE: Final = (32, 512)
"""Rows and tokens of a request that needs too much memory: the attention's scores alone are 400 MB a layer."""
CLIENTS: Final = 4
BATCH: Final = 32

# `every: 3s` makes a run of ten seconds a good one instead of fifteen: the kills wait for it.
FLEET: Final = """
    version: 1
    fleet: healing
    clusters:
      here: {{backend: local, options: {{model_roots: ["{model}"]}}}}
    quotas:
      search: {{cpu: 800m}}
      batch: {{}}
    defaults:
      model: {{name: minilm, source: "{model}"}}
      resources: {{cpu: {cpu}, memory: 1Gi}}
      health: {{every: 3s}}
      stop: {{drain_within: 5s}}
    deployments:
      minilm: {{owner: search, replicas: 2}}
      tight: {{owner: batch, replicas: 1, resources: {{memory: 512Mi}}}}
    daemon: {{http: "{http}", state: "{state}"}}
"""


# ---- servers ----


def kills(stage: Stage, count: int) -> Kills:
    """Kill a server so many times, one replica and then the other; then one of them as often as it starts."""
    replicas = stage.replicas(SERVING)
    healed, events = [], ""
    with ThreadPoolExecutor(1) as beside:
        for replica in itertools.islice(itertools.cycle(replicas), count):
            replica.until_forgiven()
            healed.append(heal(stage, replica, beside))
            events = events or stage.must("events", SERVING, "--tail", "3")
            print(f"kill {len(healed):>2}: listed again after {healed[-1].listed:.2f} s", flush=True)
    good_run = replicas[0].spec().backoff.reset_after
    waits, why = crash_in_a_row(stage, replicas[0])
    return Kills(good_run=good_run, each=tuple(healed), events=events, row=waits, why=why)


def heal(stage: Stage, replica: Replica, beside: ThreadPoolExecutor) -> Healed:
    """Kill a server and watch until clients may use it again.

    The daemon's list is looked at beside the server itself: neither look waits for the other.
    """
    before, server = replica.state(), replica.server()
    died = kill(server)
    listing = beside.submit(relist, stage, replica, before.restarts)
    started = replica.until_started(server)
    available, answers = replica.until_answers()
    unlisted, listed = listing.result()
    return Healed(
        started=started - died,
        unlisted=unlisted - died,
        available=available - died,
        answers=answers - died,
        listed=listed - died,
    )


def relist(stage: Stage, replica: Replica, restarts: int) -> tuple[float, float]:
    """Return when the daemon stopped offering a replica in its old run, and when it offered it in the next."""
    until(lambda: not stage.is_listed(SERVING, replica, restarts))
    unlisted = time.time()
    until(lambda: stage.is_listed(SERVING, replica, restarts + 1))
    return unlisted, time.time()


def crash_in_a_row(stage: Stage, replica: Replica) -> tuple[tuple[Wait, ...], str]:
    """Kill a server as soon as it has started, and return the waits and what `why` says during the last."""
    replica.until_forgiven()
    backoff, waits, why = replica.spec().backoff, [], ""
    for crash in range(1, CRASHES + 1):
        server = replica.server()
        died = kill(server)
        if crash == CRASHES:
            why = stage.must("why", SERVING)
        started = replica.until_started(server)
        waits.append(Wait(crash=crash, meant=wait_before(backoff, crash), waited=started - died))
    until(lambda: stage.is_listed(SERVING, replica, replica.state().restarts))
    return tuple(waits), why


# ---- shims and daemons ----


def replace_shims(stage: Stage, count: int) -> tuple[Replaced, ...]:
    """Kill a shim so many times, while its server is asked all the time."""
    replica = stage.replicas(SERVING)[0]
    return tuple(replace_shim(replica) for _ in range(count))


def replace_shim(replica: Replica) -> Replaced:
    """Kill a shim and watch until another one has its server."""
    shim, server = replica.state().shim, replica.server()
    assert shim is not None
    with Load([replica], request([SENTENCE], model=MODEL)) as load:
        until(lambda: load.took)
        died = kill(shim)
        until(lambda: replica.state().shim != shim, every=0.005)
        adopted = time.time()
        time.sleep(ALONE)  # an answer that was lost shows, and a shim is not started twice within a second
    return Replaced(adopted=adopted - died, server=server.pid, server_after=replica.server().pid, served=served(load))


def replace_daemons(stage: Stage, count: int) -> tuple[Adopted, ...]:
    """Kill the daemon so many times and start another, while every replica is asked all the time."""
    return tuple(replace_daemon(stage) for _ in range(count))


def replace_daemon(stage: Stage) -> Adopted:
    """Kill the daemon, leave the replicas alone for a while, and watch until the next daemon offers them."""
    replicas = stage.replicas(SERVING)
    restarts = {replica.id: replica.state().restarts for replica in replicas}
    servers = pids(replicas)
    with Load(replicas, request([SENTENCE], model=MODEL)) as load:
        until(lambda: len(load.took) >= len(replicas))
        died = kill(stage.daemon())
        time.sleep(ALONE)
        began = time.time()
        starting = stage.start("daemon", "start", "--background")
        with ThreadPoolExecutor(1) as beside:
            returned = beside.submit(lambda: (starting.communicate(), time.time())[1])
            until(lambda: all(stage.is_listed(SERVING, one, restarts[one.id]) for one in replicas))
            listed = time.time()
            told = returned.result()
    return Adopted(
        alone=began - died,
        told=told - began,
        listed=listed - began,
        servers=servers,
        servers_after=pids(replicas),
        served=served(load),
    )


# ---- limits ----


def run_out_of_memory(stage: Stage) -> OutOfMemory:
    """Kill the daemon, make a server want too much memory twice, and ask the next daemon what happened."""
    (replica,) = stage.replicas(TIGHT)
    group = replica.group()
    assert group.memory is not None
    seen = len(stage.must("events", TIGHT).splitlines())
    kill(stage.daemon())
    healed = tuple(overload(replica) for _ in range(2))
    stage.must("daemon", "start", "--background")
    why = stage.must("why", TIGHT)
    replica.until_forgiven()
    until(lambda: stage.is_listed(TIGHT, replica, replica.state().restarts))
    told = stage.deployment(TIGHT)
    assert told is not None
    spec = Path(group.memory, "memory.max" if group.version == 2 else "memory.limit_in_bytes")
    return OutOfMemory(
        rows=LARGE[0],
        tokens=LARGE[1],
        limit=int(spec.read_text()),
        peak=peak_memory_bytes(group) or 0,
        kills=oom_kills(group) or 0,
        healed=healed,
        restarts=told.replicas[0].restarts,
        why=why,
        why_later=stage.must("why", TIGHT),
        events="\n".join(stage.must("events", TIGHT).splitlines()[seen:]),
    )


def overload(replica: Replica) -> float:
    """Send a request that needs too much memory; return how long after its death the server's model was there again."""
    server, exits = replica.server(), replica.state().starts
    with Load([replica], large_request()) as load:
        until(lambda: load.failures)
    replica.until_started(server)
    assert replica.state().starts == exits + 1
    ended = replica.state().exits[-1]
    assert ended.out_of_memory, f"the server ended otherwise: {ended.detail}"
    available, _ = replica.until_answers()
    return available - ended.at


def large_request() -> predict_pb2.PredictRequest:
    """Return the request of `LARGE`."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = MODEL
    ids = np.full(LARGE, 7592, dtype=np.int32)
    ids[:, 0], ids[:, -1] = 101, 102
    message.inputs["input_ids"].CopyFrom(proto_of(ids))
    message.inputs["attention_mask"].CopyFrom(proto_of(np.ones_like(ids)))
    return message


def spin(stage: Stage, seconds: int) -> Spun:
    """Give one server more work than it may do, and measure what it uses each second."""
    replica = stage.replicas(SERVING)[0]
    process = psutil.Process(replica.server().pid)
    with Load([replica] * CLIENTS, request([SENTENCE] * BATCH, model=MODEL), pause=0.0) as load:
        until(lambda: len(load.took) >= CLIENTS)
        answered, times, throttled = len(load.took), process.cpu_times(), throttled_seconds(replica.group()) or 0.0
        marks = [mark(replica)]
        for _ in range(seconds):
            time.sleep(1.0)
            marks.append(mark(replica))
        took = marks[-1][0] - marks[0][0]
        after, answered = process.cpu_times(), len(load.took) - answered
        throttled = (throttled_seconds(replica.group()) or 0.0) - throttled
        status, why = stage.must("status", SERVING), stage.must("why", SERVING)
    return Spun(
        clients=CLIENTS,
        rows=BATCH,
        seconds=took,
        limit=Cpus.parse(CPU).milli / 1000,
        mean=(marks[-1][1] - marks[0][1]) / took,
        each_second=tuple((b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(marks)),
        by_process=(after.user + after.system - times.user - times.system) / took,
        held_back=throttled / took,
        sentences_per_second=answered * BATCH / took,
        status=status,
        why=why,
    )


def mark(replica: Replica) -> tuple[float, float]:
    """Return the time and the processor time that a replica has used until then."""
    used = cpu_seconds(replica.group())
    assert used is not None
    return time.monotonic(), used


def ask_for_too_much(stage: Stage) -> OverQuota:
    """Ask for a third replica where the quota allows two."""
    replicas = stage.replicas(SERVING)
    servers = pids(replicas)
    with Load(replicas, request([SENTENCE], model=MODEL)) as load:
        stage.file.write_text(stage.file.read_text().replace("replicas: 2", "replicas: 3"))
        plan = stage.say("plan", "--detailed-exitcode")
        apply = stage.say("apply", "--yes")
        why = stage.must("why", SERVING)
    return OverQuota(
        plan=plan.out,
        plan_code=plan.code,
        apply=apply.out,
        apply_code=apply.code,
        why=why,
        servers=servers,
        servers_after=pids(replicas),
        served=served(load),
    )


# ---- together ----


def pids(replicas: Sequence[Replica]) -> tuple[int, ...]:
    """Return the process ids of the servers."""
    return tuple(replica.server().pid for replica in replicas)


def served(load: Load) -> Served:
    """Return what clients got."""
    return Served(answered=len(load.took), failures=tuple(load.failures), slowest=max(load.took, default=0.0))


def measure(model: Path, kill_count: int, rounds: int, seconds: int) -> Found:
    """Measure everything, one part after the other."""
    loads: dict[str, float] = {"start": os.getloadavg()[0]}
    began = time.monotonic()

    def part(name: str, work: Callable[[], T]) -> T:
        found = work()
        loads[name] = os.getloadavg()[0]
        print(f"{time.monotonic() - began:5.0f} s: {name} is done, load {loads[name]:.2f}", flush=True)
        return found

    with running(FLEET, model=model, cpu=CPU) as stage:
        killed = part("servers", lambda: kills(stage, kill_count))
        shims = part("shims", lambda: replace_shims(stage, rounds))
        daemons = part("daemons", lambda: replace_daemons(stage, rounds))
        memory = part("memory", lambda: run_out_of_memory(stage))
        spun = part("processor", lambda: spin(stage, seconds))
        quota = part("quota", lambda: ask_for_too_much(stage))
    return Found(
        machine=f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        cpu=CPU,
        look_every=LOOK_EVERY,
        took=time.monotonic() - began,
        load=loads,
        kills=killed,
        shims=shims,
        daemons=daemons,
        memory=memory,
        spun=spun,
        quota=quota,
    )


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description="Kill, starve and refuse replicas of a real model, and measure it.")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "minilm", help="as `make model` exports it")
    parser.add_argument("--kills", type=int, default=30, help="of servers (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of killed shims, and daemons (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=20, help="of flat-out work (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not (given.model / "1" / "saved_model.pb").is_file():
        parser.error(f"{given.model} holds no model; `make model` exports it")
    found = measure(given.model.absolute(), given.kills, given.rounds, given.seconds)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "healing.json").write_text(json.dumps(attrs.asdict(found), indent=1) + "\n")
    text = report(found)
    (given.results / "healing.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
