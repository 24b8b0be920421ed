"""Where a model's files come from, in Marathon's words. Pure."""

from __future__ import annotations

import posixpath
import shlex
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from roadstead.model import Template
from roadstead_backends.marathon.app_options import AppOptions
from roadstead_backends.marathon.options import Containers

__all__ = ["ARCHIVES", "SCHEMES", "UNDIGESTED", "Source", "model_source"]

Json = dict[str, Any]

SCHEMES: Final = frozenset({"file", "http", "https", "s3", "gs"})
UNDIGESTED: Final = frozenset({"s3", "gs"})

_MODEL_DIR: Final = "/srv/roadstead/model"
ARCHIVES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")


@attrs.frozen(kw_only=True)
class Source:
    """A model's files: ``folder``, a word of the shell, and what is mounted or fetched so that they are there."""

    folder: str
    volume: Json | None = None
    fetch: Json | None = None


def model_source(template: Template, containers: Containers, options: AppOptions) -> Source:
    """Return how a template's model gets to its tasks; raises :class:`ValueError` for what Mesos cannot get."""
    model = template.model
    scheme = model.source.partition("://")[0] if "://" in model.source else "file"
    if scheme in UNDIGESTED:
        if model.digest is not None:
            raise ValueError(f"the server reads {scheme}:// by itself, and nobody can check the model's digest")
        return Source(folder=shlex.quote(model.source))
    if scheme in ("http", "https"):
        return _fetched(model.source, options)
    if scheme != "file":
        raise ValueError(f"models cannot be read from {scheme}")
    if containers is Containers.NONE:
        return Source(folder=shlex.quote(model.source))
    volume = {"containerPath": _MODEL_DIR, "hostPath": model.source, "mode": "RO"}
    return Source(folder=_MODEL_DIR, volume=volume)


def _fetched(url: str, options: AppOptions) -> Source:
    """Have the agent fetch and unpack: it goes by the name's ending, and puts all into the folder of the task."""
    name = posixpath.basename(urlsplit(url).path)
    if not name.lower().endswith(ARCHIVES):
        raise ValueError(f"{url!r} is no archive that Mesos unpacks; its name must end in one of {', '.join(ARCHIVES)}")
    fetch = {"uri": url, "extract": True, "executable": False, "cache": options.cache_model}
    return Source(folder='"$MESOS_SANDBOX"', fetch=fetch)
