"""What every object of Kubernetes has, as far as we read it, and how lists, events and refusals look on the wire.

Structs hold only the fields that are needed: a list of 5,000 pods is read in less than a tenth of a second so, and what
is not named here (``managedFields`` above all) never becomes an object. ``gc=False``: none of them can be part of a
cycle, and the collector need not look at 50,000 of them.
"""

from __future__ import annotations

import datetime as dt
from typing import Generic, Protocol, TypeVar

import msgspec

__all__ = ["Cause", "Event", "ListMeta", "Meta", "Object", "Owner", "Page", "Status", "StatusDetails", "millis"]


class Owner(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An owner reference: who is answered for by whom; at most one owner of an object is its ``controller``."""

    kind: str
    name: str
    uid: str
    controller: bool = False


class Meta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The metadata of an object; ``deletion`` is when it was asked to go, ``grace_s`` what it was given for that."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    generation: int = 0
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    creation: dt.datetime | None = msgspec.field(default=None, name="creationTimestamp")
    deletion: dt.datetime | None = msgspec.field(default=None, name="deletionTimestamp")
    grace_s: int | None = msgspec.field(default=None, name="deletionGracePeriodSeconds")
    owners: tuple[Owner, ...] = msgspec.field(default=(), name="ownerReferences")
    finalizers: tuple[str, ...] = ()

    @property
    def controller(self) -> Owner | None:
        """The owner that makes and replaces this object, if it has one."""
        return next((owner for owner in self.owners if owner.controller), None)


class Object(Protocol):
    """A struct that a reflector can keep: one with ``metadata: Meta``."""

    @property
    def metadata(self) -> Meta:
        """Which object it is."""


T = TypeVar("T")


class ListMeta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The metadata of a list: what it shows is the state at ``resource_version``; with ``next``, there is more."""

    resource_version: str = msgspec.field(default="", name="resourceVersion")
    next: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A list of objects, or one page of it."""

    metadata: ListMeta = ListMeta()
    items: list[T] | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a watch; what ``object`` is follows from ``type``."""

    type: str
    object: msgspec.Raw = msgspec.Raw()


class Cause(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of the causes in a refusal: a ``reason``, in words, and the ``field`` of the object that it is about."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a refusal says besides: about which object, why, and when to come back."""

    name: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_s: int = msgspec.field(default=0, name="retryAfterSeconds")


class Status(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The API server's word about a request, most of all why not."""

    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The causes that it names."""
        return self.details.causes if self.details is not None else ()


def millis(at: dt.datetime) -> int:
    """Return a moment as milliseconds since the epoch.

    >>> millis(dt.datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=dt.UTC))
    1500
    """
    return (at - _EPOCH) // dt.timedelta(milliseconds=1)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
