"""Many nodes on a real API server without one container: a stand-in for up to a thousand kubelets, in one thread.

Each node is registered with what it offers, renews its Lease, and takes its pods through what a kubelet would show of
them (:mod:`tests.cluster.standin_life`): creating, running, ready, not pulled, crashing, out of memory, flapping,
rejected for want of room, evicted, and stopped within their grace. Nodes may fall silent and return. Nothing is run:
no container, no probe, no log, no event, and nobody answers at a pod's address.

A node's heartbeat is long on purpose: a thousand of them at a kubelet's own 10 s would be 100 writes a second. So the
controller manager's ``--node-monitor-grace-period`` must be longer than the ``heartbeat`` that is given here.

:mod:`tests.cluster.standin_command` runs it as a process of its own, for measurements.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Self

import aiohttp
import msgspec

from tests.cluster.standin_api import Access, Api, Refused
from tests.cluster.standin_life import Behaviour, Chances, Pod, Stage, behaviour_of, course, rejection
from tests.cluster.standin_node import Node, NodeShape, now, quantity, status_of

__all__ = ["Standin"]

_LOG = logging.getLogger(__name__)
_NO_POD = 404
_THERE = 409
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_SELECTOR = "spec.nodeName!%3D"
_BOUND = {"fieldSelector": "spec.nodeName!="}
_GONE = (aiohttp.ClientError, TimeoutError, Refused, asyncio.IncompleteReadError)


class _WatchEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _PodList(msgspec.Struct):
    metadata: _ListMeta
    items: list[Pod]


_EVENT = msgspec.json.Decoder(_WatchEvent)
_POD = msgspec.json.Decoder(Pod)
_PODS = msgspec.json.Decoder(_PodList)


Life = Callable[[Node, Pod], Awaitable[None]]


class Standin:
    """The nodes, from :meth:`start` to :meth:`stop`; its methods may be called from any one thread but its own."""

    def __init__(
        self,
        access: Access,
        shapes: Iterable[NodeShape],
        *,
        chances: Chances | None = None,
        seed: int = 0,
        heartbeat: float = 30.0,
    ) -> None:
        self._access = access
        self._shapes = tuple(shapes)
        self._chances = chances or Chances()
        self._seed = seed
        self._heartbeat = heartbeat
        self._addresses = itertools.count(1)
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._pods: dict[str, Pod] = {}
        self._leaving: dict[str, int] = {}
        self._nodes: dict[str, Node] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="stand-in", daemon=True)
        self._failure: BaseException | None = None
        self._api: Api
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event

    def start(self, *, within: float = 120.0) -> Self:
        """Register all nodes and return once they are; raises where that does not work."""
        self._thread.start()
        if not self._ready.wait(within):
            raise TimeoutError(f"{len(self._shapes)} nodes are not registered within {within:g} s")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Fall silent for good; nodes and pods stay in the API server as they are."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ---- what may happen to nodes and pods ----

    @property
    def writes(self) -> int:
        """How many writes the API server has accepted from here."""
        return self._api.writes

    def silence(self, *names: str) -> None:
        """Let these nodes say nothing any more; their pods go on unseen."""
        self._do(self._silence(names))

    def speak(self, *names: str) -> None:
        """Let these nodes be heard again: first the node is ready, then what became of its pods meanwhile is told."""
        self._do(self._speak(names))

    def remove(self, *names: str) -> None:
        """Delete these nodes, as whoever operates machines does when they are gone."""
        self._do(self._remove(names))

    def offer(self, name: str, amounts: Mapping[str, str]) -> None:
        """Change what a node offers: ``{"nvidia.com/gpu": "0"}`` is a device plugin that died."""
        self._do(self._offer(name, amounts))

    def evict(self, namespace: str, pod: str) -> None:
        """Throw a pod out for want of memory on its node."""
        self._do(self._evict(namespace, pod))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _silence(self, names: Iterable[str]) -> None:
        for name in names:
            self._nodes[name].speaks.clear()

    async def _speak(self, names: Iterable[str]) -> None:
        for name in names:
            node = self._nodes[name]
            await self._renew(node)
            await self._api.call("PATCH", f"/api/v1/nodes/{name}/status", status_of(node), strategic=True)
            node.speaks.set()

    async def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._nodes.pop(name).speaks.clear()
            await self._api.call("DELETE", f"/api/v1/nodes/{name}")
            for pod in [pod for pod in self._pods.values() if pod.spec.node_name == name]:
                self._forget(pod.key)

    async def _offer(self, name: str, amounts: Mapping[str, str]) -> None:
        node = self._nodes[name]
        node.offers.update({resource: quantity(amount) for resource, amount in amounts.items()})
        body = {"status": {"capacity": dict(amounts), "allocatable": dict(amounts)}}
        await self._api.call("PATCH", f"/api/v1/nodes/{name}/status", body)

    async def _evict(self, namespace: str, name: str) -> None:
        found = next(p for p in self._pods.values() if (p.metadata.namespace, p.metadata.name) == (namespace, name))
        self._lives.pop(found.key).cancel()
        await self._write(found, rejection("Evicted", "The node was low on resource: memory."))
        self._free(found)

    # ---- on its own thread ----

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        tasks: list[asyncio.Task[None]] = []
        try:
            async with Api(self._access) as api:
                self._api = api
                self._nodes = {shape.name: Node(shape, number) for number, shape in enumerate(self._shapes, 1)}
                await asyncio.gather(*map(self._register, self._nodes.values()))
                tasks = [asyncio.create_task(one) for one in (self._beat(), self._follow())]
                self._ready.set()
                over = asyncio.create_task(self._over.wait())
                await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in (over, *tasks, *self._lives.values()):
                    task.cancel()
                await asyncio.gather(*tasks, *self._lives.values(), return_exceptions=True)
        except BaseException as error:  # noqa: BLE001  # whoever waits for the start gets it
            self._failure = error
        finally:
            self._ready.set()

    async def _register(self, node: Node) -> None:
        name = node.shape.name
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **node.shape.labels}
        body = {"metadata": {"name": name, "labels": labels}, "status": status_of(node)["status"]}
        lease = {
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": int(4 * self._heartbeat), "renewTime": now(6)},
        }
        made = [await self._make(path, what) for path, what in (("/api/v1/nodes", body), (_LEASES, lease))]
        if not all(made):
            await self._speak([name])

    async def _make(self, path: str, what: Mapping[str, Any]) -> bool:
        """Create an object, and return whether it was not there yet."""
        try:
            await self._api.call("POST", path, what)
        except Refused as error:
            if error.status != _THERE:
                raise
            return False
        return True

    async def _beat(self) -> None:
        """Renew every lease once in each heartbeat, spread over it; a silent node's is left out.

        One that comes much too late may have cost the node its readiness, which only its own word brings back.
        """
        while True:
            for node in list(self._nodes.values()):
                if node.speaks.is_set():
                    late = self._loop.time() - node.renewed > 2 * self._heartbeat
                    with contextlib.suppress(*_GONE):
                        await (self._speak([node.shape.name]) if late else self._renew(node))
                await asyncio.sleep(self._heartbeat / max(1, len(self._nodes)))

    async def _renew(self, node: Node) -> None:
        await self._api.call("PATCH", f"{_LEASES}/{node.shape.name}", {"spec": {"renewTime": now(6)}})
        node.renewed = self._loop.time()

    async def _follow(self) -> None:
        """Follow the pods that have a node, with one watch, listing anew where it breaks."""
        while True:
            try:
                listed = _PODS.decode(await self._api.call("GET", f"/api/v1/pods?fieldSelector={_SELECTOR}"))
                there = {pod.key for pod in listed.items}
                for key in [key for key in self._pods if key not in there]:
                    self._forget(key)
                for pod in listed.items:
                    self._seen(pod)
                query = {**_BOUND, "resourceVersion": listed.metadata.resource_version}
                async for line in self._api.watch("/api/v1/pods", query):
                    event = _EVENT.decode(line)
                    if event.type == "ERROR":
                        break
                    pod = _POD.decode(event.object)
                    self._forget(pod.key) if event.type == "DELETED" else self._seen(pod)
            except _GONE as error:
                _LOG.info("the watch of pods broke: %s", error)
                await asyncio.sleep(0.5)

    def _seen(self, pod: Pod) -> None:
        node = self._nodes.get(pod.spec.node_name)
        if node is None:
            return
        is_new = pod.key not in self._pods
        self._pods[pod.key] = pod
        if pod.metadata.deletion_timestamp is not None:
            grace = pod.metadata.deletion_grace_period_seconds or 0
            if grace < self._leaving.get(pod.key, grace + 1):  # it may be shortened on the way
                self._leaving[pod.key] = grace
                self._begin(node, pod, self._leave)
        elif is_new and pod.status.phase == "Pending":
            self._begin(node, pod, self._live)
        elif is_new and pod.status.phase == "Running":
            node.lacking(pod)  # made before we started, as over a kubelet's restart: it holds what it holds

    def _begin(self, node: Node, pod: Pod, life: Life) -> None:
        before = self._lives.pop(pod.key, None)
        if before is not None:
            before.cancel()
        self._lives[pod.key] = asyncio.create_task(self._guarded(node, pod, life))

    async def _guarded(self, node: Node, pod: Pod, life: Life) -> None:
        try:
            await life(node, pod)
        except Refused as error:
            if error.status != _NO_POD:
                _LOG.warning("%s: %s", pod.path, error)
        except (aiohttp.ClientError, TimeoutError) as error:
            _LOG.warning("%s: %s", pod.path, error)

    def _forget(self, key: str) -> None:
        pod = self._pods.pop(key, None)
        life = self._lives.pop(key, None)
        if life is not None:
            life.cancel()
        self._leaving.pop(key, None)
        if pod is not None:
            self._free(pod)

    def _free(self, pod: Pod) -> None:
        node = self._nodes.get(pod.spec.node_name)
        if node is not None:
            node.held.pop(pod.key, None)

    async def _live(self, node: Node, pod: Pod) -> None:
        lacks = node.lacking(pod)
        if lacks is not None:
            extended = "/" in lacks
            reason = "UnexpectedAdmissionError" if extended else f"OutOf{lacks}"
            await self._write(pod, rejection(reason, f"Pod was rejected: node has not enough {lacks}"))
            return
        chance = random.Random(f"{self._seed}:{pod.metadata.namespace}/{pod.metadata.name}")  # noqa: S311  # no secret
        number = next(self._addresses)
        address = f"10.{100 + number // 65536 % 100}.{number // 256 % 256}.{number % 256}"
        behaviour = behaviour_of(pod, self._chances, chance)
        started = now()
        for stage in course(pod, behaviour, self._chances, chance, address):
            await asyncio.sleep(stage.after)
            await node.speaks.wait()
            await self._write(pod, _timed(stage, node, started))

    async def _leave(self, node: Node, pod: Pod) -> None:
        """Stop a pod as its grace says, and take it away."""
        chance = random.Random(f"{self._seed}:{pod.key}")  # noqa: S311  # no secret
        grace = float(pod.metadata.deletion_grace_period_seconds or 0)
        ignores = behaviour_of(pod, self._chances, chance) is Behaviour.IGNORE_TERM
        await asyncio.sleep(grace if ignores else min(grace, pod.pre_stop + chance.uniform(*self._chances.stop)))
        await node.speaks.wait()
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.metadata.uid}}
        await self._api.call("DELETE", pod.path, body)

    async def _write(self, pod: Pod, status: Mapping[str, Any]) -> None:
        await self._api.call("PATCH", f"{pod.path}/status", {"status": status}, strategic=True)


def _timed(stage: Stage, node: Node, started: str) -> dict[str, Any]:
    """Return the stage's status with the times and addresses in it that only the moment knows."""
    moment = now()
    status: dict[str, Any] = json.loads(json.dumps(stage.status))
    status |= {"startTime": started, "hostIP": node.address}
    for condition in status["conditions"]:
        condition["lastTransitionTime"] = moment
    for container in status["containerStatuses"]:
        for state in (container["state"], container["lastState"]):
            if "running" in state:
                state["running"]["startedAt"] = moment
            if "terminated" in state:
                state["terminated"] |= {"startedAt": moment, "finishedAt": moment}
    return status
