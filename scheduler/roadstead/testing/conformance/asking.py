"""How the kit's tests ask, look and wait.

A call that is to be made later (:class:`roadstead.errors.Retryable`) is made again: a cluster may let one change of an
object end before it takes the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from roadstead.errors import BackendError, Conflict, Retryable
from roadstead.model import Scheduling
from roadstead.spi.backend import ABSENT, Binds, Expect, GroupOrder, Restarts
from roadstead.testing.subject import Subject, expectation, found, group_order, small_template
from roadstead.units import Duration
from roadstead.world import Group, GroupKey, Phase, Replica, Snapshot

__all__ = [
    "GRACE",
    "an_order",
    "apply",
    "bind",
    "binder",
    "change",
    "counting",
    "create",
    "delete",
    "gone",
    "group_of",
    "growing",
    "insist",
    "pass_time",
    "raises",
    "replaced",
    "restarter",
    "run",
    "runs",
    "settled",
]

GRACE = Duration(5_000)
_TRIES = 100
_ENDED = (Phase.STOPPING, Phase.LOST)


def an_order(subject: Subject, deployment: str = "minilm", *, generation: int = 1, cpu: int = 100) -> GroupOrder:
    """Return the order for a small group; ``cpu`` in milli-cores."""
    template = small_template(subject, cpu=cpu)
    return group_order(template, deployment, generation=generation, launch=subject.launch)


# ---- changing ----


def insist(subject: Subject, call: Callable[[], None]) -> None:
    """Make a call, and again as long as the cluster says that it is to be made later."""
    for _ in range(_TRIES):
        try:
            return call()
        except Retryable:
            pass_time(subject)
    raise AssertionError(f"asked {_TRIES} times, and the cluster still says: later")


def pass_time(subject: Subject) -> None:
    """Let a little time pass: as much as lies between two looks."""
    looks = iter([False, True])
    subject.until(lambda _: next(looks))


def create(subject: Subject, order: GroupOrder, count: int) -> Group:
    """Create a group, and return it with as many replicas as were asked for, whatever they do yet."""
    insist(subject, lambda: subject.backend.apply(order, count, expect=ABSENT))
    return growing(subject, order.key, count)


def growing(subject: Subject, key: GroupKey, count: int) -> Group:
    """Return a group once it has ``count`` replicas that are not on their way out."""
    return _of(subject.until(lambda seen: len(counting(found(seen, key))) == count), key)


def apply(
    subject: Subject, order: GroupOrder, count: int, *, retire: tuple[str, ...] = (), expect: Expect | None = None
) -> None:
    """Have an existing group converge to ``count``, as it is now where nothing else is expected of it."""
    backend = subject.backend

    def ask(as_of: Expect) -> None:
        backend.apply(order, count, retire=retire, expect=as_of)

    change(subject, order.key, ask, expect, locks=backend.capabilities.locks)


def delete(subject: Subject, key: GroupKey, *, expect: Expect | None = None) -> None:
    """Remove a group, as it is now where nothing else is expected of it."""
    change(subject, key, lambda as_of: subject.backend.delete(key, grace=GRACE, expect=as_of), expect)


def change(
    subject: Subject,
    key: GroupKey,
    ask: Callable[[Expect], None],
    expect: Expect | None = None,
    *,
    locks: bool = False,
) -> None:
    """Change a group as it is now, or as ``expect`` says; again where it is another by now: a replica has just ended.

    Where it ``locks``, it is asked again as long as it is refused although it is as expected.
    """

    def call() -> None:
        now = expectation(subject.backend, key)
        try:
            ask(expect or now)
        except Conflict as conflict:
            is_locked = locks and (expect or now) == now
            has_moved_on = expect is None and now != expectation(subject.backend, key)
            if not is_locked and not has_moved_on:
                raise
            raise Retryable("it is locked, or moves", cluster=subject.cluster, subject=str(key)) from conflict

    insist(subject, call)


def bind(subject: Subject, key: GroupKey) -> None:
    """Put every slot of a group on the first node, where placement is ours."""
    if Scheduling.DIRECTED not in subject.backend.capabilities.scheduling:
        return
    snapshot = subject.backend.observe()
    for replica in _of(snapshot, key).replicas:
        if replica.phase is Phase.SLOT:
            binder(subject).bind(replica.id, snapshot.nodes[0].name, ())


def run(subject: Subject, order: GroupOrder, count: int) -> tuple[Replica, ...]:
    """Create a group and return its replicas when all of them run."""
    create(subject, order, count)
    return settled(subject, order.key, count)


def settled(subject: Subject, key: GroupKey, count: int) -> tuple[Replica, ...]:
    """Return a group's replicas when it has ``count``, all of them run, and nothing else of it is left."""
    growing(subject, key, count)
    bind(subject, key)
    return _of(subject.until(lambda seen: runs(found(seen, key), count)), key).replicas


def gone(subject: Subject, key: GroupKey) -> None:
    """Wait until nothing of a group is left."""
    subject.until(lambda seen: found(seen, key) is None)


def replaced(subject: Subject, key: GroupKey, replica: Replica) -> Replica:
    """Return the same replica, running, once it is another process than ``replica`` was."""

    def is_other(one: Replica) -> bool:
        return one.id == replica.id and one.phase is Phase.RUNNING and one.incarnation != replica.incarnation

    seen = subject.until(lambda now: any(map(is_other, _of(now, key).replicas)))
    return next(filter(is_other, _of(seen, key).replicas))


def runs(group: Group | None, count: int) -> bool:
    """Return whether so many run, are ready where the cluster has a word for it, and no other is there."""
    return (
        group is not None
        and len(group.replicas) == count
        and all(one.phase is Phase.RUNNING and one.ready is not False for one in group.replicas)
    )


# ---- looking ----


def group_of(subject: Subject, key: GroupKey) -> Group:
    """Return a group as it looks now."""
    return _of(subject.backend.observe(), key)


def _of(snapshot: Snapshot, key: GroupKey) -> Group:
    group = found(snapshot, key)
    assert group is not None, f"the group {key} is not observed"
    return group


def counting(group: Group | None) -> set[str]:
    """Return the ids of the replicas that are among those asked for."""
    return {one.id for one in group.replicas if one.phase not in _ENDED} if group is not None else set()


# ---- what a cluster that says it can must have a method for ----


def binder(subject: Subject) -> Binds:
    """Return the backend as one that binds."""
    backend = subject.backend
    assert isinstance(backend, Binds), "a directed cluster has `bind`"
    return backend


def restarter(subject: Subject) -> Restarts:
    """Return the backend as one that restarts."""
    backend = subject.backend
    assert isinstance(backend, Restarts), "a cluster that restarts replicas in place has `restart`"
    return backend


# ---- refusals ----


@contextmanager
def raises(subject: Subject, kind: type[BackendError], about: str) -> Iterator[None]:
    """Expect exactly this error, which says where it happened and to what."""
    with pytest.raises(BackendError) as caught:
        yield
    error = caught.value
    assert isinstance(error, kind), f"{kind.__name__} is due, not {type(error).__name__}: {error}"
    assert kind.code == error.code, "a code is never reused for another meaning"
    assert (subject.cluster, about) == (error.cluster, error.subject), "an error names its cluster and its object"
    assert str(error).strip(), "an error says something"
