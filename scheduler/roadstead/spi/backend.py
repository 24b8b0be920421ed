"""The backend protocol: how one cluster is observed and changed.

Calls are synchronous requests, not waits: they return when the cluster has accepted the request, not when it has
carried it out. Every call may be repeated at any time, because replies get lost, and repeating it must do no harm.
Calls come from one thread per cluster.

A backend raises only :class:`roadstead.errors.BackendError` and its subclasses; which one decides what happens next,
see there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import attrs

from roadstead.capabilities import Capabilities
from roadstead.model import Reach, Reloading, Scheduling, Template
from roadstead.spi.runtime import Launch
from roadstead.units import Duration
from roadstead.world import GroupKey, Snapshot, Usage

__all__ = [
    "ABSENT",
    "Backend",
    "BackendContext",
    "Binds",
    "ChecksModels",
    "Evicts",
    "Expect",
    "GroupOrder",
    "KeepsLogs",
    "MeasuresUsage",
    "Restarts",
    "Reverts",
    "Settles",
    "Watches",
]


@attrs.frozen
class Expect:
    """The precondition of a change: the group's version token must still be this one, or the call raises ``Conflict``.

    ``None`` means that the group must not exist yet. A backend whose store has compare-and-set uses it; any other reads
    the object just before.
    """

    version: str | None


ABSENT = Expect(None)


@attrs.frozen(kw_only=True)
class GroupOrder:
    """All that is needed to create a group; an existing one keeps what it was created from.

    ``launch`` is the runtime's rendering of ``template``. Where ``reloading`` is given, an existing group takes that
    over, and the model version, digest and launch for replicas that it starts from now on. ``adopts`` is the native id
    of something foreign that is to be taken over instead of making the group, if it is there: with the revision that it
    turns out to be.
    """

    key: GroupKey
    fleet: str
    owner: str
    owner_id: str
    generation: int
    template: Template
    launch: Launch
    reloading: Reloading | None = None
    adopts: str = ""


@attrs.frozen(kw_only=True)
class BackendContext:
    """What a backend is made from.

    ``root`` is a directory of its own, kept between starts, for what only it needs to remember. Where ``reach`` is
    ``NONE``, nobody of ours connects to replicas: what the cluster says of their readiness is all that is known, and is
    to be told as :attr:`~roadstead.world.Replica.ready`; and whoever is told to stop goes on serving for its
    ``drain_within`` first, within a grace of ``drain_within + kill_after``. Elsewhere the runtime's word counts where
    ``ready`` is ``None``, and a replica has been drained when it is told to stop, but where it is of a group that
    :attr:`~roadstead.world.Group.serves_on` and no gateway sends it requests: it is then asked to as above.
    """

    cluster: str
    fleet: str
    owner_id: str
    options: object
    scheduling: Scheduling | None
    root: Path
    reach: Reach = Reach.DIRECT


class Backend(Protocol):
    """Drives one cluster; optional abilities, such as :class:`Binds`, are protocols of their own."""

    @property
    def capabilities(self) -> Capabilities:
        """What this cluster can do; also part of every snapshot."""

    def observe(self) -> Snapshot:
        """Return what the cluster looks like now.

        Only groups that carry our owner id are in it. The answer is never behind what this object has returned before,
        nor behind a write that it has acknowledged, and a new object's first answer is a consistent read. Raises
        ``Unreachable`` or ``Forbidden``; never returns half of the truth.
        """

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create the group, or converge an existing one to ``target`` replicas.

        Lost replicas are replaced. When replicas must go, those in ``retire`` go first (exactly those where
        ``exact_retire``), then slots, then what is not running. An existing group gets the count, ``owner`` and
        ``generation``, never another template (but see :attr:`GroupOrder.reloading`).
        """

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove the group and stop what is left of it, with ``grace`` between asking and killing.

        An unknown group is fine.
        """

    def close(self) -> None:
        """Release what this object holds. Replicas are left as they are."""


@runtime_checkable
class Binds(Protocol):
    """A directed cluster: our placement picks the node."""

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Put the slot ``replica`` on ``node`` with the devices of these ids, and start it.

        Bound there already: fine. Bound elsewhere, or no slot of that name any more: ``Conflict``. Does not fit:
        ``OutOfCapacity``.
        """


@runtime_checkable
class Restarts(Protocol):
    """A cluster where one replica's server can be restarted in place."""

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Ask the server to stop, kill it after ``grace``, and start it again on the same node."""


@runtime_checkable
class Evicts(Protocol):
    """A cluster where one replica can be taken away without asking for fewer."""

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Stop the replica, with ``grace`` between asking and killing, and leave the group's target as it is.

        Another takes its place when the group is next brought to its count, or before where the cluster heals alone.
        A server ends as it does when its group shrinks: with all of its grace. One that stops already: fine. No such
        replica: ``Conflict``.
        """


@runtime_checkable
class Reverts(Protocol):
    """A cluster where others may change what is stored of ours, and that shows it as :attr:`Group.drift`."""

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        """Put back what the group was made with, as it carries it since then; counts stay.

        Nothing to put back: fine. Replicas that were made meanwhile are shown as ``drifted`` until they are gone.
        """


@runtime_checkable
class Settles(Protocol):
    """A cluster where something stands for a deployment as a whole, as :attr:`Snapshot.settled` shows it.

    Such as an address of its own there, and a rule about how many replicas an administrator may disturb at once.
    """

    def settle(self, deployment: str, floor: int | None) -> None:
        """Have it stand, with ``floor`` replicas that nobody may disturb at once, or remove it where that is ``None``.

        It is over all revisions, stands before the first group of the deployment is made, and goes after the last one
        is gone. With a floor of 0 there is no such rule at all; a floor is always less than the replicas that are asked
        for there, so that each of them can be disturbed once all are ready. It is lowered before replicas are given up.
        As it should be already, or gone already: fine. What belongs to others is left alone: ``Conflict``.
        """


@runtime_checkable
class ChecksModels(Protocol):
    """A cluster where running replicas can be given another model version to load."""

    def check_model(self, template: Template) -> None:
        """Return if replicas may load the model version of ``template``: it is there, and what its digest says.

        Called from any thread; may take as long as reading all its files. Raises ``Rejected``.
        """


@runtime_checkable
class MeasuresUsage(Protocol):
    """A cluster that knows what its replicas use."""

    def usage(self) -> Mapping[str, Usage]:
        """Return the use of every replica that can be measured now, by replica id."""


@runtime_checkable
class Watches(Protocol):
    """A cluster that can tell that something changed there, without being asked."""

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` from any thread, soon after anything that ``observe`` would show has changed, until ``close``.

        Returns at once. A missed wake costs a turn's wait and nothing else; a needless one costs an observation.
        """


@runtime_checkable
class KeepsLogs(Protocol):
    """A cluster that keeps what a server prints."""

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield the replica's output, oldest first, in chunks of whole lines.

        ``tail`` limits the lines from before now.

        With ``follow`` it goes on until the replica is gone or the iterator is closed; an empty chunk now and then lets
        whoever reads it in a thread notice that nobody wants it any more. No such replica: ``Rejected``.
        """
