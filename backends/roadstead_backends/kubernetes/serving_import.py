"""What a foreign container serves: TensorFlow Serving's flags, and the variables that its image reads. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from roadstead.model import BatchingSpec
from roadstead_backends.kubernetes.fields import Fields

__all__ = ["Serving", "listens_on", "serving"]

Place = tuple[str | int, ...]

_GRPC: Final = "8500"
_REST: Final = "8501"
_ENTRYPOINT_BASE: Final = "/models"
"""Where the stock image looks, followed by its variable ``MODEL_NAME``, which is ``model`` by default."""

_REMOTE: Final = ("s3://", "gs://")
_FLAG: Final = re.compile(r"--?([a-z_]{3,})(?:=(.*))?", re.DOTALL)
_OURS: Final = frozenset(
    {
        *("enable_batching", "batching_parameters_file", "monitoring_config_file", "grpc_channel_arguments"),
        *("host", "memory_limit_bytes"),
        *("grpc_socket_path", "model_config_file_poll_wait_seconds", "tensorflow_session_parallelism"),
        *("max_num_load_retries", "file_system_poll_wait_seconds", "allow_version_labels_for_unavailable_models"),
    }
)


@attrs.frozen(kw_only=True)
class Serving:
    """What is served, and how."""

    name: str
    source: str
    version: int
    batching: BatchingSpec | None
    args: tuple[str, ...]


def serving(fields: Fields, at: Place, fallback: str) -> Serving | str:
    """Return what the container at ``at`` serves, or why that cannot be told."""
    flags = _flags(fields, at)
    variables = {one["name"]: one.get("value") for one in fields.get(*at, "env") or ()}
    if "model_config_file" in flags:
        return "it serves what a file says (--model_config_file): write a deployment for each model of it"
    name = flags.get("model_name") or variables.get("MODEL_NAME") or "model"
    base = flags.get("model_base_path") or f"{variables.get('MODEL_BASE_PATH') or _ENTRYPOINT_BASE}/{name}"
    source = base if base.startswith(_REMOTE) else _source(fields, at, base)
    if source is None:
        return f"its model is in {base}, which is on no volume that a fleet file can name: give it one, or write it"
    version = re.search(r"/(\d+)/?$", source)
    _note(fields, at)
    batching = BatchingSpec() if flags.get("enable_batching", "false") in ("", "true") else None
    return Serving(
        name=name or fallback,
        source=source,
        version=int(version[1]) if version is not None else 1,
        batching=batching,
        args=_passed_on(fields, at),
    )


def listens_on(fields: Fields, at: Place) -> tuple[str, str]:
    """Return the ports that the container at ``at`` listens on: gRPC, and REST."""
    flags = _flags(fields, at)
    return flags.get("port", _GRPC), flags.get("rest_api_port", _REST)


def _flags(fields: Fields, at: Place) -> Mapping[str, str]:
    """Return the flags of its command line, by name."""
    words = [*(fields.get(*at, "command") or ()), *(fields.get(*at, "args") or ())]
    found = (_FLAG.fullmatch(str(word)) for word in words)
    return {flag[1]: flag[2] or "" for flag in found if flag is not None}


def _note(fields: Fields, at: Place) -> None:
    """Note what becomes of each word of the command line, and of the variables that the stock image reads."""
    for part in ("command", "args"):
        for index, word in enumerate(fields.get(*at, part) or ()):
            flag = _FLAG.fullmatch(str(word))
            where = (*at, part, index)
            match flag and flag[1]:
                case None:
                    fields.change(*where, key="runtime", detail="the runtime's own command line takes its place")
                case "model_name":
                    fields.keep(*where, key="model.name")
                case "model_base_path":
                    fields.change(*where, key="model.source", detail=_VERSION)
                case "port" | "rest_api_port":
                    ours = _GRPC if flag is not None and flag[1] == "port" else _REST
                    fields.change(*where, key="runtime", detail=f"the port is {ours} here")
                case name if name in _OURS:
                    key = "runtime.batching" if "batching" in name else "runtime"
                    fields.change(*where, key=key, detail="the runtime sets it, from the template")
                case _:
                    fields.keep(*where, key="runtime.args")
    for index, one in enumerate(fields.get(*at, "env") or ()):
        if one["name"] in ("MODEL_NAME", "MODEL_BASE_PATH"):
            fields.change(*at, "env", index, key="model", detail=_VERSION)


_VERSION: Final = "the newest version was served; here it is one exact version, see model.version"


def _passed_on(fields: Fields, at: Place) -> tuple[str, ...]:
    known = {"model_name", "model_base_path", "port", "rest_api_port"} | _OURS
    found = []
    for word in (*(fields.get(*at, "command") or ()), *(fields.get(*at, "args") or ())):
        flag = _FLAG.fullmatch(str(word))
        if flag is not None and flag[1] not in known:
            found.append(f"--{str(word).lstrip('-')}")
    return tuple(found)


def _source(fields: Fields, at: Place, base: str) -> str | None:
    """Return the URL of a folder as the container sees it: the mount that it lies in, and what is mounted there."""
    mounts = list(enumerate(fields.get(*at, "volumeMounts") or ()))
    for index, mount in sorted(mounts, key=lambda one: -len(one[1].get("mountPath", ""))):
        root = mount.get("mountPath", "").rstrip("/")
        if base != root and not base.startswith(f"{root}/"):
            continue
        inside = posixpath.join(mount.get("subPath", ""), base[len(root) :].strip("/"))
        return _of_volume(fields, (*at, "volumeMounts", index), mount, inside)
    return None


def _of_volume(fields: Fields, at: Place, mount: Mapping[str, Any], inside: str) -> str | None:
    volumes = ("spec", "template", "spec", "volumes")
    for index, volume in enumerate(fields.get(*volumes) or ()):
        if volume.get("name") != mount.get("name"):
            continue
        source = None
        match volume:
            case {"persistentVolumeClaim": {"claimName": claim}}:
                source = f"pvc://{claim}/{inside}".rstrip("/")
            case {"hostPath": {"path": path}}:
                source = posixpath.join(path, inside).rstrip("/")
            case {"image": {"reference": reference}} if not inside:
                source = f"oci://{reference}"
        if source is not None:
            fields.keep(*volumes, index, key="model.source")
            fields.change(*at, key="model.source", detail="mounted read-only, where the runtime wants it")
        return source
    return None
