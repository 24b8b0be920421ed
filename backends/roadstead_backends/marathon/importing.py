"""Apps of others that run TensorFlow Serving, as deployments of ours. Pure.

Every field is accounted for: kept, changed with the reason, or lost. Both what somebody wrote for Marathon and what
Marathon answers is read, of all versions: what it fills in by itself is no field that anybody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from roadstead.model import Template
from roadstead.spi.fields import Fields, Path
from roadstead.spi.importing import Carried, Fate, Imported
from roadstead_backends.marathon import app_import as read
from roadstead_backends.marathon.options import Containers, MarathonOptions
from roadstead_backends.marathon.serving_import import Serving, serving

__all__ = ["Live", "imported", "live"]

Json = dict[str, Any]

_MARATHONS_OWN: Final = frozenset(
    {
        *("id", "version", "versionInfo", "tasks", "deployments", "lastTaskFailure", "readinessCheckResults"),
        *("tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy", "taskStats", "tasksStats", "user"),
    }
)
"""What every app has, or Marathon tells of it: nobody chose it."""

_DEFAULTS: Final[Mapping[str, object]] = {
    "executor": "",
    "user": None,
    "cmd": None,
    "disk": 0,
    "gpus": 0,
    "backoffSeconds": 1,
    "backoffFactor": 1.15,
    "maxLaunchDelaySeconds": 300,
    "killSelection": "YOUNGEST_FIRST",
    "requirePorts": False,
    "role": "*",
    "protocol": "tcp",
    "storeUrls": [],
    "forcePullImage": False,
    "privileged": False,
}
"""What fields are that nobody wrote."""

_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9-]+")


@attrs.frozen(kw_only=True)
class Live:
    """What can be read of an app that runs; ``served`` says where it answers, and what of ``template`` is known."""

    template: Template
    served: Serving


def imported(document: Mapping[str, Any], cluster: MarathonOptions) -> Imported:
    """Return one app as what we would declare on ``cluster``, with an account of its fields."""
    fields = Fields(document, _is_nobodys)
    native = str(document.get("id", ""))
    native = native if native.startswith("/") else f"/{native}"
    found = _read(fields, cluster)
    if isinstance(found, str):
        return Imported(native=native, name=_name(native), refused=found)
    said = fields.keep("instances", key="replicas")
    instances = 1 if said is None else int(said)
    _note_the_rest(fields)
    rollout, container = read.rollout(fields, instances), _container(fields, cluster)
    return Imported(
        native=native,
        name=_name(native),
        template=found.template,
        replicas=instances,
        rollout=rollout,
        fields=(*container, *fields.account()),
    )


def live(document: Mapping[str, Any], cluster: MarathonOptions) -> Live | str:
    """Return what runs as an app, or why that cannot be told."""
    return _read(Fields(document, _is_nobodys), cluster)


def _read(fields: Fields, cluster: MarathonOptions) -> Live | str:
    served = serving(fields)
    if isinstance(served, str):
        return served
    resources, placement = read.resources(fields, read.placement(fields), cluster)
    try:
        options = read.options(fields, served)
    except ValueError as error:
        return f"what only Marathon understands cannot be said: {error}"
    template = Template(
        model=served.model,
        runtime=served.runtime,
        resources=resources,
        env=read.variables(fields),
        health=read.health(fields),
        stop=read.stop(fields),
        placement=placement,
        backend_options=options,
    )
    return Live(template=template, served=served)


def _container(fields: Fields, cluster: MarathonOptions) -> tuple[Carried, ...]:
    """Return what is to be said of what agents start servers with, which is one thing for all of a cluster."""
    kind = fields.get("container", "type") or "MESOS"
    has_image = bool(fields.get("container", "docker", "image"))
    needed = Containers[str(kind).upper()] if has_image else Containers.NONE
    key = "clusters.options.containers"
    if needed is cluster.containers:
        fields.keep("container", "type", key=key)
        return ()
    detail = f"it needs {needed.value}, and {cluster.containers.value} is said for the cluster"
    fields.change("container", "type", key=key, detail=detail)
    if fields.get("container", "type") is not None:
        return ()
    return (Carried(field="container", fate=Fate.CHANGED, key=key, detail=detail),)


def _note_the_rest(fields: Fields) -> None:
    """Note what has no place for a reason that can be told."""
    fields.lose("dependencies", detail="nothing waits for another deployment here")
    fields.lose("killSelection", detail="who is given up first is decided by how well it is")
    fields.lose("secrets", detail="Marathon has none of its own: see `secrets`, on clusters that keep some")
    fields.lose("requirePorts", detail="agents choose the ports")
    fields.lose("residency", detail="servers keep nothing")


def _is_nobodys(path: Path, value: object) -> bool:
    name = path[-1]
    if path[0] in _MARATHONS_OWN:
        return True
    return isinstance(name, str) and name in _DEFAULTS and _DEFAULTS[name] == value


def _name(native: str) -> str:
    """Return the nearest name that a deployment may have to the last part of an app's.

    >>> _name("/prod/search/minilm"), _name("/7b.v2")
    ('minilm', 'm-7b-v2')
    """
    name = _NOT_IN_A_NAME.sub("-", native.rpartition("/")[2].lower()).strip("-")[:33].strip("-")
    return name if name[:1].isalpha() else f"m-{name}".rstrip("-")
