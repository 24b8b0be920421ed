"""What replicas use, from whoever measures it there: the metrics API, else the kubelets, else nobody.

``metrics.k8s.io`` is read with one request for all pods of the namespace. The kubelets' ``/metrics/resource`` is read
through the API server's proxy for nodes, only of nodes that hold a replica, a few at a time; CPU is then the difference
of two readings. What is not measured is not in the answer: unknown is never 0.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import attrs
import msgspec

from roadstead.errors import BackendError, Forbidden, Retryable
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Usage
from roadstead_backends.kubernetes.faults import NotFound
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.quantities import cpus_used, memory_used
from roadstead_backends.kubernetes.transport import PLAIN, Transport

__all__ = ["Sample", "UsageReader", "between", "measured", "sampled"]

_READ_EVERY: Final = Duration(10_000)
_ASKED_AGAIN_AFTER: Final = Duration(60_000)
_TURN: Final = Duration(1_000)
"""How long kubelets are read at a time: whatever else is to be done in the cluster waits for that."""

_OLD: Final = Duration(60_000)
_TIMEOUT: Final = Duration(3_000)
_LEAST_APART_MS: Final = 500


# ---- what they say ----


class _Container(msgspec.Struct, frozen=True, gc=False):
    usage: dict[str, str] = {}


class _Measured(msgspec.Struct, frozen=True, gc=False):
    metadata: Meta
    containers: tuple[_Container, ...] = ()


class _AllMeasured(msgspec.Struct, frozen=True):
    items: list[_Measured] = []


def measured(body: bytes) -> Mapping[str, Usage]:
    """Return what the metrics API says of every pod, by name; raises ``ValueError`` for what is not from it."""
    try:
        said = msgspec.json.decode(body, type=_AllMeasured)
    except msgspec.DecodeError as error:
        raise ValueError(f"no PodMetricsList: {error}") from error
    return {one.metadata.name: _sum(one.containers) for one in said.items if one.containers}


def _sum(containers: Iterable[_Container]) -> Usage:
    """Return what the containers of a pod use together; what one of them does not say is not known of all."""
    cpus = [one.usage.get("cpu") for one in containers]
    memories = [one.usage.get("memory") for one in containers]
    return Usage(
        cpu=None if None in cpus else Cpus(sum(cpus_used(one).milli for one in cpus if one)),
        memory=None if None in memories else Memory(sum(memory_used(one).bytes for one in memories if one)),
    )


@attrs.frozen(kw_only=True)
class Sample:
    """What a kubelet counted of a pod: seconds of CPU since it began, ``at`` which moment (ms), memory in bytes."""

    cpu_seconds: float | None = None
    at: int | None = None
    memory: int | None = None


_LINE: Final = re.compile(
    r"^pod_(?P<what>cpu_usage_seconds_total|memory_working_set_bytes)"
    r"\{(?P<labels>[^}]*)\} (?P<value>\S+)(?: (?P<at>-?\d+))?$",
    re.MULTILINE,
)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def sampled(text: str, namespace: str, now: int) -> Mapping[str, Sample]:
    """Return what a kubelet says of every pod of ``namespace``, by name.

    A line without a time was counted ``now`` (ms since the epoch).
    """
    found: dict[str, Sample] = {}
    for line in _LINE.finditer(text):
        labels = dict(_LABEL.findall(line["labels"]))
        if labels.get("namespace") != namespace or "pod" not in labels:
            continue
        sample = found.get(labels["pod"], Sample())
        value = float(line["value"])
        if line["what"].startswith("cpu"):
            at = int(line["at"]) if line["at"] else now
            found[labels["pod"]] = attrs.evolve(sample, cpu_seconds=value, at=at)
        else:
            found[labels["pod"]] = attrs.evolve(sample, memory=round(value))
    return found


def between(before: Sample | None, after: Sample) -> Usage:
    """Return what was used between two samples; CPU is unknown for the first one, and where it was counted anew."""
    memory = Memory(after.memory) if after.memory is not None else None
    if before is None or before.at is None or after.at is None or after.at - before.at < _LEAST_APART_MS:
        return Usage(memory=memory)
    if before.cpu_seconds is None or after.cpu_seconds is None or after.cpu_seconds < before.cpu_seconds:
        return Usage(memory=memory)
    used = (after.cpu_seconds - before.cpu_seconds) / (after.at - before.at)
    return Usage(cpu=Cpus(round(used * 1_000_000)), memory=memory)


# ---- asking them ----

_API: Final = "the metrics API"
_KUBELETS: Final = "the kubelets"
_SOURCES: Final[Mapping[str, tuple[type[BackendError], ...]]] = MappingProxyType(
    {_API: (NotFound, Forbidden, Retryable), _KUBELETS: (Forbidden,)}
)
"""The sources, and what says that nobody is there, or nobody for us; one kubelet that fails says nothing of others."""


@attrs.define
class _Node:
    """What was read of a node: its samples, what they make, and when; and when it did not answer."""

    samples: Mapping[str, Sample] = attrs.field(factory=dict)
    usage: Mapping[str, Usage] = attrs.field(factory=dict)
    read_at: float = -1e9
    failed_at: float = -1e9

    def learn(self, samples: Mapping[str, Sample]) -> None:
        """Take over newer samples; a kubelet counts more seldom than it is read, and may show one twice."""
        kept: dict[str, Sample] = {}
        usage: dict[str, Usage] = {}
        for pod, sample in samples.items():
            before = self.samples.get(pod)
            is_same = before is not None and before.at is not None and before.at == sample.at
            kept[pod] = before if before is not None and is_same else sample
            usage[pod] = between(before, sample)
            if is_same:
                usage[pod] = attrs.evolve(usage[pod], cpu=self.usage.get(pod, Usage()).cpu)
        self.samples, self.usage = kept, usage


class UsageReader:
    """Reads what the replicas of one namespace use; for one thread.

    ``selector`` says which pods are ours. A source that is not there, or forbidden, is asked again after a minute; so
    is a kubelet that does not answer, or a thousand of them would be asked in vain all the time.
    """

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        selector: str,
        *,
        now: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._selector = selector
        self._now = now
        self._epoch = epoch
        self._away: dict[str, tuple[float, str]] = {}
        self._nodes: dict[str, _Node] = {}
        self._last: Mapping[str, Usage] = MappingProxyType({})
        self._read_at = -1e9

    @property
    def notes(self) -> tuple[str, ...]:
        """Why what is used is not known, a sentence for each source that cannot be asked; empty where one can."""
        return tuple(why for _, why in self._away.values()) if len(self._away) == len(_SOURCES) else ()

    def read(self, placed: Mapping[str, str]) -> Mapping[str, Usage]:
        """Return what is known of the replicas in ``placed``, which says on which node each is.

        Takes a few seconds at most. Raises what keeps a source from answering that is there.
        """
        if self._now() - self._read_at >= _READ_EVERY.seconds:
            known = self._from_api()
            self._last = known if known is not None else self._from_kubelets(placed)
            self._read_at = self._now()
        return {replica: usage for replica, usage in self._last.items() if replica in placed}

    def _from_api(self) -> Mapping[str, Usage] | None:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{self._namespace}/pods"
        body = self._ask(_API, path, {"labelSelector": self._selector})
        try:
            return measured(body) if body is not None else None
        except ValueError as error:
            self._away[_API] = (self._now(), f"{_API} is not understood: {error}")
            return None

    def _from_kubelets(self, placed: Mapping[str, str]) -> Mapping[str, Usage]:
        """Read the nodes that were not read for the longest time, as many as there is time for."""
        nodes = frozenset(placed.values())
        self._nodes = {name: self._nodes.get(name, _Node()) for name in nodes}
        until = self._now() + _TURN.seconds
        for name, node in sorted(self._nodes.items(), key=lambda one: one[1].read_at):
            if self._now() - node.failed_at < _ASKED_AGAIN_AFTER.seconds:
                continue
            if self._now() > until or not self._read_node(name, node):
                break
        fresh = (node for node in self._nodes.values() if self._now() - node.read_at < _OLD.seconds)
        return {replica: usage for node in fresh for replica, usage in node.usage.items()}

    def _read_node(self, name: str, node: _Node) -> bool:
        """Read one node; return whether it makes sense to read another. One that does not answer is passed over."""
        path = f"/api/v1/nodes/{quote(name, safe='')}/proxy/metrics/resource"
        try:
            body = self._ask(_KUBELETS, path, {})
        except BackendError:
            node.failed_at = self._now()
            return True
        if body is None:
            return False
        node.learn(sampled(body.decode(errors="replace"), self._namespace, int(self._epoch() * 1000)))
        node.read_at = self._now()
        return True

    def _ask(self, source: str, path: str, query: Mapping[str, str]) -> bytes | None:
        """Return what a source answers; ``None`` where it is not there or not for us, for a minute."""
        away_since, _ = self._away.get(source, (-1e9, ""))
        if self._now() - away_since < _ASKED_AGAIN_AFTER.seconds:
            return None
        self._away.pop(source, None)
        try:
            return self._transport.call("GET", path, query=query, accept=PLAIN, timeout=_TIMEOUT).body
        except _SOURCES[source] as error:
            self._away[source] = (self._now(), f"{source} cannot be asked what replicas use: {error}")
            return None
