"""What `benchmarks.kubernetes_live` shows of limits and devices: what the kernel counted, and what `why` says.

The numbers are read in the pods' own control groups on this machine, not asked of anybody in between.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import grpc

from benchmarks.fleet import until
from benchmarks.kubernetes_scene import GPU, GPUS_ON, IMAGE, MIG, PLACED, PROD, Bench
from benchmarks.underload import NAME
from configs.minilm.embed import embed
from roadstead.decide.report import Life, RolloutState
from roadstead.reasons import ReasonCode
from tests.cluster import control_groups
from tests.cluster.node import GPUS

__all__ = ["Claim", "Said", "Shown", "claims"]

COUNTED_FOR: Final = 10.0
"""Seconds over which throttling is counted."""
LONG: Final = " ".join(["A long sentence of many words is read to its end."] * 24)
MANY: Final = 400
"""So many long sentences in one request take more memory than a server may have."""
WITH_GPU: Final = "pictures"
_NOWHERE: Final = (ReasonCode.NO_CAPACITY, ReasonCode.NO_MATCHING_NODE)
"""Why there is no room: the devices are taken, or no node has any."""
GREEDY: Final = "greedy"


@attrs.frozen
class Said:
    """When a command was asked, in words, and what it said."""

    when: str
    out: str


@attrs.frozen(kw_only=True)
class Shown:
    """What became of a claim: sentences with what was counted, and what was said."""

    name: str
    counted: tuple[str, ...]
    said: tuple[Said, ...]


@attrs.frozen(kw_only=True)
class Claim:
    """Something that is claimed, and how it is shown."""

    name: str
    show: Callable[[], tuple[tuple[str, ...], tuple[Said, ...]]]

    def shown(self) -> Shown:
        """Show it."""
        counted, said = self.show()
        load = f"the machine's load meanwhile: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
        return Shown(name=self.name, counted=(*counted, load), said=said)


def claims(bench: Bench) -> Iterator[Claim]:
    """Yield all that is claimed, one after the other; each leaves one replica that serves."""
    yield Claim(name="limits: a CPU limit is held", show=lambda: _throttled(bench))
    yield Claim(name="limits: a server over its memory is killed", show=lambda: _out_of_memory(bench))
    for on in (PROD, PLACED):
        way = "kube-scheduler places" if on == PROD else "our placement places"
        for resource, asked in ((GPU, {"count": 1}), (MIG, {"partition": "1g.10gb"})):
            show = partial(_devices, bench, on, resource, asked)
            yield Claim(name=f"GPUs: {resource}, {way}", show=show)


# ---- limits ----


def _throttled(bench: Bench) -> tuple[tuple[str, ...], tuple[Said, ...]]:
    """Ask one replica for more than its CPU can do, and count in its pod's control group."""
    (replica,) = _listed(bench, NAME)
    group = _Group.of(bench, PROD, replica)
    load = bench.load(NAME, "--concurrency", "8", "--duration", "90s")
    group.wait_busy()
    before, began = group.cpu(), time.monotonic()
    time.sleep(COUNTED_FOR)
    after, took = group.cpu(), time.monotonic() - began
    until(lambda: _has(bench, NAME, ReasonCode.OVER_LIMIT), every=0.5, within=75)
    why = bench.say("why", NAME)
    limits = bench.say("limits", NAME)
    load.communicate()
    used, periods, throttled = (after[key] - before[key] for key in ("used", "nr_periods", "nr_throttled"))
    rate = f"{used / 1e9:.2f} CPU-seconds in {took:.2f} s, {used / 1e6 / took:.0f}m"
    counted = (f"limit 400m: {rate}; held back in {throttled} of {periods} periods",)
    until(lambda: not _has(bench, NAME, ReasonCode.OVER_LIMIT), every=0.5, within=90)
    said = (Said("`roadstead why minilm`, under the load", why), Said("`roadstead limits minilm`", limits))
    return counted, said


def _out_of_memory(bench: Bench) -> tuple[tuple[str, ...], tuple[Said, ...]]:
    """Send one request that takes more memory than the server may have."""
    bench.declare(GREEDY, {**_small(bench, PROD), "runtime": {"image": IMAGE, "batching": None}, "replicas": 1})
    try:
        bench.settled(GREEDY, replicas=1)
        (replica,) = _listed(bench, GREEDY)
        found = bench.status(GREEDY)
        assert found is not None
        address = next(f"{one.host}:{one.grpc}" for one in found.replicas if one.id == replica)
        with _Group.of(bench, PROD, replica).watched() as seen:
            failure = _ask_for_too_much(address)
            until(lambda: _has(bench, GREEDY, ReasonCode.OUT_OF_MEMORY), every=0.1, within=60)
        why = bench.say("why", GREEDY)
        bench.settled(GREEDY, replicas=1)
        after = bench.say("why", GREEDY)
    finally:
        bench.withdraw(GREEDY)
    use = f"at most {seen.most >> 20} Mi in use, {seen.refused} times more was refused"
    counted = (f"limit {seen.limit >> 20} Mi: {use}, {seen.kills} killed by the kernel", f"the client got {failure}")
    return counted, (Said("`roadstead why greedy`, at once", why), Said("`roadstead why greedy`, later", after))


def _ask_for_too_much(address: str) -> str:
    try:
        embed(address, [LONG] * MANY, model=NAME, timeout=60)
    except grpc.RpcError as error:
        return f"{error.code().name}"
    raise SystemExit(f"{MANY} long sentences were answered: the limit is not held, or is too large")


@attrs.define
class _Seen:
    """What was seen of a pod's memory: its limit, the most in use, how often more was refused, and kills."""

    limit: int = 0
    most: int = 0
    refused: int = 0
    kills: int = 0


class _Group:
    """The control groups of a pod (version 1)."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._places = places

    @classmethod
    def of(cls, bench: Bench, on: str, pod: str) -> "_Group":
        """Return those of a pod that has a node of ours."""
        found = json.loads(bench.kubectl("get", "pod", pod, "-o", "json", on=on))
        node = bench.cluster.node(found["spec"]["nodeName"])
        name = f"{node.files.cgroup}/kubepods/pod{found['metadata']['uid']}"
        return cls({place.relative_to("/sys/fs/cgroup").parts[0]: place for place in control_groups.present(name)})

    def cpu(self) -> dict[str, int]:
        """Return what the pod used (ns) and how often it was held back."""
        lines = (self._places["cpu"] / "cpu.stat").read_text().splitlines()
        counted = {key: int(value) for key, value in (line.split() for line in lines)}
        return {**counted, "used": int((self._places["cpuacct"] / "cpuacct.usage").read_text())}

    def wait_busy(self) -> None:
        """Wait until the pod is held back."""
        first = self.cpu()["nr_throttled"]
        until(lambda: self.cpu()["nr_throttled"] > first + 10, every=0.1, within=60)

    def watched(self) -> "_Watched":
        """Watch the memory of the pod's containers in a block; a container's group goes when it ends."""
        return _Watched(self._places["memory"])


class _Watched:
    """Looks at the memory of a pod's containers again and again, for they take their counters with them."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._seen = _Seen()

    def __enter__(self) -> _Seen:
        self._thread.start()
        return self._seen

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.002):
            for container in [one for one in self._place.iterdir() if one.is_dir()]:
                try:
                    self._read(container)
                except OSError:  # it went while it was looked at
                    continue

    def _read(self, container: Path) -> None:
        seen = self._seen
        most = int((container / "memory.max_usage_in_bytes").read_text())
        if most >= seen.most:
            seen.most = most
            seen.limit = int((container / "memory.limit_in_bytes").read_text())
        seen.refused = max(seen.refused, int((container / "memory.failcnt").read_text()))
        lines = (container / "memory.oom_control").read_text().splitlines()
        seen.kills = max(seen.kills, *(int(line.split()[1]) for line in lines if line.startswith("oom_kill ")))


# ---- devices ----


def _devices(
    bench: Bench, on: str, resource: str, asked: Mapping[str, object]
) -> tuple[tuple[str, ...], tuple[Said, ...]]:
    """Use up the devices of a node, lose their plugin and a replica, and let the plugin come back."""
    bench.declare(WITH_GPU, _with_gpu(bench, on, asked))
    try:
        bench.settled(WITH_GPU, on=on)
        given = sorted(bench.visible_devices(one, on) for one in _listed(bench, WITH_GPU))
        said = list(_exhausted(bench))
        plugin = bench.cluster.node(GPUS_ON).parts[GPUS]
        plugin.kill()
        until(lambda: _offered(bench, resource) == "0", every=0.2, within=60)
        still = len(_listed(bench, WITH_GPU))
        victim = _listed(bench, WITH_GPU)[0]
        bench.kubectl("delete", "pod", victim, "--grace-period=0", "--force", on=on)
        until(lambda: victim not in _listed(bench, WITH_GPU), every=0.2, within=60)
        until(lambda: _has(bench, WITH_GPU, *_NOWHERE), every=0.5, within=60)
        said.append(Said("The plugin is dead, and a pod was deleted: `roadstead why`", bench.say("why", WITH_GPU)))
        plugin.start()
        bench.settled(WITH_GPU, on=on)
        counted = (
            f"2 of 2 devices given to 2 replicas: {', '.join(given)}",
            f"without the plugin the node offers 0, and {still} of 2 replicas go on serving",
            "one that is deleted then is not replaced before the plugin is back",
        )
        return counted, tuple(said)
    finally:
        bench.withdraw(WITH_GPU)


def _exhausted(bench: Bench) -> Iterator[Said]:
    bench.say("scale", WITH_GPU, "3", "--detach")
    until(lambda: _has(bench, WITH_GPU, ReasonCode.NO_CAPACITY), every=0.5, within=60)
    yield Said("3 replicas, 2 devices: `roadstead why`", bench.say("why", WITH_GPU))
    bench.say("scale", WITH_GPU, "2", "--detach")
    until(lambda: _is_settled(bench, WITH_GPU), every=0.5, within=60)


def _with_gpu(bench: Bench, on: str, asked: Mapping[str, object]) -> dict[str, object]:
    resources = {"cpu": "400m", "memory": "1Gi", "gpu": dict(asked)}
    return {**_small(bench, on), "replicas": 2, "resources": resources}


def _small(bench: Bench, on: str) -> dict[str, object]:
    """Return a deployment on one of our clusters without an address."""
    return {
        "model": {"name": NAME, "source": str(bench.model), "version": 1},
        "clusters": on,
        "runtime": {"image": IMAGE},
        "resources": {"cpu": "400m", "memory": "1Gi"},
        "health": {"every": "2s", "start_within": "1m"},
        "stop": {"drain_within": "1s", "kill_after": "1s"},
        "gateway": None,
    }


def _offered(bench: Bench, resource: str) -> str:
    found = bench.cluster.api.get(f"/api/v1/nodes/{GPUS_ON}")["status"]["allocatable"]
    return str(found.get(resource))


# ---- looking ----


def _listed(bench: Bench, name: str) -> list[str]:
    found = bench.status(name)
    return [one.id for one in found.replicas if one.life is Life.LISTED] if found is not None else []


def _has(bench: Bench, name: str, *codes: ReasonCode) -> bool:
    found = bench.status(name)
    return found is not None and any(cause.code in codes for cause in found.causes)


def _is_settled(bench: Bench, name: str) -> bool:
    found = bench.status(name)
    return found is not None and found.state is RolloutState.SETTLED and len(found.replicas) == found.wanted
