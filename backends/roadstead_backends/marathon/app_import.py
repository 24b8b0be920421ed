"""A foreign app as parts of a template: resources, variables, health, stopping, placement, options. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from roadstead.model import (
    Constraint,
    HealthSpec,
    Operator,
    PlacementSpec,
    Resources,
    RolloutSpec,
    Spread,
    StopSpec,
    Variable,
    WholeGpus,
)
from roadstead.spi.fields import Fields
from roadstead.units import Cpus, Duration, Memory
from roadstead.wire import to_wire
from roadstead_backends.marathon.app_options import AppOptions, HostMount, Network
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.placing import ATTRIBUTES
from roadstead_backends.marathon.serving_import import Serving

__all__ = ["health", "options", "placement", "resources", "rollout", "stop", "variables"]

_KEY: Final = "backend_options.marathon"
_MIB: Final = 1024**2
_LEAST_HANGING_S: Final = 30
_LONGEST: Final = Duration(168 * 3600 * 1000)
_SHORT: Final = {field: short for short, field in ATTRIBUTES.items()} | {"hostname": "hostname"}
_ONE_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9_]|\\[^A-Za-z0-9]|[^\\.|()\[\]{}*+?^$])+")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_ALTERNATIVES: Final = re.compile(r"(?:[^\\|]|\\.)+", re.DOTALL)
_OF_THE_RUNTIME: Final = {"CUDA_VISIBLE_DEVICES": "-1", "OPENBLAS_NUM_THREADS": "1"}
"""Variables that the runtime sets by itself, where these are their values."""


def resources(fields: Fields, found: PlacementSpec, cluster: MarathonOptions) -> tuple[Resources, PlacementSpec]:
    """Return what a task may use, and the placement without what was a rule about GPUs."""
    cpus, mem = fields.keep("cpus", key="resources.cpu"), fields.keep("mem", key="resources.memory")
    disk, gpus = fields.keep("disk", key="resources.disk"), int(fields.keep("gpus", key="resources.gpu") or 0)
    limits = "what is asked for is the limit here"
    fields.change("resourceLimits", key="resources", detail=limits)
    models = [one for one in found.constraints if gpus and one.attribute == cluster.gpu_attribute]
    named = models[0].values if len(models) == 1 and models[0].operator is Operator.IN else ()
    if named:
        left = tuple(one for one in found.constraints if one is not models[0])
        found = PlacementSpec(constraints=left, spread=found.spread)
    amounts = Resources(
        cpu=Cpus(round(1000 * float(1 if cpus is None else cpus))),
        memory=Memory(round(_MIB * float(128 if mem is None else mem))),
        disk=Memory(round(_MIB * float(disk or 0))),
        gpu=WholeGpus(count=gpus, models=named) if gpus else None,
    )
    return amounts, found


def variables(fields: Fields) -> tuple[Variable, ...]:
    """Return its environment, without what the runtime says anyway."""
    found = []
    for name, value in (fields.get("env") or {}).items():
        if not isinstance(value, str):
            fields.lose("env", name, detail="a secret of Marathon's: see `secrets`, on clusters that keep some")
        elif _OF_THE_RUNTIME.get(name) == value:
            fields.change("env", name, key="runtime", detail="the runtime sets it")
        elif name not in ("MODEL_NAME", "MODEL_BASE_PATH"):
            fields.keep("env", name, key="env")
            found.append(Variable(name, value))
    return tuple(sorted(found, key=lambda one: one.name))


def health(fields: Fields) -> HealthSpec:
    """Return when a task counts as started, ready and lost; what it is asked is the runtime's affair."""
    found: dict[str, Any] = {}
    checks = fields.get("healthChecks") or ()
    detail = "the runtime's own probe, as often as this one and as patient"
    if checks:
        fields.change("healthChecks", 0, key="health", detail=detail)
        found["every"] = _seconds(checks[0].get("intervalSeconds", 60), least=0.1)
        found["start_within"] = _seconds(checks[0].get("gracePeriodSeconds", 300), least=1)
        failures = _failures(checks[0])
        if failures:
            found["failures"] = failures
    for index in range(1, len(checks)):
        fields.lose("healthChecks", index, detail="a server has one probe here, the runtime's own")
    fields.change("readinessChecks", key="health", detail="the runtime asks whether the model is available")
    fields.lose("check", detail="a server has one probe here, the runtime's own")
    found["node_lost_after"] = _node_lost(fields)
    return HealthSpec(**found)


def _failures(check: Mapping[str, Any]) -> int | None:
    """Return how many bad answers make one unready, ``None`` where that is not said.

    Agents are never asked for less patience than :mod:`roadstead_backends.marathon.checks` has, so that says nothing.
    """
    said = int(check.get("maxConsecutiveFailures", 3))
    every = max(1, int(check.get("intervalSeconds", 60)))
    is_least = check.get("protocol") == "MESOS_TCP" and said == -(-_LEAST_HANGING_S // every)
    return None if said == 0 or is_least else said


def _node_lost(fields: Fields) -> Duration:
    """Return how long a lost agent is waited for, until another task is started instead: not at all, if nothing says.

    Mesos itself takes its time until it says that an agent is lost.
    """
    said = fields.get("unreachableStrategy")
    key = "health.node_lost_after"
    if said == "disabled":
        fields.change("unreachableStrategy", key=key, detail=f"never; {_LONGEST} is the longest here")
        return _LONGEST
    if not isinstance(said, Mapping):
        return Duration(0)
    inactive, expunge = said.get("inactiveAfterSeconds", 0), said.get("expungeAfterSeconds", 0)
    if inactive == expunge:
        fields.keep("unreachableStrategy", key=key)
    else:
        fields.change("unreachableStrategy", key=key, detail=f"replaced and forgotten after {inactive}s")
    return min(_seconds(inactive), _LONGEST, key=lambda one: one.ms)


def stop(fields: Fields) -> StopSpec:
    """Return how a task is taken down; how long requests in flight may take, Marathon does not say."""
    grace = fields.keep("taskKillGracePeriodSeconds", key="stop.kill_after")
    return StopSpec() if grace is None else StopSpec(kill_after=_seconds(grace))


def placement(fields: Fields) -> PlacementSpec:
    """Return where tasks may run: rules about values of attributes, and one spread."""
    found, spread = [], None
    for index, rule in enumerate(fields.get("constraints") or ()):
        at = ("constraints", index)
        field, operator, value = (*map(str, rule), "", "")[:3]
        if field in ("zone", "region"):
            fields.lose(*at, detail=f"{field} is the agents' fault domain here (@{field}), not an attribute of theirs")
            continue
        attribute = _SHORT.get(field, field)
        one = _constraint(attribute, operator.upper(), value)
        if one is not None:
            fields.keep(*at, key="placement.constraints")
            found.append(one)
            continue
        wanted = _spread(attribute, operator.upper(), value)
        if wanted is None or spread is not None:
            fields.lose(*at, detail=_why_lost(operator.upper(), is_second=wanted is not None))
            continue
        spread = wanted
        if spread.max_per is None:
            fields.change(*at, key="placement.spread", detail="evenly over all revisions, as a preference")
        else:
            fields.keep(*at, key="placement.spread", detail="over all revisions")
    return PlacementSpec(constraints=tuple(found), spread=spread)


def _constraint(attribute: str, operator: str, value: str) -> Constraint | None:
    if operator == "IS" or (operator == "CLUSTER" and value):
        return Constraint(attribute=attribute, operator=Operator.IN, values=(value,))
    if operator == "LIKE" and value == ".*":
        return Constraint(attribute=attribute, operator=Operator.EXISTS)
    values = _literals(value)
    if operator == "LIKE":
        named = Operator.MATCHES if values is None else Operator.IN
        return Constraint(attribute=attribute, operator=named, values=values or (value,))
    if operator == "UNLIKE" and values is not None:
        return Constraint(attribute=attribute, operator=Operator.NOT_IN, values=values)
    return None


def _literals(pattern: str) -> tuple[str, ...] | None:
    r"""Return the values that a pattern lists, ``None`` where it does more than that.

    >>> _literals(r"a\.b|c"), _literals("rack-[0-9]")
    (('a.b', 'c'), None)
    """
    found = _ALTERNATIVES.findall(pattern)
    if "|".join(found) != pattern or not all(_ONE_LITERAL.fullmatch(one) for one in found):
        return None
    return tuple(_ESCAPED.sub(r"\1", one) for one in found)


def _spread(attribute: str, operator: str, value: str) -> Spread | None:
    match operator:
        case "UNIQUE":
            return Spread(by=attribute, max_per=1)
        case "MAX_PER" if value.isdecimal() and int(value):
            return Spread(by=attribute, max_per=int(value))
        case "GROUP_BY":
            return Spread(by=attribute)
        case _:
            return None


def _why_lost(operator: str, *, is_second: bool) -> str:
    if is_second:
        return "one spread is all that a deployment has"
    if operator == "CLUSTER":
        return "where the first one is, whatever that is: name the value, with `in`"
    return "a pattern that must not match has no place in a fleet file: name the values, with `not_in`"


def rollout(fields: Fields, instances: int) -> RolloutSpec:
    """Return how revisions replace each other: shares of all instances are numbers here, as Marathon rounds them."""
    said = fields.get("upgradeStrategy")
    if not isinstance(said, Mapping) or _is_usual(said):
        detail = "Marathon's default, all of them at once, is one at a time here"
        fields.change("upgradeStrategy", key="rollout", detail=detail)
        return RolloutSpec()
    healthy, over = float(said.get("minimumHealthCapacity", 1)), float(said.get("maximumOverCapacity", 1))
    least = -int(-instances * healthy // 1)
    surge, unavailable = int(instances * (1 + over)) - instances, instances - least
    detail = f"{healthy:g} and {over:g} of {instances} are {unavailable} unavailable and {surge} more"
    fields.change("upgradeStrategy", key="rollout", detail=detail)
    if not surge and not unavailable:
        surge = 1
    return RolloutSpec(max_surge=surge, max_unavailable=unavailable)


def _is_usual(said: Mapping[str, Any]) -> bool:
    return said.get("minimumHealthCapacity") == 1 and said.get("maximumOverCapacity") == 1


def options(fields: Fields, served: Serving) -> str:
    """Return what only Marathon understands, as a template carries it: empty where there is nothing."""
    found = dict(_options(fields, served))
    wire = to_wire(AppOptions(**found))
    return json.dumps(wire, sort_keys=True, separators=(",", ":"), ensure_ascii=True) if wire else ""


def _options(fields: Fields, served: Serving) -> Iterator[tuple[str, Any]]:
    if served.command:
        yield "command", served.command
    if served.caches:
        yield "cache_model", True
    if fields.keep("container", "docker", "forcePullImage", key=f"{_KEY}.force_pull"):
        yield "force_pull", True
    yield from _roles(fields)
    yield from _patience(fields)
    yield from _network(fields)
    mounts = tuple(_mounts(fields, served.model.source))
    if mounts:
        yield "host_mounts", mounts
    labels = fields.keep("labels", key=f"{_KEY}.labels")
    if labels:
        yield "labels", {str(name): str(value) for name, value in labels.items()}


def _roles(fields: Fields) -> Iterator[tuple[str, Any]]:
    role = fields.keep("role", key=f"{_KEY}.role")
    if role not in (None, "*"):
        yield "role", str(role)
    accepted = fields.keep("acceptedResourceRoles", key=f"{_KEY}.accepted_roles")
    if accepted:
        yield "accepted_roles", tuple(map(str, accepted))


def _patience(fields: Fields) -> Iterator[tuple[str, Any]]:
    """Yield how long a task that failed is not started again."""
    for field, ours in (("backoffSeconds", "backoff"), ("maxLaunchDelaySeconds", "max_launch_delay")):
        seconds = fields.keep(field, key=f"{_KEY}.{ours}")
        if seconds is not None:
            yield ours, _seconds(seconds)
    factor = fields.keep("backoffFactor", key=f"{_KEY}.backoff_percent")
    if factor is not None:
        yield "backoff_percent", max(100, round(100 * float(factor)))


def _network(fields: Fields) -> Iterator[tuple[str, Any]]:
    """Yield the network: as it is said since 1.5, or within `docker` before."""
    mode = fields.keep("networks", 0, "mode", key=f"{_KEY}.network") or "host"
    before = fields.keep("container", "docker", "network", key=f"{_KEY}.network")
    name = fields.keep("networks", 0, "name", key=f"{_KEY}.network_name")
    for index in range(1, len(fields.get("networks") or ())):
        fields.lose("networks", index, detail="one network is all that a deployment has")
    if mode == "container/bridge" or before == "BRIDGE":
        yield "network", Network.BRIDGE
    elif mode == "container" or before == "USER":
        yield "network", Network.CONTAINER
        if name is not None:
            yield "network_name", str(name)


def _mounts(fields: Fields, source: str) -> Iterator[HostMount]:
    for index, one in enumerate(fields.get("container", "volumes") or ()):
        at = ("container", "volumes", index)
        host, path = one.get("hostPath"), one.get("containerPath")
        if not host or not path:
            fields.lose(*at, detail="only folders of agents can be mounted")
        elif one.get("mode") != "RO":
            if not _holds(str(host), source):
                fields.lose(*at, detail="folders of agents are read-only here")
        elif not _holds(str(host), source):
            fields.keep(*at, key=f"{_KEY}.host_mounts")
            yield HostMount(host_path=str(host), path=str(path))


def _holds(folder: str, source: str) -> bool:
    return source == folder or source.startswith(f"{folder.rstrip('/')}/")


def _seconds(count: float, *, least: float = 0) -> Duration:
    return Duration(round(1000 * max(least, float(count))))
