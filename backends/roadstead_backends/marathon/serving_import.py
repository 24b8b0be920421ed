"""What a foreign app serves: the model, where its files come from, and how its server is told so. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from roadstead.model import BatchingSpec, ModelSpec, RuntimeSpec
from roadstead.spi.fields import Fields
from roadstead.units import Duration
from roadstead_backends.marathon.ports_import import Ports, ports_of
from roadstead_backends.marathon.sources import ARCHIVES
from roadstead_backends.marathon.starting import EMBEDDED, SANDBOX, Starting, by_image, by_words, is_server, of_command

__all__ = ["Serving", "serving"]

Json = dict[str, Any]

_PROGRAM: Final = "tensorflow_model_server"
_STOCK_BASE: Final = "/models"
"""Where the stock image looks, followed by its variable ``MODEL_NAME``, which is ``model`` by default."""

_REMOTE: Final = ("s3://", "gs://")
_NEWEST: Final = "the newest version was served; here it is one exact version, see model.version"
_TAKES_ITS_PLACE: Final = "the runtime's own command line takes its place"
_CONFIG: Final = f"{SANDBOX}/config/"

_OF_MODEL: Final = frozenset({"model_name", "model_base_path", "model_config_file"})
_OURS: Final = _OF_MODEL | {
    *("port", "rest_api_port", "host", "memory_limit_bytes", "grpc_channel_arguments", "grpc_socket_path"),
    *("enable_batching", "batching_parameters_file", "monitoring_config_file"),
    *("model_config_file_poll_wait_seconds", "file_system_poll_wait_seconds"),
    *("tensorflow_session_parallelism", "max_num_load_retries"),
}
"""Flags that the runtime sets, from the rest of the template."""

_ENTRY: Final = re.compile(r"\bconfig\s*[:{]")
_TEXT: Final = r"\"((?:[^\"\\]|\\.)*)\""
_NAME: Final = re.compile(rf"\bname\s*:\s*{_TEXT}")
_BASE: Final = re.compile(rf"\bbase_path\s*:\s*{_TEXT}")
_VERSIONS: Final = re.compile(r"\bversions\s*:\s*(\d+)")
_BATCH: Final = re.compile(
    r"\b(max_batch_size|batch_timeout_micros|num_batch_threads|max_enqueued_batches)\s*\{\s*value\s*:\s*(\d+)"
)


@attrs.frozen(kw_only=True)
class Serving:
    """What is served and how.

    ``knows_version`` is false where the server takes the newest one. ``command`` is what runs before the flags, where
    that is not what the runtime runs by itself. ``caches`` is whether agents keep what they fetched.
    """

    model: ModelSpec
    runtime: RuntimeSpec
    ports: Ports
    knows_version: bool
    command: tuple[str, ...] = ()
    caches: bool = False


def serving(fields: Fields) -> Serving | str:
    """Return what an app serves, or why that cannot be told."""
    environment = {name: value for name, value in (fields.get("env") or {}).items() if isinstance(value, str)}
    image = fields.get("container", "docker", "image") or ""
    started = _started(fields, environment, image)
    if isinstance(started, str):
        return started
    known = _model(started, environment, image)
    if isinstance(known, str):
        return known
    source = _source(fields, known.base, started.folder, image)
    if source.refused:
        return source.refused
    _note_command(fields, started)
    _note_variables(fields, started, image)
    version = 1 if known.version is None else known.version
    engine = "embedded" if EMBEDDED in started.program or started.flag("host") is not None else _PROGRAM
    return Serving(
        model=ModelSpec(name=known.name, source=source.url, version=version, digest=started.digest),
        runtime=RuntimeSpec(
            engine=engine,
            image=fields.keep("container", "docker", "image", key="runtime.image"),
            batching=_batching(started),
            args=tuple(_as_a_template_has_it(word) for name, _, word in started.flags if name not in _OURS),
        ),
        ports=ports_of(fields, started.flag("port"), started.flag("rest_api_port"), stock=by_image(image)),
        knows_version=known.version is not None,
        command=_command(started),
        caches=source.caches,
    )


# ---- how it is started ----


def _started(fields: Fields, environment: Mapping[str, str], image: str) -> Starting | str:
    command, arguments = fields.get("cmd"), fields.get("args")
    try:
        if command:
            return of_command(str(command), environment)
    except ValueError as error:
        return f"its command cannot be read: {error}"
    words = [str(word) for word in arguments or ()]
    if is_server(words) or by_image(image):
        return by_words(words)
    return "neither its command nor its image is TensorFlow Serving"


def _command(started: Starting) -> tuple[str, ...]:
    """Return the words before the flags; empty where the runtime would run the same."""
    is_usual = not started.program or EMBEDDED in started.program or started.program == (_PROGRAM,)
    return () if is_usual else started.program


def _note_command(fields: Fields, started: Starting) -> None:
    """Note what becomes of a command; arguments by themselves are accounted for one by one."""
    unsaid = [*started.besides, *started.odd]
    detail = f"{_TAKES_ITS_PLACE}; not carried over: {'; '.join(unsaid)}" if unsaid else _TAKES_ITS_PLACE
    fields.change("cmd", key="runtime", detail=detail)
    flags = {word: name for name, _, word in started.flags}
    for index, word in enumerate(fields.get("args") or ()):
        match flags.get(str(word)):
            case None:
                fields.change("args", index, key="runtime", detail=_TAKES_ITS_PLACE)
            case "model_name":
                fields.keep("args", index, key="model.name")
            case "model_base_path":
                fields.change("args", index, key="model.source", detail=_NEWEST)
            case name if name in _OURS:
                fields.change("args", index, key="runtime", detail="the runtime sets it, from the template")
            case _:
                fields.keep("args", index, key="runtime.args")


def _note_variables(fields: Fields, started: Starting, image: str) -> None:
    """Note the variables that a stock image reads, where it does."""
    if by_image(image) and not started.program:
        for name in ("MODEL_NAME", "MODEL_BASE_PATH"):
            fields.change("env", name, key="model", detail=_NEWEST)


def _as_a_template_has_it(word: str) -> str:
    """Return a flag as a template has it: the folder of the generated files is the backend's to choose."""
    return f"--{word.lstrip('-')}".replace(_CONFIG, "$(CONFIG_DIR)/")


# ---- which model ----


@attrs.frozen
class _Model:
    name: str
    base: str
    version: int | None


def _model(started: Starting, environment: Mapping[str, str], image: str) -> _Model | str:
    file = started.flag("model_config_file")
    if file is not None:
        text = started.files.get(posixpath.join(started.folder, file))
        if text is None:
            return f"it serves what a file says ({file}): write a deployment for each model of it"
        return _model_of_file(text)
    name, base = started.flag("model_name"), started.flag("model_base_path")
    if by_image(image) and not started.program:
        name = name or environment.get("MODEL_NAME") or "model"
        base = base or f"{environment.get('MODEL_BASE_PATH') or _STOCK_BASE}/{name}"
    if base is None:
        return "nothing says where its model is (--model_base_path)"
    return _Model(name or "default", base, None)


def _model_of_file(text: str) -> _Model | str:
    name, base, versions = _NAME.search(text), _BASE.search(text), _VERSIONS.findall(text)
    models = len(_ENTRY.findall(text))
    if models != 1 or name is None or base is None:
        return f"it serves {models} models: write a deployment for each"
    if len(versions) > 1:
        return f"it serves {len(versions)} versions of its model: write a deployment for each"
    return _Model(json.loads(f'"{name[1]}"'), json.loads(f'"{base[1]}"'), int(versions[0]) if versions else None)


def _batching(started: Starting) -> BatchingSpec | None:
    if started.flag("enable_batching") not in ("", "true"):
        return None
    file = started.flag("batching_parameters_file")
    text = started.files.get(posixpath.join(started.folder, file or ""), "")
    said = {name: int(value) for name, value in _BATCH.findall(text)}
    usual = BatchingSpec()
    return BatchingSpec(
        max_batch_size=said.get("max_batch_size", usual.max_batch_size),
        timeout=Duration(said["batch_timeout_micros"] // 1000) if "batch_timeout_micros" in said else usual.timeout,
        threads=said.get("num_batch_threads", usual.threads),
        max_enqueued=said.get("max_enqueued_batches", usual.max_enqueued),
    )


# ---- where its files come from ----


@attrs.frozen(kw_only=True)
class _Source:
    url: str = ""
    caches: bool = False
    refused: str = ""


def _source(fields: Fields, base: str, folder: str, image: str) -> _Source:
    """Return the URL or path of a model's folder as its server sees it, with what becomes of mounts and archives."""
    if base.startswith(_REMOTE):
        return _Source(url=base)
    path = posixpath.normpath(posixpath.join(folder, base.removeprefix("file://")))
    if "$" in path:
        return _Source(refused=f"its model is in {base}, and nothing says what that is")
    if path == SANDBOX or path.startswith(f"{SANDBOX}/"):
        return _fetched(fields, base, posixpath.relpath(path, SANDBOX))
    mounted = _mounted(fields, path)
    if mounted is not None:
        return _Source(url=mounted)
    if image:
        what = "which is in its image, or on a volume that a fleet file cannot name: give it a folder of the agents"
        return _Source(refused=f"its model is in {base}, {what}")
    return _Source(url=path)


def _mounted(fields: Fields, path: str) -> str | None:
    mounts = list(enumerate(fields.get("container", "volumes") or ()))
    for index, mount in sorted(mounts, key=lambda one: -len(one[1].get("containerPath", ""))):
        root, host = mount.get("containerPath", "").rstrip("/"), mount.get("hostPath")
        if not root or (path != root and not path.startswith(f"{root}/")):
            continue
        if not host:
            return None
        fields.change("container", "volumes", index, key="model.source", detail="mounted read-only, where it is wanted")
        return posixpath.join(host, path[len(root) :].strip("/")).rstrip("/")
    return None


def _fetched(fields: Fields, base: str, inside: str) -> _Source:
    archives = [one for one in _fetches(fields) if one.extracts]
    if len(archives) != 1:
        return _Source(
            refused=f"its model is in {base}, and {len(archives)} of the files that it fetches could be that"
        )
    (found,) = archives
    if urlsplit(found.uri).scheme not in ("http", "https"):
        return _Source(refused=f"its model is fetched from {found.uri}, which only agents of Mesos can do")
    where = f"its versions must lie at the top of the archive, not in {inside}"
    if inside == ".":
        fields.keep(*found.at, key="model.source")
    else:
        fields.change(*found.at, key="model.source", detail=where)
    return _Source(url=found.uri, caches=found.caches)


@attrs.frozen(kw_only=True)
class _Fetch:
    uri: str
    at: tuple[str | int, ...]
    extracts: bool
    caches: bool = False


def _fetches(fields: Fields) -> Iterator[_Fetch]:
    """Yield what agents fetch for a task, as Marathon says it since 1.5, and before."""
    for index, one in enumerate(fields.get("fetch") or ()):
        uri = str(one.get("uri", ""))
        extracts = one.get("extract", True) and _is_archive(uri)
        yield _Fetch(uri=uri, at=("fetch", index), extracts=extracts, caches=bool(one.get("cache", False)))
    for index, uri in enumerate(fields.get("uris") or ()):
        yield _Fetch(uri=str(uri), at=("uris", index), extracts=_is_archive(str(uri)))


def _is_archive(uri: str) -> bool:
    return urlsplit(uri).path.lower().endswith(ARCHIVES)
