"""What a deployment can say to Kubernetes alone, under ``backend_options.kubernetes`` of the fleet file."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import attrs

from roadstead.model import Template
from roadstead.units import Memory
from roadstead.wire import from_wire

__all__ = ["Effect", "HostMount", "PodOptions", "PullPolicy", "Toleration", "pod_options"]


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@enum.unique
class PullPolicy(enum.Enum):
    """When a node fetches an image that it has already."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


@enum.unique
class Effect(enum.Enum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


@attrs.frozen(kw_only=True)
class Toleration:
    """A taint that pods bear; without ``value`` whatever its value is, without ``effect`` whatever it does."""

    key: str = attrs.field(metadata=_doc("the taint's key"))
    value: str | None = attrs.field(default=None, metadata=_doc("the taint's value; null: any"))
    effect: Effect | None = attrs.field(default=None, metadata=_doc("what the taint does; null: anything"))


@attrs.frozen(kw_only=True)
class HostMount:
    """A folder of the node that servers see, read-only."""

    host_path: str = attrs.field(metadata=_doc("the folder on the node"))
    path: str = attrs.field(metadata=_doc("where the server sees it"))


def _no_names() -> Mapping[str, str]:
    return MappingProxyType({})


def _frozen(names: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(names))


@attrs.frozen(kw_only=True)
class PodOptions:
    """How the pods of a deployment are made, beyond what every cluster understands; a change is a new revision."""

    priority_class: str | None = attrs.field(
        default=None, metadata=_doc("name of a PriorityClass that exists; none is ever created")
    )
    service_account: str | None = attrs.field(
        default=None, metadata=_doc("name of a ServiceAccount; its token is not mounted unless mount_token says so")
    )
    mount_token: bool = attrs.field(
        default=False, metadata=_doc("mount the ServiceAccount's token, for servers that sign in with it")
    )
    image_pull_policy: PullPolicy | None = attrs.field(
        default=None, metadata=_doc("when a node fetches the image; default: the cluster's own rule")
    )
    image_pull_secrets: tuple[str, ...] = attrs.field(
        default=(), metadata=_doc("names of Secrets with credentials for the image's registry")
    )
    tolerations: tuple[Toleration, ...] = attrs.field(default=(), metadata=_doc("taints that pods bear"))
    runtime_class: str | None = attrs.field(default=None, metadata=_doc("name of a RuntimeClass"))
    run_as_user: int = attrs.field(
        default=10001, metadata=_doc("numeric user of the server; 0 is root, which `restricted` namespaces refuse")
    )
    run_as_group: int = attrs.field(default=10001, metadata=_doc("numeric group of the server"))
    share_processes: bool = attrs.field(
        default=True,
        metadata=_doc("let another process be the pod's first, so that a server without a handler ends at SIGTERM"),
    )
    command: tuple[str, ...] = attrs.field(
        default=(), metadata=_doc("what to run in the image before the runtime's arguments; default: the runtime's own")
    )
    host_mounts: tuple[HostMount, ...] = attrs.field(
        default=(), metadata=_doc("folders of the node that servers see, read-only")
    )
    fetch_image: str | None = attrs.field(
        default=None,
        metadata=_doc("image with python3 that fetches models over http and checks digests; default: the server's own"),
    )
    fetch_size: Memory | None = attrs.field(
        default=None, metadata=_doc("most that a fetched model may take on the node; default: no limit of its own")
    )
    gpu_resource: str = attrs.field(
        default="nvidia.com/gpu", metadata=_doc("the resource by which whole GPUs are asked for")
    )
    resource_claims: tuple[str, ...] = attrs.field(
        default=(), metadata=_doc("names of ResourceClaimTemplates, each of which gives every replica a claim (DRA)")
    )
    labels: Mapping[str, str] = attrs.field(
        factory=_no_names, converter=_frozen, metadata=_doc("more labels of the pods")
    )
    annotations: Mapping[str, str] = attrs.field(
        factory=_no_names, converter=_frozen, metadata=_doc("more annotations of the pods")
    )


def pod_options(template: Template) -> PodOptions:
    """Return what a template says to Kubernetes alone; raises :class:`ValueError` for what no such options are."""
    return _read(template.backend_options)


@lru_cache(maxsize=1024)
def _read(text: str) -> PodOptions:
    return from_wire(json.loads(text), PodOptions) if text else PodOptions()
