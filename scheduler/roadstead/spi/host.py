"""The plugin host: finds plugins, takes their records in, and remembers who brought what.

This is the one module that calls pluggy, whose hooks are untyped; everybody else uses the typed facade below. The
built-in plugins come in through the same entry points as a stranger's. A plugin that cannot be loaded is reported with
its distribution and does no further harm: it matters only when the fleet file names something that is then missing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, distributions
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import attrs
import pluggy

from roadstead.errors import RoadsteadError
from roadstead.plans import Plan
from roadstead.spi import hookspecs
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.spi.records import (
    BackendPlugin,
    CommandPlugin,
    GatewayPlugin,
    PluginRecord,
    PolicyKind,
    PolicyPlugin,
    RuntimePlugin,
)
from roadstead.spi.runtime import Runtime
from roadstead.world import Outcome

__all__ = ["PluginError", "PluginHost", "PluginProblem", "Provenance", "Registered", "resolve"]

R_co = TypeVar("R_co", bound=PluginRecord, covariant=True)
S = TypeVar("S", bound=PluginRecord)

_REGISTRATION: Mapping[str, type[PluginRecord]] = MappingProxyType(
    {
        "roadstead_backends": BackendPlugin,
        "roadstead_runtimes": RuntimePlugin,
        "roadstead_gateways": GatewayPlugin,
        "roadstead_policies": PolicyPlugin,
        "roadstead_commands": CommandPlugin,
    }
)


class PluginError(RoadsteadError):
    """The fleet file names a plugin that is missing, broken, or there twice."""

    code = "RS020"
    exit_code = 65


@attrs.frozen(kw_only=True, order=True)
class Provenance:
    """Where a plugin comes from; ``module`` is the entry point's value."""

    distribution: str
    version: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.module})"


@attrs.frozen
class Registered(Generic[R_co]):
    """A record and who brought it."""

    record: R_co
    provenance: Provenance


@attrs.frozen(kw_only=True)
class PluginProblem:
    """Something wrong with an installed plugin.

    ``names`` are the plugin names that cannot be used because of it, if known.
    """

    provenance: Provenance
    error: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.provenance}: {self.error}"


def resolve(factory: Callable[..., Any] | str, what: str) -> Callable[..., Any]:
    """Return what a factory given as ``"module:attribute"`` names, importing it now; raises :class:`PluginError`."""
    if not isinstance(factory, str):
        return factory
    module, _, attribute = factory.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{what} cannot be loaded from {factory!r}: {error}",
            hint="install the extra that brings it, see `roadstead backend list`",
        ) from error
    if not callable(found):
        raise PluginError(f"{what}: {factory!r} is not callable", hint="this is an error of the plugin")
    return found  # type: ignore[no-any-return]  # whatever it is, it can be called


class PluginHost:
    """Every installed plugin, by kind and name, with its provenance, and what is wrong with the others."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._records: dict[tuple[str, str], list[Registered[PluginRecord]]] = {}
        self._problems: list[PluginProblem] = []
        self._current: Provenance | None = None
        for hook, kind in _REGISTRATION.items():
            caller: Any = getattr(self._manager.hook, hook)
            caller.call_historic(result_callback=self._taker(hook, kind))

    @classmethod
    def installed(cls, found: Iterable[Distribution] | None = None) -> PluginHost:
        """Return a host with every plugin of the environment, or of the given distributions, registered."""
        host = cls()
        for distribution, entry_point in sorted(
            _entry_points(distributions() if found is None else found), key=lambda pair: (pair[0].name, pair[1].name)
        ):
            host._load(distribution, entry_point)
        return host

    def register(self, plugin: object, provenance: Provenance) -> None:
        """Register one plugin; what is wrong with it becomes a problem, not an exception."""
        self._current = provenance
        try:
            self._manager.register(plugin, name=str(provenance))
            self._manager.check_pending()
        except Exception as error:  # noqa: BLE001  # a stranger's code may raise anything: it is reported as its problem
            self._drop(plugin, provenance, f"{type(error).__name__}: {error}")
        finally:
            self._current = None

    def _load(self, distribution: Distribution, entry_point: EntryPoint) -> None:
        provenance = Provenance(distribution=distribution.name, version=distribution.version, module=entry_point.value)
        try:
            plugin = entry_point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # so may importing it
            self._problems.append(
                PluginProblem(provenance=provenance, error=f"cannot be imported: {type(error).__name__}: {error}")
            )
            return
        self.register(plugin, provenance)

    def _taker(self, hook: str, kind: type[PluginRecord]) -> Callable[[Any], None]:
        def take(result: Any) -> None:
            if self._current is None:
                raise RuntimeError("records are taken in while a plugin is being registered")
            records = list(result)
            for record in records:
                if not isinstance(record, kind):
                    raise TypeError(f"{hook} returned {record!r}, which is no {kind.__name__}")
            for record in records:
                self._records.setdefault((kind.kind, record.name), []).append(Registered(record, self._current))

        return take

    def _drop(self, plugin: object, provenance: Provenance, error: str) -> None:
        if self._manager.is_registered(plugin):
            self._manager.unregister(plugin)
        names = []
        for (_, name), registered in self._records.items():
            if any(one.provenance == provenance for one in registered):
                registered[:] = [one for one in registered if one.provenance != provenance]
                names.append(name)
        self._problems.append(PluginProblem(provenance=provenance, error=error, names=tuple(names)))

    # ---- what is there ----

    @property
    def problems(self) -> tuple[PluginProblem, ...]:
        """What is wrong with installed plugins, double names included."""
        doubles = [
            _double(kind, name, registered)
            for (kind, name), registered in sorted(self._records.items())
            if len(registered) > 1
        ]
        return (*self._problems, *doubles)

    def all(self, kind: type[S]) -> tuple[Registered[S], ...]:
        """Return every usable record of one kind, by name; a name that two distributions bring is not usable."""
        return tuple(
            Registered(registered[0].record, registered[0].provenance)
            for (_, _), registered in sorted(self._records.items())
            if len(registered) == 1 and isinstance(registered[0].record, kind)
        )

    def get(self, kind: type[S], name: str) -> S:
        """Return the record of that kind and name, or raise :class:`PluginError` that says what there is instead."""
        registered = self._records.get((kind.kind, name), [])
        if len(registered) > 1:
            both = " and ".join(str(one.provenance) for one in registered)
            raise PluginError(f"{kind.kind} {name!r} is provided twice: by {both}", hint="uninstall one of them")
        if not registered:
            raise PluginError(f"there is no {kind.kind} {name!r}", hint=self._missing_hint(kind, name))
        record = registered[0].record
        if not isinstance(record, kind):
            raise TypeError(f"{record!r} was registered as a {kind.kind}")
        return record

    def _missing_hint(self, kind: type[PluginRecord], name: str) -> str:
        broken = [str(problem) for problem in self._problems if not problem.names or name in problem.names]
        known = ", ".join(one.record.name for one in self.all(kind)) or "none"
        if broken:
            return f"installed: {known}; broken: {'; '.join(broken)}"
        return f"installed: {known}"

    # ---- what they make ----

    def runtimes(self) -> Mapping[str, Runtime]:
        """Return every runtime, made now; importing one is cheap by contract."""
        return {
            one.record.name: resolve(one.record.factory, f"runtime {one.record.name!r}")()
            for one in self.all(RuntimePlugin)
        }

    def placement_policies(self) -> Mapping[str, PlacementPolicy]:
        """Return every placement policy by name."""
        return self._policies(PolicyKind.PLACEMENT)

    def scaling_policies(self) -> Mapping[str, ScalingPolicy]:
        """Return every scaling policy by name."""
        return self._policies(PolicyKind.SCALING)

    def _policies(self, kind: PolicyKind) -> Mapping[str, Any]:
        return {
            one.record.name: resolve(one.record.factory, f"policy {one.record.name!r}")()
            for one in self.all(PolicyPlugin)
            if one.record.decides is kind
        }

    # ---- who watches ----

    def planned(self, plan: Plan, turn: int) -> None:
        """Show a plan to every observer."""
        hook: Any = self._manager.hook
        hook.roadstead_planned(plan=plan, turn=turn)

    def applied(self, outcomes: tuple[Outcome, ...], turn: int) -> None:
        """Show what became of a plan to every observer."""
        hook: Any = self._manager.hook
        hook.roadstead_applied(outcomes=outcomes, turn=turn)


def _double(kind: str, name: str, registered: list[Registered[PluginRecord]]) -> PluginProblem:
    first, *others = (one.provenance for one in registered)
    error = f"{kind} {name!r} is also provided by {', '.join(map(str, others))}"
    return PluginProblem(provenance=first, error=error, names=(name,))


def _entry_points(found: Iterable[Distribution]) -> Iterator[tuple[Distribution, EntryPoint]]:
    seen = set()
    for distribution in found:
        for entry_point in distribution.entry_points:
            if entry_point.group == hookspecs.PROJECT and (distribution.name, entry_point.name) not in seen:
                seen.add((distribution.name, entry_point.name))
                yield distribution, entry_point
