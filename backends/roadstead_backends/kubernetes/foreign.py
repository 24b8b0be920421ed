"""What others declared: found in a file of manifests, or in the namespace of a cluster.

A ReplicaSet that belongs to a Deployment is part of that and no object of its own here; ours are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from roadstead.spi.backend import BackendContext
from roadstead.spi.importing import Imported, ImportSource
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.connect import open_transport
from roadstead_backends.kubernetes.importing import imported

__all__ = ["imports"]

Json = dict[str, Any]

_KINDS: Final = {"Deployment": "deployments", "ReplicaSet": "replicasets"}


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
    return bool(meta.get("ownerReferences")) or names.FLEET in (meta.get("labels") or {})
