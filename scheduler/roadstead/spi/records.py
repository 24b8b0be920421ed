"""The frozen records that plugins return from the registration hooks."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Any, ClassVar

import attrs

from roadstead.spi.backend import Backend, BackendContext
from roadstead.spi.comparison import Rival
from roadstead.spi.gateway import Gateway, GatewayContext
from roadstead.spi.importing import Imported, ImportSource
from roadstead.spi.lease import LeaseStore
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.spi.runtime import Runtime
from roadstead.spi.simulation import Now, Simulation

__all__ = [
    "BackendPlugin",
    "CommandPlugin",
    "GatewayPlugin",
    "Lack",
    "NoOptions",
    "PluginRecord",
    "PolicyKind",
    "PolicyPlugin",
    "RuntimePlugin",
]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@attrs.frozen
class NoOptions:
    """The options of a plugin that has none."""


def _a_name(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is no plugin name: lower-case letters, digits, - and _, starting with a letter, at most 40"
        )


@attrs.frozen(kw_only=True)
class PluginRecord:
    """What every registration says: a name for the fleet file, how to get the thing, and one line about it."""

    kind: ClassVar[str] = "plugin"

    name: str = attrs.field(validator=_a_name)
    summary: str


@attrs.frozen(kw_only=True)
class Lack:
    """What a cluster would refuse us, with the next step; what is not in the way only takes something away."""

    what: str
    hint: str
    is_in_the_way: bool


@attrs.frozen(kw_only=True)
class BackendPlugin(PluginRecord):
    """A kind of cluster.

    ``options`` is an attrs class: the keys under ``options:`` in the fleet file, read, checked and documented from its
    fields (a field's ``metadata={"doc": ...}`` is its description; ``pathlib.Path`` fields are resolved against the
    fleet file). ``deployment_options`` is the same for what one deployment can say to this backend only, under its
    ``backend_options``; it reaches the backend as canonical JSON in :attr:`roadstead.model.Template.backend_options`.
    ``simulation`` makes worlds in virtual time of such clusters, for ``roadstead sim``, where they can be pretended.
    ``rival`` makes what such a cluster has of its own to keep a model served, for ``roadstead bench compare``;
    ``rival_name`` is what people call that, such as ``a plain Deployment``. ``leases`` makes the store of a fleet's
    lease, where such a cluster can keep one: one daemon then acts for the fleet, on whatever machine. ``lacking``
    returns what such a cluster would refuse us, for ``roadstead check``; it changes nothing there. ``imports`` reads
    what others declared for such a cluster, for ``roadstead import``; ``adopts`` says that what runs there can be taken
    over, as :attr:`roadstead.spi.backend.GroupOrder.adopts` asks for it. ``address`` names the option that says where
    such a cluster is, where an address alone is enough to read it.
    """

    kind: ClassVar[str] = "backend"

    factory: Callable[[BackendContext], Backend] | str
    options: type[Any] = NoOptions
    deployment_options: type[Any] = NoOptions
    simulation: Callable[[Now], Simulation] | str | None = None
    rival: Callable[[BackendContext], Rival] | str | None = None
    rival_name: str = ""
    leases: Callable[[BackendContext, str], LeaseStore] | str | None = None
    lacking: Callable[[BackendContext], tuple[Lack, ...]] | str | None = None
    adopts: bool = False
    imports: Callable[[ImportSource], tuple[Imported, ...]] | str | None = None
    address: str = ""


@attrs.frozen(kw_only=True)
class RuntimePlugin(PluginRecord):
    """A serving engine.

    ``engines`` are the values that ``runtime.engine`` may have, the first one is the default. ``reloads`` are those of
    them whose servers can load another version in place (:meth:`roadstead.spi.runtime.Runtime.reload`).
    """

    kind: ClassVar[str] = "runtime"

    factory: Callable[[], Runtime] | str
    engines: tuple[str, ...]
    formats: tuple[str, ...]
    reloads: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class GatewayPlugin(PluginRecord):
    """A kind of gateway; ``options`` as for :class:`BackendPlugin`.

    ``missing`` returns what this machine lacks to run one with such options, a sentence each, for ``roadstead check``;
    it starts nothing. ``None`` where nothing can be missing.
    """

    kind: ClassVar[str] = "gateway"

    factory: Callable[[GatewayContext], Gateway] | str
    options: type[Any] = NoOptions
    missing: Callable[[Any], tuple[str, ...]] | str | None = None


@enum.unique
class PolicyKind(enum.Enum):
    """What a policy decides."""

    PLACEMENT = "placement"
    SCALING = "scaling"


@attrs.frozen(kw_only=True)
class PolicyPlugin(PluginRecord):
    """A policy, chosen by name in the fleet file; what its factory makes must be of the kind that ``decides`` says."""

    kind: ClassVar[str] = "policy"

    decides: PolicyKind
    factory: Callable[[], PlacementPolicy] | Callable[[], ScalingPolicy] | str


@attrs.frozen(kw_only=True)
class CommandPlugin(PluginRecord):
    """A command for ``roadstead``; the factory returns a :class:`click.Command`."""

    kind: ClassVar[str] = "command"

    factory: Callable[[], object] | str
