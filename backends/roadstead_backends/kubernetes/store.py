"""The objects of one kind as the server last told of them, and what changed since somebody last asked: pure.

Two ways lead in: a whole list that replaces everything, and one event after the other. Both leave the same marks, so
whoever takes the changes cannot tell which one it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Generic, TypeVar

import attrs

from roadstead_backends.kubernetes.meta import Meta, Object

__all__ = ["Changes", "Key", "Store", "key_of", "version_number"]

T = TypeVar("T", bound=Object)

Key = tuple[str, str]
"""Namespace and name of an object; the namespace is empty where its kind has none."""

_FORGETS_AT_LEAST: Final = 1_000


def key_of(metadata: Meta) -> Key:
    """Return under which key an object is kept."""
    return metadata.namespace, metadata.name


def version_number(resource_version: str) -> int:
    """Return a resource version as the number that it is; a later one of the same kind is greater.

    They are comparable by KEP-5504, and have been numbers in every server before. Raises ``ValueError`` for another.
    """
    if not resource_version.isdecimal():
        raise ValueError(f"{resource_version!r} is no resource version that can be compared")
    return int(resource_version)


@attrs.frozen(kw_only=True)
class Changes(Generic[T]):
    """What changed since the last time: the objects as they are now, by key, ``None`` where one is gone.

    With ``everything``, what was known before is to be forgotten, and ``objects`` are all that there are.
    """

    objects: Mapping[Key, T | None]
    everything: bool = False

    def __bool__(self) -> bool:
        return self.everything or bool(self.objects)


@attrs.define
class Store(Generic[T]):
    """What is known of one kind; for one thread at a time.

    ``version`` is up to which resource version it is known. What nobody takes is not kept for ever: keys that changed
    are counted, and where they are more than twice the objects, the next taker gets everything.
    """

    objects: dict[Key, T] = attrs.field(factory=dict, init=False)
    version: int = attrs.field(default=0, init=False)
    _touched: set[Key] = attrs.field(factory=set, init=False)
    _everything: bool = attrs.field(default=True, init=False)

    def known(self, one: T) -> T:
        """Return the object that is kept already, where it is in the same state.

        So what did not change stays the same object, for whoever compares by identity, and is not in memory twice.
        """
        old = self.objects.get(key_of(one.metadata))
        return old if old is not None and _is_same(old, one) else one

    def replace(self, listed: Iterable[T], version: int) -> int:
        """Let a whole list, as of ``version``, be all that there is; return how many objects that changed."""
        fresh = {key_of(one.metadata): self.known(one) for one in listed}
        before, changed = self.objects, 0
        for key, one in fresh.items():
            if before.get(key) is not one:
                changed += 1
                self._touch(key)
        for key in before.keys() - fresh.keys():
            changed += 1
            self._touch(key)
        self.objects = fresh
        self.version = max(self.version, version)
        return changed

    def put(self, one: T) -> None:
        """Take over an object that was added or changed."""
        key = key_of(one.metadata)
        self.objects[key] = one
        self._touch(key)
        self.advance(version_number(one.metadata.resource_version))

    def drop(self, one: T) -> None:
        """Take over that an object is gone; its resource version is that of its going."""
        key = key_of(one.metadata)
        if self.objects.pop(key, None) is not None:
            self._touch(key)
        self.advance(version_number(one.metadata.resource_version))

    def advance(self, version: int) -> None:
        """Take over that nothing else happened up to ``version``."""
        self.version = max(self.version, version)

    def take(self) -> Changes[T]:
        """Return what changed since this was last called; the first time, everything."""
        if self._everything:
            self._everything = False
            self._touched = set()
            return Changes(objects=MappingProxyType(dict(self.objects)), everything=True)
        taken, self._touched = self._touched, set()
        return Changes(objects=MappingProxyType({key: self.objects.get(key) for key in taken}))

    def _touch(self, key: Key) -> None:
        if self._everything:
            return
        self._touched.add(key)
        if len(self._touched) > max(_FORGETS_AT_LEAST, 2 * len(self.objects)):
            self._touched = set()
            self._everything = True


def _is_same(old: Object, new: Object) -> bool:
    """Return whether two readings of a key are of one state: of the same object, at the same version."""
    return (old.metadata.uid, old.metadata.resource_version) == (new.metadata.uid, new.metadata.resource_version)
