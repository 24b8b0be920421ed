"""The cluster under test, as the contract's tests see it: a backend, how to order something of it, and how to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from roadstead.model import ModelSpec, Resources, RuntimeSpec, Scheduling, Template
from roadstead.spi.backend import ABSENT, Backend, Binds, Expect, GroupOrder
from roadstead.spi.runtime import Launch, Program
from roadstead.template import revision
from roadstead.units import Cpus, Memory
from roadstead.world import Group, GroupKey, Phase, Replica, Snapshot

__all__ = ["OWNER_ID", "Subject", "bind_all", "expectation", "found", "group_order", "small_template", "started"]

OWNER_ID = "owner-of-the-tests"


class Subject(Protocol):
    """One cluster with nothing on it yet; ``until`` lets time pass, or waits, and fails with a deadline."""

    backend: Backend
    runtime: str

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Return the first observation of which ``holds`` is true."""


def small_template(subject: Subject, *, source: str = "/models/minilm", cpu: int = 100) -> Template:
    """Return a template that is small enough for every cluster; ``cpu`` in milli-cores."""
    return Template(
        model=ModelSpec(name="minilm", source=source),
        runtime=RuntimeSpec(name=subject.runtime),
        resources=Resources(cpu=Cpus(cpu), memory=Memory(64 * 1024**2)),
    )


def group_order(template: Template, deployment: str = "minilm", *, generation: int = 1) -> GroupOrder:
    """Return the order for a group of that template."""
    return GroupOrder(
        key=GroupKey(deployment, revision(template)),
        fleet="tests",
        owner="search",
        owner_id=OWNER_ID,
        generation=generation,
        template=template,
        launch=Launch(program=Program(executable="server"), args=()),
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


def started(subject: Subject, order: GroupOrder, count: int) -> tuple[Replica, ...]:
    """Create a group and return its replicas when all of them run."""
    subject.backend.apply(order, count, expect=ABSENT)
    bind_all(subject.backend, order.key)
    snapshot = subject.until(lambda seen: _running(seen, order.key) == count)
    group = found(snapshot, order.key)
    assert group is not None
    return group.replicas


def _running(snapshot: Snapshot, key: GroupKey) -> int:
    group = found(snapshot, key)
    return sum(replica.phase is Phase.RUNNING for replica in group.replicas) if group is not None else 0


def expectation(backend: Backend, key: GroupKey) -> Expect:
    """Return the precondition that holds now."""
    group = found(backend.observe(), key)
    return Expect(group.version if group is not None else None)
