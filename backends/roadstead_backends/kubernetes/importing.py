"""Deployments and ReplicaSets of others that run TensorFlow Serving, as deployments of ours. Pure, but for the listing.

Every field is accounted for: kept, changed with the reason, or lost. A ReplicaSet that belongs to a Deployment is part
of that and no object of its own here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from roadstead.model import ModelSpec, RolloutSpec, RuntimeSpec, Template
from roadstead.spi.backend import BackendContext
from roadstead.spi.importing import Imported, ImportSource
from roadstead.units import Duration
from roadstead_backends.kubernetes.connect import open_transport
from roadstead_backends.kubernetes.fields import Fields
from roadstead_backends.kubernetes.pod_import import CONTAINERS, health, options, placement, resources, stop, variables
from roadstead_backends.kubernetes.serving_import import serving

__all__ = ["imported", "imports"]

Json = dict[str, Any]

_KINDS: Final = {"Deployment": "deployments", "ReplicaSet": "replicasets"}
_SERVES: Final = re.compile(r"tensorflow[/_]serving|tensorflow_model_server|tf[-_]serving")
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9-]+")


def imports(source: ImportSource) -> tuple[Imported, ...]:
    """Return what a file, or the namespace of a cluster, has to be served; raises :class:`ValueError` for no YAML."""
    return tuple(map(imported, _in_file(source.text) if source.text is not None else _live(source)))


def _in_file(text: str) -> Iterator[Json]:
    try:
        documents = [one for one in yaml.safe_load_all(text) if isinstance(one, dict)]
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {error}") from error
    for document in documents:
        for one in document.get("items") or [document]:
            if one.get("kind") in _KINDS and not _is_part(one):
                yield one


def _live(source: ImportSource) -> Iterator[Json]:
    context = BackendContext(
        cluster="live", fleet="", owner_id="", options=source.options, scheduling=None, root=Path()
    )
    transport, namespace = open_transport(context)
    try:
        for kind, plural in _KINDS.items():
            answer = transport.call("GET", f"/apis/apps/v1/namespaces/{namespace}/{plural}", subject=plural)
            for one in yaml.safe_load(answer.body)["items"]:
                if not _is_part(one):
                    yield {**one, "kind": kind}
    finally:
        transport.close()


def _is_part(document: Json) -> bool:
    """Return whether somebody else looks after an object: a Deployment after its ReplicaSets, and we after ours."""
    meta = document.get("metadata", {})
    return bool(meta.get("ownerReferences")) or "roadstead.dev/fleet" in (meta.get("labels") or {})


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
