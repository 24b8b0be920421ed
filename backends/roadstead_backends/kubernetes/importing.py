"""Deployments and ReplicaSets of others that run TensorFlow Serving, as deployments of ours. Pure.

Every field is accounted for: kept, changed with the reason, or lost.
"""

from __future__ import annotations

import re
from typing import Any, Final

from roadstead.model import ModelSpec, RolloutSpec, RuntimeSpec, Template
from roadstead.spi.importing import Imported
from roadstead.units import Duration
from roadstead_backends.kubernetes.fields import Fields
from roadstead_backends.kubernetes.pod_import import CONTAINERS, health, options, placement, resources, stop, variables
from roadstead_backends.kubernetes.serving_import import listens_on, serving

__all__ = ["imported", "ports_of"]

Json = dict[str, Any]

_SERVES: Final = re.compile(r"tensorflow[/_]serving|tensorflow_model_server|tf[-_]serving")
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9-]+")


def imported(document: Json) -> Imported:
    """Return one object as what we would declare, with an account of its fields."""
    fields = Fields(document)
    name = str(fields.get("metadata", "name") or "")
    native = f"{str(document['kind']).lower()}/{name}"
    index = _server(fields)
    if index is None:
        return Imported(native=native, name=_name(name), refused="none of its containers runs TensorFlow Serving")
    at = (*CONTAINERS, index)
    said = serving(fields, at, _name(name))
    if isinstance(said, str):
        return Imported(native=native, name=_name(name), refused=said)
    env, secrets = variables(fields, at)
    template = Template(
        model=ModelSpec(name=said.name, source=said.source, version=said.version),
        runtime=RuntimeSpec(
            engine="tensorflow_model_server",
            image=fields.keep(*at, "image", key="runtime.image"),
            batching=said.batching,
            args=said.args,
        ),
        resources=resources(fields, at),
        env=env,
        secrets=secrets,
        health=health(fields, at),
        stop=stop(fields, at),
        placement=placement(fields),
        backend_options=options(fields, at),
    )
    replicas = fields.keep("spec", "replicas", key="replicas")
    return Imported(
        native=native,
        name=_name(name),
        template=template,
        replicas=1 if replicas is None else int(replicas),
        rollout=_rollout(fields),
        fields=fields.account(),
    )


def ports_of(document: Json) -> str:
    """Return where the server of an object listens, gRPC and then REST, as in ``8500,8501``."""
    fields = Fields(document)
    index = _server(fields)
    return ",".join(listens_on(fields, (*CONTAINERS, index))) if index is not None else ""


def _server(fields: Fields) -> int | None:
    """Return which of the containers serves the model."""
    for index, container in enumerate(fields.get(*CONTAINERS) or ()):
        words = [container.get("image", ""), *container.get("command", ()), *container.get("args", ())]
        if any(_SERVES.search(str(word)) for word in words):
            return index
    return None


def _rollout(fields: Fields) -> RolloutSpec:
    found = RolloutSpec()
    changes: dict[str, Any] = {}
    if fields.get("spec", "strategy", "type") == "RollingUpdate":
        fields.keep("spec", "strategy", "type", key="rollout.strategy")
    elif fields.get("spec", "strategy", "type") is not None:
        fields.change("spec", "strategy", "type", key="rollout.strategy", detail="set it to recreate yourself")
    for foreign, ours in (("maxSurge", "max_surge"), ("maxUnavailable", "max_unavailable")):
        path = ("spec", "strategy", "rollingUpdate", foreign)
        value = fields.get(*path)
        if isinstance(value, int):
            changes[ours] = fields.keep(*path, key=f"rollout.{ours}")
        elif value is not None:
            detail = f"{value} of the replicas: a number here, {getattr(found, ours)} until you say another"
            fields.change(*path, key=f"rollout.{ours}", detail=detail)
    if fields.get("spec", "progressDeadlineSeconds") is not None:
        seconds = fields.keep("spec", "progressDeadlineSeconds", key="rollout.progress_deadline")
        changes["progress_deadline"] = Duration(int(seconds) * 1000)
    if fields.get("spec", "revisionHistoryLimit") is not None:
        changes["history"] = min(100, int(fields.keep("spec", "revisionHistoryLimit", key="rollout.history")))
    if not changes.get("max_surge", found.max_surge) and not changes.get("max_unavailable", found.max_unavailable):
        changes["max_surge"] = 1
    fields.change("spec", "minReadySeconds", key="health.every", detail="proven after `every` times `failures`")
    return RolloutSpec(**changes)


def _name(text: str) -> str:
    """Return the nearest name that a deployment may have.

    >>> _name("Models.v2"), _name("7b")
    ('models-v2', 'm-7b')
    """
    name = _NOT_IN_A_NAME.sub("-", text.lower()).strip("-")[:33].strip("-")
    return name if name[:1].isalpha() else f"m-{name}".rstrip("-")
