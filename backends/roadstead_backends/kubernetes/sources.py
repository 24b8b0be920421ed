"""Where a model's files come from, as volumes of a pod. Pure.

The model's folder is always mounted read-only, under one name that the server's configuration knows. What is fetched,
and whatever has a digest, passes an init container first: a replica whose files are not what was declared never starts.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from roadstead.model import Template
from roadstead_backends.kubernetes.pod_options import PodOptions

__all__ = ["CONFIG_DIR", "MODEL_DIR", "Source", "model_dir", "model_source"]

Json = dict[str, Any]

MODEL_DIR: Final = "/srv/roadstead/model"
CONFIG_DIR: Final = "/srv/roadstead/config"

_VOLUME: Final = "model"
_FETCH: Final = (files("roadstead_backends.kubernetes") / "fetch_model.py").read_text(encoding="utf-8")
_FETCHED: Final = frozenset({"http", "https"})
_BY_SERVER: Final = frozenset({"s3", "gs"})


@attrs.frozen(kw_only=True)
class Source:
    """A model's files: the volume, how the server sees it, and the arguments of whoever looks at them before it.

    ``volume`` and ``mount`` are ``None`` where the server reads the source by itself, ``preparation`` where nothing is
    to be done before it starts.
    """

    volume: Json | None = None
    mount: Json | None = None
    preparation: tuple[str, ...] | None = None


def model_dir(template: Template) -> str:
    """Return the folder with the model's versions, as the server is to name it."""
    return template.model.source if _scheme(template) in _BY_SERVER else MODEL_DIR


def model_source(template: Template, options: PodOptions) -> Source:
    """Return how a template's model gets into its pods; raises :class:`ValueError` for a source that says nothing."""
    scheme, model = _scheme(template), template.model
    if scheme in _BY_SERVER:
        if model.digest is not None:
            raise ValueError(f"the server reads {scheme}:// by itself, and nobody can check the model's digest")
        return Source()
    checked = (_FETCH, model.source if scheme in _FETCHED else "", MODEL_DIR, str(model.version), model.digest or "")
    if scheme in _FETCHED:
        limit = {} if options.fetch_size is None else {"sizeLimit": str(options.fetch_size)}
        return _source({"emptyDir": limit}, preparation=checked)
    preparation = checked if model.digest is not None else None
    if scheme == "pvc":
        claim, path = _claim(model.source)
        volume = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        return _source(volume, path=path, preparation=preparation)
    if scheme == "oci":
        reference = model.source.removeprefix("oci://")
        pulled = {"pullPolicy": options.image_pull_policy.value} if options.image_pull_policy is not None else {}
        return _source({"image": {"reference": reference, **pulled}}, preparation=preparation)
    if scheme == "file":
        return _source({"hostPath": {"path": model.source, "type": "Directory"}}, preparation=preparation)
    raise ValueError(f"models cannot be read from {scheme}")


def _source(volume: Json, *, path: str = "", preparation: tuple[str, ...] | None = None) -> Source:
    mount = {"name": _VOLUME, "mountPath": MODEL_DIR, "readOnly": True}
    if path:
        mount["subPath"] = path
    return Source(volume={"name": _VOLUME, **volume}, mount=mount, preparation=preparation)


def _scheme(template: Template) -> str:
    source = template.model.source
    return source.partition("://")[0] if "://" in source else "file"


def _claim(source: str) -> tuple[str, str]:
    """Return the claim that a source names, and the folder in it.

    >>> _claim("pvc://models/minilm/large")
    ('models', 'minilm/large')
    """
    parts = urlsplit(source)
    path = parts.path.strip("/")
    if not parts.netloc or ".." in path.split("/"):
        raise ValueError(f"{source!r} does not name a claim and a folder in it; write it like pvc://claim/folder")
    return parts.netloc, path
