"""The cluster under test, as the contract's tests see it: a backend, how to order something of it, and how to wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from roadstead.errors import BackendError
from roadstead.model import ModelSpec, Resources, RuntimeSpec, Scheduling, StopSpec, Template
from roadstead.spi.backend import Backend, Binds, Expect, GroupOrder
from roadstead.spi.runtime import Launch, Program
from roadstead.template import revision
from roadstead.units import Cpus, Memory
from roadstead.world import Group, GroupKey, Phase, Snapshot

__all__ = [
    "OWNER_ID",
    "SERVER",
    "STRANGER",
    "Crashes",
    "CutsOff",
    "EndsSooner",
    "LendsToOthers",
    "LosesReplicas",
    "LosesReplies",
    "Meddles",
    "Provokes",
    "Reopens",
    "Subject",
    "bind_all",
    "expectation",
    "found",
    "group_order",
    "small_template",
]

OWNER_ID = "owner-of-the-tests"
STRANGER = "owner-of-others"
SERVER = Launch(program=Program(module="roadstead.testing.server"), args=("$(HOST)", "$(REST_PORT)"), rest_port=8501)
"""How to start a server that does nothing but answer, and takes a moment to stop."""


class Subject(Protocol):
    """One cluster with nothing on it yet, and a way to wait for what it does by itself."""

    @property
    def backend(self) -> Backend:
        """The backend of now, made for the owner id :data:`OWNER_ID`."""

    @property
    def cluster(self) -> str:
        """The name that the backend knows its cluster by."""

    @property
    def runtime(self) -> str:
        """The name of the runtime that templates are to have."""

    @property
    def launch(self) -> Launch:
        """How to start a server there: :data:`SERVER`, where replicas are processes of this machine."""

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Return the first observation of which ``holds`` is true.

        Lets time pass between two looks, and gives up in the end with an :class:`AssertionError`.
        """


# ---- what a subject may be able to do to its cluster, each for tests that no other subject can be asked ----


@runtime_checkable
class Reopens(Protocol):
    """Can put another backend in the place of the one of now."""

    def reopen(self) -> None:
        """Close the backend as a daemon that ends does, and make the next daemon's."""


@runtime_checkable
class LendsToOthers(Protocol):
    """Can let a fleet with another owner id use the same cluster."""

    def as_owner(self, owner_id: str) -> AbstractContextManager[Backend]:
        """Give a backend for that owner id; ours is out of use meanwhile, and may be another object afterwards."""


@runtime_checkable
class Crashes(Protocol):
    """Can end a server's process against its will."""

    def crash(self, replica: str) -> None:
        """Kill the process of a running replica's server."""


@runtime_checkable
class LosesReplicas(Protocol):
    """Can make a replica vanish for good, as the loss of its node does."""

    def lose(self, replica: str) -> None:
        """Take the replica away."""


@runtime_checkable
class CutsOff(Protocol):
    """Can keep the cluster from answering."""

    def cut_off(self) -> AbstractContextManager[None]:
        """Let no call through for as long as the context lasts; what runs goes on."""


@runtime_checkable
class Meddles(Protocol):
    """Can change an object of ours as somebody else would, behind the backend's back."""

    def meddle(self, key: GroupKey) -> str:
        """Change one field of a group that does not restart replicas, and return its name, as drift shows it."""


@runtime_checkable
class EndsSooner(Protocol):
    """Has servers that take long to end as templates have it by default: they wait for requests that nobody sends."""

    @property
    def stop(self) -> StopSpec:
        """How the tests' servers are to end."""


@runtime_checkable
class LosesReplies(Protocol):
    """Can lose what is said between the backend and its cluster."""

    def lose_reply(self) -> None:
        """Let the next changing call be carried out, and its reply not arrive."""

    def lose_request(self) -> None:
        """Let the next changing call not arrive, so that nobody knows whether it did."""


@runtime_checkable
class Provokes(Protocol):
    """Can have the cluster refuse a call."""

    @property
    def provokes(self) -> frozenset[type[BackendError]]:
        """The errors that the backend can be made to raise."""

    def provoke(self, error: type[BackendError]) -> None:
        """Let the cluster answer the next changing call so that the backend must raise ``error``, changing nothing."""


# ---- ordering and finding ----


def small_template(subject: Subject, *, cpu: int = 100) -> Template:
    """Return a template that is small enough for every cluster, and from where it may read; ``cpu`` in milli-cores."""
    root = next(iter(subject.backend.capabilities.roots), "/models")
    return Template(
        model=ModelSpec(name="minilm", source=f"{root}/minilm"),
        runtime=RuntimeSpec(name=subject.runtime),
        resources=Resources(cpu=Cpus(cpu), memory=Memory(64 * 1024**2)),
        stop=subject.stop if isinstance(subject, EndsSooner) else StopSpec(),
    )


def group_order(
    template: Template,
    deployment: str = "minilm",
    *,
    generation: int = 1,
    launch: Launch = SERVER,
    owner_id: str = OWNER_ID,
) -> GroupOrder:
    """Return the order for a group of that template."""
    return GroupOrder(
        key=GroupKey(deployment, revision(template)),
        fleet="tests",
        owner="search",
        owner_id=owner_id,
        generation=generation,
        template=template,
        launch=launch,
    )


def found(snapshot: Snapshot, key: GroupKey) -> Group | None:
    """Return the group of that key, or ``None``."""
    return next((group for group in snapshot.groups if group.key == key), None)


def bind_all(backend: Backend, key: GroupKey) -> None:
    """Put every slot of a group on the first node, where placement is ours."""
    if not isinstance(backend, Binds) or Scheduling.DIRECTED not in backend.capabilities.scheduling:
        return
    snapshot = backend.observe()
    group = found(snapshot, key)
    for replica in group.replicas if group is not None else ():
        if replica.phase is Phase.SLOT:
            backend.bind(replica.id, snapshot.nodes[0].name, ())


def expectation(backend: Backend, key: GroupKey) -> Expect:
    """Return the precondition that holds now."""
    group = found(backend.observe(), key)
    return Expect(group.version if group is not None else None)
