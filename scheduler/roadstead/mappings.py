"""Mappings that nobody can change, and new ones made of them by what is different."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

__all__ = ["with_changes"]

K = TypeVar("K")
V = TypeVar("V")


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
