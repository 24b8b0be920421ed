"""What somebody else has changed of an app, found by comparing it with the rendering that it carries. Pure.

Marathon writes defaults into what we left out, and ports into what we left to it: no drift; nor is the order of what it
keeps as a set, and what we wrote twice is there once. But where we wrote a list, or a map in which every key is
somebody's word, all that was added counts. What we leave out because it is empty, and what we never write, is compared
with what it is when nobody has said anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from roadstead.world import Drift

__all__ = ["differences", "drift_of"]

Json = Any

_OPEN: Final = frozenset({"labels", "env"})
"""Maps in which every key is somebody's word."""

_SETS: Final = frozenset({"constraints", "acceptedResourceRoles", "dependencies", "httpStatusCodesForReady"})
"""Lists that Marathon keeps as sets: more than four members come back in an order of its own."""

_UNSAID: Final[Mapping[str, Json]] = {
    "acceptedResourceRoles": None,
    "args": None,
    "constraints": [],
    "fetch": [],
    "env": {},
    "labels": {},
    "gpus": 0,
    "healthChecks": [],
    "readinessChecks": [],
    "secrets": {},
    "dependencies": [],
    "user": None,
    "executor": "",
    "check": None,
    "container": None,
    "killSelection": "YOUNGEST_FIRST",
    "requirePorts": False,
    "tty": None,
    "residency": None,
    "executorResources": None,
    "resourceLimits": None,
}
"""What an app has of what we did not write, while nobody else wrote it either."""

_GIVEN: Final = frozenset({"port", "servicePort", "hostPort"})
"""Numbers that Marathon gives where we wrote 0."""


@attrs.frozen
class Difference:
    """One field that is not as we wrote it; a value is ``None`` where there is none."""

    path: str
    ours: Json
    theirs: Json


def drift_of(rendering: str, ours: Mapping[str, str], app: Mapping[str, Json]) -> tuple[Drift, ...]:
    """Return what of an app is not as it was made.

    ``rendering`` is what it carries, and ``ours`` the labels that were written beside the rendering's own. Raises
    :class:`ValueError` for a rendering that cannot be read.
    """
    made = json.loads(rendering)
    if not isinstance(made, dict):
        raise ValueError(f"a rendering is an app, and this one begins with {rendering[:20]!r}")  # noqa: TRY004  # a text
    wanted = {**made, "labels": {**made.get("labels", {}), **ours}}
    return tuple(
        Drift(field=one.path, ours=_said(one.ours), theirs=_said(one.theirs)) for one in differences(wanted, app)
    )


def differences(ours: Mapping[str, Json], theirs: Mapping[str, Json]) -> Iterator[Difference]:
    """Yield what of ``ours`` is otherwise in ``theirs``, and what stands there that nobody of ours wrote."""
    for name, value in sorted(ours.items()):
        yield from _of(value, theirs.get(name), name, name)
    for name in sorted(_UNSAID.keys() - ours.keys()):
        if name in theirs and theirs[name] != _UNSAID[name] and theirs[name] not in ([], {}):
            yield Difference(name, None, theirs[name])


def _of(ours: Json, theirs: Json, path: str, name: str) -> Iterator[Difference]:
    if theirs is None and ours in ([], {}, None):
        return
    if name in _SETS and isinstance(ours, list) and isinstance(theirs, list):
        ours, theirs = _members(ours), _members(theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in sorted(ours.items()):
            yield from _of(value, theirs.get(key), _below(path, key, name), key)
        if name in _OPEN:
            for key in sorted(theirs.keys() - ours.keys()):
                yield Difference(_below(path, key, name), None, theirs[key])
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _of(one, other, f"{path}[{number}]", name)
    elif ours != theirs and not (name in _GIVEN and ours == 0):
        yield Difference(path, ours, theirs)


def _members(values: list[Json]) -> list[Json]:
    """Return each value once, in an order that depends on nothing but the values."""
    return sorted((value for number, value in enumerate(values) if value not in values[:number]), key=json.dumps)


def _below(path: str, key: str, name: str) -> str:
    return f"{path}[{key}]" if name in _OPEN and not key.isalnum() else f"{path}.{key}"


def _said(value: Json) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return "nothing"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
