"""What a deployment can say to Marathon alone, under ``backend_options.marathon`` of the fleet file."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import attrs

from roadstead.model import Template
from roadstead.units import Duration
from roadstead.wire import from_wire

__all__ = ["AppOptions", "HostMount", "Network", "app_options"]

_ROLE: Final = re.compile(r"\*|[A-Za-z0-9_][A-Za-z0-9_./-]*")


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@enum.unique
class Network(enum.Enum):
    """Which network servers are on: the agent's own, one behind it, or one where each has an address."""

    HOST = "host"
    BRIDGE = "bridge"
    CONTAINER = "container"


@attrs.frozen(kw_only=True)
class HostMount:
    """A folder of the agent that servers see, read-only."""

    host_path: str = attrs.field(metadata=_doc("the folder on the agent"))
    path: str = attrs.field(metadata=_doc("where the server sees it"))


def _a_role(_instance: object, _attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None and not _ROLE.fullmatch(value):
        raise ValueError(f"{value!r} is no role of Mesos; use letters, digits, _, - and .")


def _roles(_instance: object, _attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for role in value:
        if not _ROLE.fullmatch(role):
            raise ValueError(f"{role!r} is no role of Mesos; use letters, digits, _, - and .")


def _no_labels() -> Mapping[str, str]:
    return MappingProxyType({})


def _frozen(labels: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(labels))


@attrs.frozen(kw_only=True)
class AppOptions:
    """How the app of a deployment is made, beyond what every cluster understands; a change is a new revision."""

    role: str | None = attrs.field(
        default=None, validator=_a_role, metadata=_doc("the Mesos role it runs under; Marathon 1.9 and later")
    )
    accepted_roles: tuple[str, ...] = attrs.field(
        default=(), validator=_roles, metadata=_doc("whose reserved resources it may use; default: Marathon's own rule")
    )
    network: Network = attrs.field(
        default=Network.HOST, metadata=_doc("host, bridge, or container: an address for each server")
    )
    network_name: str | None = attrs.field(
        default=None, metadata=_doc("which network, where it is `container`; default: Marathon's own")
    )
    backoff: Duration = attrs.field(
        default=Duration(1_000), metadata=_doc("how long a failed server is not started again, at first")
    )
    backoff_percent: int = attrs.field(
        default=115,
        validator=attrs.validators.ge(100),
        metadata=_doc("by how much the wait grows with each failure, in percent"),
    )
    max_launch_delay: Duration = attrs.field(default=Duration(300_000), metadata=_doc("the longest such wait"))
    force_pull: bool = attrs.field(default=False, metadata=_doc("have agents fetch an image that they have already"))
    command: tuple[str, ...] = attrs.field(
        default=(), metadata=_doc("what to run before the runtime's arguments; default: the runtime's own program")
    )
    cache_model: bool = attrs.field(default=False, metadata=_doc("have agents keep what they fetched"))
    host_mounts: tuple[HostMount, ...] = attrs.field(
        default=(), metadata=_doc("folders of the agent that servers see, read-only")
    )
    labels: Mapping[str, str] = attrs.field(
        factory=_no_labels, converter=_frozen, metadata=_doc("more labels of the app")
    )

    def __attrs_post_init__(self) -> None:
        if self.network_name is not None and self.network is not Network.CONTAINER:
            raise ValueError("network_name is for network: container; take it out, or change network")
        for name in self.labels:
            if name.startswith("roadstead.dev/"):
                raise ValueError(f"label {name!r} is ours to set; use another name")


def app_options(template: Template) -> AppOptions:
    """Return what a template says to Marathon alone; raises :class:`ValueError` for what no such options are."""
    return _read(template.backend_options)


@lru_cache(maxsize=1024)
def _read(text: str) -> AppOptions:
    return from_wire(json.loads(text), AppOptions) if text else AppOptions()
