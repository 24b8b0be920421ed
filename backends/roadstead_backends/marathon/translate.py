"""From a group's order to its app, and from what is stored there back to what was ordered. Pure.

What Marathon cannot express raises :class:`ValueError` with the reason; nothing is left out in silence. The app carries
the template and the rendering that it was made with, so that neither a later translator nor a lost memory changes what
a group is. All of it is written once: of an app that exists, nothing but ``instances`` is ever changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from roadstead.model import Template
from roadstead.spi.backend import GroupOrder
from roadstead.spi.runtime import Launch
from roadstead.template import canonical, from_canonical
from roadstead.world import GroupKey
from roadstead_backends.marathon import names
from roadstead_backends.marathon.app_options import AppOptions, Network, app_options
from roadstead_backends.marathon.checks import grace_s, health_checks, readiness_checks, unreachable
from roadstead_backends.marathon.command import depends_on_place, script
from roadstead_backends.marathon.messages import App
from roadstead_backends.marathon.options import Containers, MarathonOptions
from roadstead_backends.marathon.placing import amounts, constraints
from roadstead_backends.marathon.sources import Source, model_source

__all__ = ["Stored", "app", "rendering", "restored", "stored"]

Json = dict[str, Any]

_GENTLY: Final = {"minimumHealthCapacity": 1, "maximumOverCapacity": 0}
"""How tasks are replaced when somebody else edits the app: one more first, then one by one."""


@attrs.frozen(kw_only=True)
class Stored:
    """What an app of ours says of itself: what it was ordered with, and the rendering that it was made from."""

    key: GroupKey
    fleet: str
    owner: str
    owner_id: str
    generation: int
    template: Template
    rendering: str


def app(order: GroupOrder, target: int, options: MarathonOptions, *, reaches: bool = True) -> Json:
    """Return the app of a new group; raises :class:`ValueError` for what Marathon cannot express."""
    rendered = rendering(order, options, reaches=reaches)
    labels = {
        **rendered.get("labels", {}),
        **names.group_labels(order),
        names.TEMPLATE: canonical(order.template),
        names.RENDERING: json.dumps(rendered, sort_keys=True, separators=(",", ":"), ensure_ascii=True),
    }
    return {**rendered, "labels": labels, "instances": target}


def stored(found: App) -> Stored | None:
    """Return what an app says of itself; ``None`` for one that is no group.

    Raises :class:`ValueError` for one that looks like a group and cannot be read.
    """
    key, labels = names.key_of(found.labels), found.labels
    if key is None or names.OWNER_ID not in labels:
        return None
    generation = labels.get(names.GENERATION, "")
    if not generation.isdecimal():
        raise ValueError(f"label {names.GENERATION} of app {found.id} is {generation!r}, which is no number")
    return Stored(
        key=key,
        fleet=labels.get(names.FLEET, ""),
        owner=labels.get(names.OWNER, ""),
        owner_id=labels[names.OWNER_ID],
        generation=int(generation),
        template=from_canonical(labels.get(names.TEMPLATE, "")),
        rendering=labels.get(names.RENDERING, ""),
    )


def restored(said: Stored, marks: Mapping[str, str], found: App) -> Json:
    """Return an app as it was made, with the labels that make it ours, and as many instances as it has now."""
    rendered: Json = json.loads(said.rendering)
    return {**rendered, "labels": {**rendered.get("labels", {}), **marks}, "instances": found.instances}


def rendering(order: GroupOrder, options: MarathonOptions, *, reaches: bool) -> Json:
    """Return all of an app but how many instances it has, and what says whose it is."""
    template, launch = order.template, order.launch
    said = app_options(template)
    if template.secrets:
        raise ValueError(f"secret {template.secrets[0].name} cannot be kept secret: Marathon has none of its own")
    source = model_source(template, options.containers, said)
    ports = _ports(launch, said)
    found: Json = {
        "id": names.app_id(options.path, order.fleet, order.key),
        "cmd": script(template, launch, said, source),
        **amounts(template.resources, options),
        "env": _environment(template, launch),
        "constraints": constraints(template, options),
        "fetch": [source.fetch] if source.fetch is not None else [],
        "healthChecks": health_checks(launch, template.health),
        "readinessChecks": readiness_checks(launch, template.health),
        "upgradeStrategy": dict(_GENTLY),
        "unreachableStrategy": unreachable(template.health),
        "taskKillGracePeriodSeconds": grace_s(template.stop, reaches=reaches),
        "backoffSeconds": -(-said.backoff.ms // 1000),
        "backoffFactor": said.backoff_percent / 100,
        "maxLaunchDelaySeconds": -(-said.max_launch_delay.ms // 1000),
        "labels": dict(said.labels),
        "acceptedResourceRoles": list(said.accepted_roles),
        "networks": [_network(said)],
        **({"portDefinitions": ports} if said.network is Network.HOST else {}),
        **_container(launch, said, options.containers, source, ports),
        **({"role": said.role} if said.role is not None else {}),
    }
    return {key: value for key, value in found.items() if value not in ([], {})}


def _environment(template: Template, launch: Launch) -> dict[str, str]:
    """Return the server's variables; the fleet file's words win over the runtime's.

    What depends on the place is set by the command.
    """
    return {name: value for name, value in launch.env if not depends_on_place(value)} | {
        variable.name: variable.value for variable in template.env
    }


def _network(said: AppOptions) -> Json:
    match said.network:
        case Network.HOST:
            return {"mode": "host"}
        case Network.BRIDGE:
            return {"mode": "container/bridge"}
        case Network.CONTAINER:
            return {"mode": "container", **({"name": said.network_name} if said.network_name is not None else {})}


def _ports(launch: Launch, said: AppOptions) -> list[Json]:
    """Return gRPC's port and then REST's: any of the agent's, in front of the launch's own where it has a network."""
    named = [
        (name, port) for name, port in (("grpc", launch.grpc_port), ("rest", launch.rest_port)) if port is not None
    ]
    match said.network:
        case Network.HOST:
            return [{"port": 0, "name": name, "protocol": "tcp"} for name, _ in named]
        case Network.BRIDGE:
            return [{"containerPort": port, "hostPort": 0, "name": name, "protocol": "tcp"} for name, port in named]
        case Network.CONTAINER:
            return [{"containerPort": port, "name": name, "protocol": "tcp"} for name, port in named]


def _container(launch: Launch, said: AppOptions, containers: Containers, source: Source, ports: list[Json]) -> Json:
    mounts = [{"containerPath": one.path, "hostPath": one.host_path, "mode": "RO"} for one in said.host_mounts]
    if containers is Containers.NONE:
        if said.network is not Network.HOST or mounts:
            raise ValueError("without containers there are neither networks nor mounts; set containers to mesos")
        return {}
    if launch.image is None:
        raise ValueError("it runs containers, and runtime.image is not set")
    docker: Json = {"image": launch.image, "forcePullImage": said.force_pull}
    volumes = [*([source.volume] if source.volume is not None else []), *mounts]
    found: Json = {"type": containers.name, "docker": docker}
    if volumes:
        found["volumes"] = volumes
    if said.network is not Network.HOST:
        found["portMappings"] = ports
    return {"container": found}
