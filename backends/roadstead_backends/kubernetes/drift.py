"""What somebody else has changed of an object, found by comparing it with the rendering that it carries. Pure.

What the API server adds to what we wrote are defaults, in fields that we left out: no drift. But in a list or map that
we wrote, every entry is either ours or a stranger's: there, what was added counts too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from roadstead_backends.kubernetes.quantities import exact

__all__ = ["Difference", "changed_by", "changed_since", "differences", "said", "value_at"]

Json = Any

_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "claims": "name",
    "items": "path",
}
"""Lists whose entries are told apart by a field; any other list is one value, in its order."""

_OPEN: Final = frozenset({"labels", "annotations", "limits", "requests", "matchLabels", "nodeSelector"})
"""Maps in which every key is somebody's word."""

_AMOUNTS: Final = frozenset({"limits", "requests"})
_STEP: Final = re.compile(r"\[([^\]]*)\]|([^.\[]+)")


@attrs.frozen
class Difference:
    """One field that is not as we wrote it; a value is ``None`` where there is none."""

    path: str
    ours: Json
    theirs: Json


def differences(ours: Json, theirs: Json, path: str) -> Iterator[Difference]:
    """Yield what of ``ours`` is otherwise in ``theirs``; ``path`` is where both stand."""
    yield from _of(ours, theirs, path, path.rpartition(".")[2])


def _of(ours: Json, theirs: Json, path: str, name: str) -> Iterator[Difference]:
    if theirs is None and not ours:
        return  # nothing, an empty list and a zero are all left out on the wire
    if isinstance(ours, dict) and isinstance(theirs, dict):
        yield from _of_maps(ours, theirs, path, name)
    elif isinstance(ours, list) and isinstance(theirs, list) and name in _KEYS:
        yield from _of_keyed(ours, theirs, path, _KEYS[name])
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _of(one, other, f"{path}[{number}]", name)
    elif ours != theirs:
        yield Difference(path, ours, theirs)


def _of_maps(ours: Mapping[str, Json], theirs: Mapping[str, Json], path: str, name: str) -> Iterator[Difference]:
    for key, value in sorted(ours.items()):
        other = theirs.get(key)
        if name in _AMOUNTS and isinstance(other, str) and _is_same_amount(value, other):
            continue
        yield from _of(value, other, _below(path, key, name), key)
    if name in _OPEN:
        for key in sorted(theirs.keys() - ours.keys()):
            yield Difference(_below(path, key, name), None, theirs[key])


def _of_keyed(ours: Sequence[Json], theirs: Sequence[Json], path: str, key: str) -> Iterator[Difference]:
    mine, others = ({str(one.get(key)): one for one in many} for many in (ours, theirs))
    for name, value in mine.items():
        if name in others:
            yield from _of(value, others[name], f"{path}[{name}]", "")
        else:
            yield Difference(f"{path}[{name}]", value, None)
    for name in others.keys() - mine.keys():
        yield Difference(f"{path}[{name}]", None, others[name])


def _below(path: str, key: str, name: str) -> str:
    """Return the path of a key; one that is a person's word, and may have dots in it, is put in brackets."""
    return f"{path}[{key}]" if name in _OPEN and not key.isalnum() else f"{path}.{key}"


def _is_same_amount(ours: str, theirs: str) -> bool:
    try:
        return exact(ours) == exact(theirs)
    except ValueError:
        return False


def value_at(document: Json, path: str) -> Json:
    """Return what stands at a path of `differences` in a document; ``None`` where nothing does.

    >>> value_at({"containers": [{"name": "server", "image": "a"}]}, "containers[server].image")
    'a'
    """
    last = ""
    for step in _STEP.finditer(path):
        inner, name = step[1], step[2]
        if name is not None:
            document = document.get(name) if isinstance(document, dict) else None
            last = name
        elif isinstance(document, list) and last in _KEYS:
            document = next((one for one in document if str(one.get(_KEYS[last])) == inner), None)
            last = ""
        elif isinstance(document, list):
            document = document[int(inner)] if inner.isdecimal() and int(inner) < len(document) else None
        else:
            document = document.get(inner) if isinstance(document, dict) else None
    return document


def said(value: Json) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def changed_by(managed: Sequence[Mapping[str, Json]], ours: frozenset[str]) -> str:
    """Return who, besides ``ours``, wrote to the template last, by the object's managed fields; empty for nobody."""
    entry = _last_stranger(managed, ours)
    return str(entry.get("manager", "")) if entry is not None else ""


def changed_since(managed: Sequence[Mapping[str, Json]], ours: frozenset[str]) -> str:
    """Return when that was, as the API server writes a moment; empty where nobody did."""
    entry = _last_stranger(managed, ours)
    return str(entry.get("time", "")) if entry is not None else ""


def _last_stranger(managed: Sequence[Mapping[str, Json]], ours: frozenset[str]) -> Mapping[str, Json] | None:
    strangers = [
        entry
        for entry in managed
        if entry.get("manager") not in ours and not entry.get("subresource") and entry.get("fieldsV1")
    ]
    of_template = [one for one in strangers if "f:template" in (one["fieldsV1"].get("f:spec") or {})]
    return max(of_template or strangers, key=lambda one: str(one.get("time", "")), default=None)
