"""The pod of a foreign workload as parts of a template: resources, variables, health, stopping, placement. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from roadstead.model import (
    Constraint,
    GpuPartition,
    HealthSpec,
    Operator,
    PlacementSpec,
    Resources,
    Secret,
    Spread,
    StopSpec,
    Variable,
    WholeGpus,
)
from roadstead.units import Duration
from roadstead.wire import to_wire
from roadstead_backends.kubernetes.fields import Fields
from roadstead_backends.kubernetes.placing import ATTRIBUTES
from roadstead_backends.kubernetes.pod_options import Effect, PodOptions, PullPolicy, Toleration
from roadstead_backends.kubernetes.quantities import cpus_used, memory_used

__all__ = ["CONTAINERS", "POD", "health", "options", "placement", "resources", "stop", "variables"]

Place = tuple[str | int, ...]

POD: Final = ("spec", "template", "spec")
CONTAINERS: Final = (*POD, "containers")
_KEY: Final = "backend_options.kubernetes"
_GPU: Final = "nvidia.com/gpu"
_PARTITION: Final = "nvidia.com/mig-"
_STOCK: Final = ("MODEL_NAME", "MODEL_BASE_PATH")
_SHORT: Final = {label: short for short, label in ATTRIBUTES.items()}
_OPERATORS: Final = {"In": Operator.IN, "NotIn": Operator.NOT_IN, "Exists": Operator.EXISTS}


def resources(fields: Fields, at: Place) -> Resources:
    """Return what a replica may use: its limits, or where there are none, what it asks for."""
    found: dict[str, Any] = {}
    for name, ours in (("cpu", "cpu"), ("memory", "memory"), ("ephemeral-storage", "disk")):
        limit, asked = (fields.get(*at, "resources", part, name) for part in ("limits", "requests"))
        key = f"resources.{ours}"
        if limit is not None:
            fields.keep(*at, "resources", "limits", name, key=key)
        detail = f"what is asked for is the limit here: {limit or asked}"
        if asked is not None and asked == limit:
            fields.keep(*at, "resources", "requests", name, key=key)
        elif asked is not None:
            fields.change(*at, "resources", "requests", name, key=key, detail=detail)
        if limit or asked:
            said = str(limit or asked)
            found[ours] = cpus_used(said) if ours == "cpu" else memory_used(said)
    for name in fields.get(*at, "resources", "limits") or {}:
        if name == _GPU or name.startswith(_PARTITION):
            count = int(fields.keep(*at, "resources", "limits", name, key="resources.gpu"))
            fields.keep(*at, "resources", "requests", name, key="resources.gpu")
            found["gpu"] = WholeGpus(count=count) if name == _GPU else GpuPartition(name.removeprefix(_PARTITION))
    return Resources(**found)


def variables(fields: Fields, at: Place) -> tuple[tuple[Variable, ...], tuple[Secret, ...]]:
    """Return its environment: plain ones, and those of Secrets by reference."""
    plain: list[Variable] = []
    secret: list[Secret] = []
    for index, one in enumerate(fields.get(*at, "env") or ()):
        where = (*at, "env", index)
        match one:
            case {"name": name} if name in _STOCK:
                continue
            case {"name": str(name), "value": value}:
                fields.keep(*where, key="env")
                plain.append(Variable(name, str(value)))
            case {"name": str(name), "valueFrom": {"secretKeyRef": {"name": place, "key": key}}}:
                fields.keep(*where, key="secrets")
                secret.append(Secret(name=name, ref=f"kubernetes:{place}/{key}"))
            case _:
                fields.lose(*where, detail="only plain values and keys of Secrets stand in a fleet file")
    return tuple(sorted(plain, key=lambda one: one.name)), tuple(sorted(secret, key=lambda one: one.name))


def health(fields: Fields, at: Place) -> HealthSpec:
    """Return when a replica counts as started and ready; what is asked of it is the runtime's affair."""
    ready = fields.get(*at, "readinessProbe") or {}
    start = fields.get(*at, "startupProbe") or {}
    found: dict[str, Any] = {}
    for probe, key in (("readinessProbe", "health.every"), ("startupProbe", "health.start_within")):
        fields.change(*at, probe, key=key, detail="the runtime's own probe, as often as this one and as patient")
    fields.change(*at, "livenessProbe", key="health.failures", detail="the runtime's own probe")
    if ready:
        found["every"] = Duration(1000 * int(ready.get("periodSeconds", 10)))
        found["failures"] = int(ready.get("failureThreshold", 3))
    if start:
        seconds = int(start.get("periodSeconds", 10)) * int(start.get("failureThreshold", 3))
        found["start_within"] = Duration(1000 * (seconds + int(start.get("initialDelaySeconds", 0))))
    return HealthSpec(**found)


def stop(fields: Fields, at: Place) -> StopSpec:
    """Return how a replica is taken down: its sleep before the end is time to drain, the rest of its grace to end."""
    grace = fields.get(*POD, "terminationGracePeriodSeconds")
    sleep = fields.get(*at, "lifecycle", "preStop", "sleep", "seconds")
    if grace is None and sleep is None:
        return StopSpec()
    whole, drained = int(30 if grace is None else grace), int(sleep or 0)
    detail = "time to drain, and then to end; the cluster's own grace is a little longer"
    fields.change(*POD, "terminationGracePeriodSeconds", key="stop", detail=detail)
    fields.change(*at, "lifecycle", key="stop.drain_within", detail=detail)
    return StopSpec(
        drain_within=Duration(1000 * drained) if sleep is not None else StopSpec().drain_within,
        kill_after=Duration(1000 * max(1, whole - drained)),
    )


def placement(fields: Fields) -> PlacementSpec:
    """Return where replicas may run; preferences, and rules about other pods, have no place with us."""
    found = []
    for label, value in (fields.keep(*POD, "nodeSelector", key="placement.constraints") or {}).items():
        found.append(Constraint(attribute=_SHORT.get(label, label), operator=Operator.IN, values=(str(value),)))
    affinity = (*POD, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = fields.get(*affinity, "nodeSelectorTerms") or []
    if len(terms) == 1 and not terms[0].get("matchFields"):
        expressions = terms[0].get("matchExpressions", ())
        if all(one.get("operator") in _OPERATORS for one in expressions):
            fields.keep(*affinity, key="placement.constraints")
            found += [_constraint(one) for one in expressions]
    constraints = fields.get(*POD, "topologySpreadConstraints") or []
    spread = None
    if constraints:
        label = constraints[0].get("topologyKey", "")
        spread = Spread(by=_SHORT.get(label, label))
        detail = "evenly over all revisions, as a preference"
        fields.change(*POD, "topologySpreadConstraints", 0, key="placement.spread", detail=detail)
    return PlacementSpec(constraints=tuple(found), spread=spread)


def _constraint(expression: dict[str, Any]) -> Constraint:
    operator = _OPERATORS[expression["operator"]]
    values = () if operator is Operator.EXISTS else tuple(map(str, expression.get("values", ())))
    label = expression["key"]
    return Constraint(attribute=_SHORT.get(label, label), operator=operator, values=values)


def options(fields: Fields, at: Place) -> str:
    """Return what only Kubernetes understands, as a template carries it: empty where there is nothing."""
    found = dict(_options(fields, at))
    return json.dumps(to_wire(PodOptions(**found)), sort_keys=True, separators=(",", ":")) if found else ""


def _options(fields: Fields, at: Place) -> Iterator[tuple[str, Any]]:
    for foreign, ours in (
        ("priorityClassName", "priority_class"),
        ("serviceAccountName", "service_account"),
        ("runtimeClassName", "runtime_class"),
        ("automountServiceAccountToken", "mount_token"),
        ("shareProcessNamespace", "share_processes"),
    ):
        value = fields.keep(*POD, foreign, key=f"{_KEY}.{ours}")
        if value is not None:
            yield ours, value
    fields.keep(*POD, "serviceAccount", key=f"{_KEY}.service_account")
    if fields.get(*at, "imagePullPolicy") is not None:
        yield "image_pull_policy", PullPolicy(fields.keep(*at, "imagePullPolicy", key=f"{_KEY}.image_pull_policy"))
    secrets = fields.keep(*POD, "imagePullSecrets", key=f"{_KEY}.image_pull_secrets")
    if secrets:
        yield "image_pull_secrets", tuple(one["name"] for one in secrets)
    yield from _who(fields, at)
    tolerations = tuple(_tolerations(fields))
    if tolerations:
        yield "tolerations", tolerations
    for kind in ("labels", "annotations"):
        entries = fields.keep("spec", "template", "metadata", kind, key=f"{_KEY}.{kind}")
        if entries:
            yield kind, entries


def _who(fields: Fields, at: Place) -> Iterator[tuple[str, int]]:
    """Yield as whom the server runs; the rest of its confinement is ours."""
    for foreign, ours in (("runAsUser", "run_as_user"), ("runAsGroup", "run_as_group")):
        own = fields.keep(*at, "securityContext", foreign, key=f"{_KEY}.{ours}")
        pods = fields.keep(*POD, "securityContext", foreign, key=f"{_KEY}.{ours}")
        if own is not None or pods is not None:
            yield ours, own if own is not None else pods
    for place in ((*at, "securityContext"), (*POD, "securityContext")):
        for name in fields.get(*place) or {}:
            fields.change(*place, name, key=_KEY, detail="pods of ours are `restricted`, but for user and group")


def _tolerations(fields: Fields) -> Iterator[Toleration]:
    for index, one in enumerate(fields.get(*POD, "tolerations") or ()):
        where = (*POD, "tolerations", index)
        if one.get("tolerationSeconds") is not None or "key" not in one:
            fields.change(*where, key="health.node_lost_after", detail="how long a lost node is waited for")
            continue
        fields.keep(*where, key="backend_options.kubernetes.tolerations")
        effect = Effect(one["effect"]) if one.get("effect") else None
        value = one.get("value", "") if one.get("operator", "Equal") == "Equal" else None
        yield Toleration(key=one["key"], value=value, effect=effect)
