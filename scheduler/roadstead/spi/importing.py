"""Reading what others declared: a foreign object as a deployment of ours, and what became of each of its fields."""

from __future__ import annotations

import enum
from typing import Any

import attrs

from roadstead.model import RolloutSpec, Template

__all__ = ["Carried", "Fate", "ImportSource", "Imported"]


@enum.unique
class Fate(enum.Enum):
    """What became of a field: it says the same with us, or something else, or nothing."""

    KEPT = "kept"
    CHANGED = "changed"
    LOST = "lost"


@attrs.frozen(kw_only=True)
class Carried:
    """One field of a foreign object: where it stood, where it stands with us (empty for nowhere), and why so."""

    field: str
    fate: Fate
    key: str = ""
    detail: str = ""


@attrs.frozen(kw_only=True)
class Imported:
    """One foreign object, ``native`` by its own name there, as what we would declare.

    ``template`` is ``None`` where it is nothing that we serve: ``refused`` then says why. Every field of the object
    that somebody wrote is in ``fields``, once.
    """

    native: str
    name: str
    template: Template | None = None
    replicas: int = 1
    rollout: RolloutSpec = attrs.field(factory=RolloutSpec)
    fields: tuple[Carried, ...] = ()
    refused: str = ""


@attrs.frozen(kw_only=True)
class ImportSource:
    """Where to read: ``text`` is a file's, ``None`` for the cluster itself, which ``options`` say how to reach."""

    text: str | None
    options: Any
