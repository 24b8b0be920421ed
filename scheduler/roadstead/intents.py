"""What commands asked for on top of the fleet file, each until the file says something else about the same.

Part of :mod:`roadstead.model`, where all of it is imported from.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

import attrs

from roadstead.workload import Target

__all__ = [
    "Intents",
    "MigrateIntent",
    "PauseIntent",
    "PromoteIntent",
    "RemoveIntent",
    "ScaleIntent",
    "UndoIntent",
]


@attrs.frozen(kw_only=True)
class ScaleIntent:
    """``roadstead scale``: ``replicas`` holds until the file's own number is no longer ``declared``."""

    deployment: str
    replicas: int
    declared: int


@attrs.frozen(kw_only=True)
class RemoveIntent:
    """``roadstead delete``: the deployment goes, as long as its revision in the file is ``declared``.

    ``None`` stands for a deployment that is not in the file.
    """

    deployment: str
    declared: str | None = None


@attrs.frozen(kw_only=True)
class MigrateIntent:
    """``roadstead migrate``: all of it on cluster ``to``, as long as the file's own clusters are those ``declared``."""

    deployment: str
    to: str
    declared: tuple[str, ...]


@attrs.frozen(kw_only=True)
class PauseIntent:
    """``roadstead rollout pause``: nothing rolls, as long as the template in the file is ``declared``.

    What stands for the template is :attr:`Deployment.declared_template`, here and in the intents below.
    """

    deployment: str
    declared: str


@attrs.frozen(kw_only=True)
class PromoteIntent:
    """``roadstead rollout promote``: a person vouches for what the file says, as long as that is ``declared``.

    ``revision`` and, where replicas reload, ``version`` say what that is; on other clusters it may be another revision.
    """

    deployment: str
    revision: str
    version: int | None = None
    declared: str


@attrs.frozen(kw_only=True)
class UndoIntent:
    """``roadstead rollout undo``: ``targets`` run instead of the file's, as long as its template is ``declared``.

    ``revision`` and, where replicas reload (``reloads``), ``version`` say which they are to people.
    """

    deployment: str
    revision: str
    version: int | None = None
    targets: tuple[Target, ...]
    reloads: bool = False
    declared: str


@attrs.frozen(kw_only=True)
class Intents:
    """What commands asked for on top of the file; durable, shown by ``status`` and ``plan``.

    Of each kind there is one at most for a deployment.
    """

    scale: tuple[ScaleIntent, ...] = ()
    remove: tuple[RemoveIntent, ...] = ()
    pause: tuple[PauseIntent, ...] = ()
    promote: tuple[PromoteIntent, ...] = ()
    undo: tuple[UndoIntent, ...] = ()
    migrate: tuple[MigrateIntent, ...] = ()

    @cached_property
    def steered(self) -> frozenset[str]:
        """The deployments whose rollout somebody pauses, vouches for, or undoes."""
        steering: tuple[PauseIntent | PromoteIntent | UndoIntent, ...] = (*self.pause, *self.promote, *self.undo)
        return frozenset(one.deployment for one in steering)

    @cached_property
    def scale_of(self) -> Mapping[str, ScaleIntent]:
        """How many replicas were asked for, by deployment."""
        return MappingProxyType({one.deployment: one for one in self.scale})

    @cached_property
    def remove_of(self) -> Mapping[str, RemoveIntent]:
        """What is to go away, by deployment."""
        return MappingProxyType({one.deployment: one for one in self.remove})

    @cached_property
    def migrate_of(self) -> Mapping[str, MigrateIntent]:
        """What was sent elsewhere, by deployment."""
        return MappingProxyType({one.deployment: one for one in self.migrate})
