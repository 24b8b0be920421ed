"""Mappings that nobody can change, what is different between two, and new ones made by what is different."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from operator import is_not
from types import MappingProxyType
from typing import TypeVar

__all__ = ["changed", "with_changes"]

K = TypeVar("K")
V = TypeVar("V")


def changed(old: Mapping[K, V], new: Mapping[K, V]) -> frozenset[K]:
    """Return the keys of which the value is another object in ``new``, is new there, or is gone.

    Where one was made of the other, both mostly have the same keys in the same order, and none is looked up.
    """
    if old is new:
        return frozenset()
    if len(old) == len(new) and list(old) == list(new):
        return frozenset(compress(new, map(is_not, old.values(), new.values())))
    others = tuple(compress(new, map(is_not, new.values(), map(old.get, new))))
    come = sum(key not in old for key in others)
    gone = old.keys() - new.keys() if len(old) + come != len(new) else frozenset()
    return frozenset((*others, *gone))


def with_changes(mapping: Mapping[K, V], changes: Mapping[K, V | None]) -> Mapping[K, V]:
    """Return ``mapping`` with ``changes``, of which ``None`` takes a key out; the same object where there are none.

    A dictionary that is copied as a whole is made ten times as fast as one that is filled entry by entry, which is what
    ``dict()`` does with a proxy.
    """
    if not changes:
        return mapping
    made = mapping.copy() if isinstance(mapping, MappingProxyType) else dict(mapping)
    for key, value in changes.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = value
    return MappingProxyType(made)
