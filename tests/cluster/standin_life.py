"""What becomes of one pod on a stand-in node, as pure stages: how long each waits, and the status that it then writes.

A stage holds what a kubelet would put into ``status``, less the times, which whoever writes it adds. The same pod, seed
and chances give the same stages on every run. Events are not made: whoever wants to know why reads statuses first.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator
from typing import Any

import attrs
import msgspec

__all__ = ["BEHAVIOUR", "Behaviour", "Chances", "Container", "Pod", "Stage", "behaviour_of", "course", "rejection"]

BEHAVIOUR = "standin.roadstead.dev/behaviour"
"""The annotation that says how a pod behaves, one of the values of :class:`Behaviour`; without it chance decides."""

_CRASH_BACK_OFF = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
_PULL_BACK_OFF = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)


@enum.unique
class Behaviour(enum.Enum):
    """How a pod behaves once it has a node."""

    WELL = "well"
    NO_IMAGE = "no-image"
    CRASH = "crash"
    OUT_OF_MEMORY = "out-of-memory"
    NEVER_READY = "never-ready"
    FLAP = "flap"
    IGNORE_TERM = "ignore-term"


@attrs.frozen(kw_only=True)
class Chances:
    """How likely a pod misbehaves, and how long (seconds, from and to) what a kubelet does takes.

    ``back_off`` shortens the kubelet's waits between restarts and pulls: 0.01 makes 10 s of them 100 ms.
    """

    no_image: float = 0.0
    crash: float = 0.0
    out_of_memory: float = 0.0
    flap: float = 0.0
    create: tuple[float, float] = (0.05, 0.2)
    start: tuple[float, float] = (0.05, 0.3)
    ready: tuple[float, float] = (0.1, 0.5)
    live: tuple[float, float] = (0.2, 1.0)
    stop: tuple[float, float] = (0.05, 0.3)
    back_off: float = 1.0


class _Sleep(msgspec.Struct):
    seconds: int = 0


class _PreStop(msgspec.Struct):
    sleep: _Sleep | None = None


class _Lifecycle(msgspec.Struct, rename="camel"):
    pre_stop: _PreStop | None = None


class _Resources(msgspec.Struct):
    requests: dict[str, str] = {}


class Container(msgspec.Struct):
    """The fields of a container that a stand-in needs."""

    name: str
    image: str = ""
    lifecycle: _Lifecycle | None = None
    resources: _Resources = msgspec.field(default_factory=_Resources)


class _Spec(msgspec.Struct, rename="camel"):
    containers: list[Container]
    init_containers: list[Container] = []
    node_name: str = ""


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class _Status(msgspec.Struct):
    phase: str = "Pending"


class Pod(msgspec.Struct):
    """The fields of a pod that a stand-in needs."""

    metadata: _Meta
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def key(self) -> str:
        """Which pod it is, also after another took its name."""
        return self.metadata.uid

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"/api/v1/namespaces/{self.metadata.namespace}/pods/{self.metadata.name}"

    @property
    def pre_stop(self) -> float:
        """The seconds that its longest ``preStop`` sleep takes."""
        hooks = (one.lifecycle.pre_stop for one in self.spec.containers if one.lifecycle is not None)
        return max((hook.sleep.seconds for hook in hooks if hook is not None and hook.sleep is not None), default=0)


@attrs.frozen
class Stage:
    """After ``after`` more seconds the status becomes ``status``."""

    after: float
    status: dict[str, Any]


def behaviour_of(pod: Pod, chances: Chances, chance: random.Random) -> Behaviour:
    """Return how ``pod`` behaves: as its annotation says, or else by chance."""
    said = pod.metadata.annotations.get(BEHAVIOUR)
    if said is not None:
        return Behaviour(said)
    drawn = chance.random()
    for odds, behaviour in (
        (chances.no_image, Behaviour.NO_IMAGE),
        (chances.crash, Behaviour.CRASH),
        (chances.out_of_memory, Behaviour.OUT_OF_MEMORY),
        (chances.flap, Behaviour.FLAP),
    ):
        if drawn < odds:
            return behaviour
        drawn -= odds
    return Behaviour.WELL


def course(pod: Pod, behaviour: Behaviour, chances: Chances, chance: random.Random, address: str) -> Iterator[Stage]:
    """Yield the stages of a pod's life, which may be without end; ``address`` is the pod's own."""
    yield Stage(chance.uniform(*chances.create), _waiting(pod, "ContainerCreating"))
    if behaviour is Behaviour.NO_IMAGE:
        yield from _pulling(pod, chances, chance)
        return
    restarts = 0
    last: dict[str, Any] | None = None
    after = chance.uniform(*chances.start)
    while behaviour in {Behaviour.CRASH, Behaviour.OUT_OF_MEMORY}:
        yield Stage(after, _running(pod, address, ready=False, restarts=restarts, last=last))
        last = {"terminated": _ended(behaviour)}
        yield Stage(chance.uniform(*chances.live), _ended_status(pod, address, restarts, last))
        restarts += 1
        yield Stage(chances.start[0], _waiting(pod, "CrashLoopBackOff", restarts=restarts, last=last, address=address))
        after = chances.back_off * _CRASH_BACK_OFF[min(restarts, len(_CRASH_BACK_OFF)) - 1]
    yield Stage(after, _running(pod, address, ready=False))
    if behaviour is Behaviour.NEVER_READY:
        return
    yield Stage(chance.uniform(*chances.ready), _running(pod, address, ready=True))
    while behaviour is Behaviour.FLAP:
        yield Stage(chance.uniform(*chances.live), _running(pod, address, ready=False))
        yield Stage(chance.uniform(*chances.live), _running(pod, address, ready=True))


def rejection(reason: str, message: str) -> dict[str, Any]:
    """Return the status of a pod that its node does not take, or throws out: it stays as failed until deleted."""
    return {"phase": "Failed", "reason": reason, "message": message}


def _pulling(pod: Pod, chances: Chances, chance: random.Random) -> Iterator[Stage]:
    after = chance.uniform(*chances.start)
    for wait in _PULL_BACK_OFF:
        yield Stage(after, _waiting(pod, "ErrImagePull", "manifest unknown"))
        yield Stage(chances.back_off, _waiting(pod, "ImagePullBackOff", "back-off pulling image"))
        after = wait * chances.back_off


def _ended(behaviour: Behaviour) -> dict[str, Any]:
    if behaviour is Behaviour.OUT_OF_MEMORY:
        return {"exitCode": 137, "reason": "OOMKilled"}
    return {"exitCode": 1, "reason": "Error"}


def _waiting(
    pod: Pod,
    reason: str,
    message: str = "",
    *,
    restarts: int = 0,
    last: dict[str, Any] | None = None,
    address: str = "",
) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    phase = "Running" if restarts else "Pending"
    return _status(pod, phase, state, ready=False, restarts=restarts, last=last, address=address)


def _running(
    pod: Pod, address: str, *, ready: bool, restarts: int = 0, last: dict[str, Any] | None = None
) -> dict[str, Any]:
    return _status(pod, "Running", {"running": {}}, ready=ready, restarts=restarts, last=last, address=address)


def _ended_status(pod: Pod, address: str, restarts: int, ended: dict[str, Any]) -> dict[str, Any]:
    return _status(pod, "Running", ended, ready=False, restarts=restarts, address=address)


def _status(  # the parts of one status
    pod: Pod,
    phase: str,
    state: dict[str, Any],
    *,
    ready: bool,
    restarts: int,
    last: dict[str, Any] | None = None,
    address: str,
) -> dict[str, Any]:
    started = "running" in state
    containers = [
        {
            "name": container.name,
            "image": container.image,
            "imageID": f"standin@sha256:{'0' * 64}" if phase == "Running" else "",
            "containerID": f"standin://{pod.key}/{restarts}" if phase == "Running" else "",
            "ready": ready,
            "started": started,
            "restartCount": restarts,
            "state": state,
            "lastState": last or {},
        }
        for container in pod.spec.containers
    ]
    conditions = {
        "PodReadyToStartContainers": phase == "Running",
        "Initialized": True,
        "ContainersReady": ready,
        "Ready": ready,
    }
    return {
        "phase": phase,
        "conditions": [
            {
                "type": name,
                "status": "True" if met else "False",
                **({} if met else {"reason": "ContainersNotReady", "message": "containers with unready status"}),
            }
            for name, met in conditions.items()
        ],
        "containerStatuses": containers,
        **({"podIP": address, "podIPs": [{"ip": address}]} if address else {}),
    }
