"""The types that apps, pods and groups share (Marathon's ``docs/rest-api/public/api/v2/types``)."""

from __future__ import annotations

import re
from typing import Final

from roadstead_backends.marathon.emulator.documents.reading import (
    Field,
    ObjectOf,
    array,
    boolean,
    double,
    enumeration,
    integer,
    mapping,
    string,
    union,
)

__all__ = [
    "ANY_PORT",
    "ARTIFACT",
    "COMMAND",
    "ENVIRONMENT",
    "HTTP_SCHEME",
    "KV_LABELS",
    "LEGACY_ENVIRONMENT",
    "LINUX_INFO",
    "NAME",
    "NETWORK",
    "PATH",
    "PATH_ID",
    "RESOURCE_LIMITS",
    "SECRETS",
    "UNREACHABLE",
    "UPGRADE_STRATEGY",
]

_SEGMENT: Final = re.compile(r"\.\.|[a-z0-9]|[a-z0-9][a-z0-9\-.]*[a-z0-9]")


def _is_path_id(text: str) -> bool:
    """Whether ``text`` matches ``PathId`` of ``stringTypes.raml``, decided per segment instead of by backtracking."""
    return all(not segment or _SEGMENT.fullmatch(segment) for segment in text.split("/"))


NAME: Final = string(minimum=1, maximum=63, matches=r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
PATH_ID: Final = string(minimum=1, matches=_is_path_id)
PATH: Final = string(minimum=1, maximum=1024)
ANY_PORT: Final = integer(minimum=0, maximum=65535)
HTTP_SCHEME: Final = enumeration("HTTP", "HTTPS")
KV_LABELS: Final = mapping(string())
_VARIABLE: Final = union(string(), ObjectOf(fields=(Field(name="secret", read=string(), required=True),), macro=True))
ENVIRONMENT: Final = mapping(_VARIABLE, keys=r"[a-zA-Z_][a-zA-Z0-9_]*")
LEGACY_ENVIRONMENT: Final = mapping(_VARIABLE)
SECRETS: Final = mapping(ObjectOf(fields=(Field(name="source", read=string(), required=True),), macro=True))
COMMAND: Final = union(
    ObjectOf(fields=(Field(name="shell", read=string(minimum=1), required=True),)),
    ObjectOf(fields=(Field(name="argv", read=array(string(), minimum=1), required=True),)),
)
NETWORK: Final = ObjectOf(
    fields=(
        Field(name="name", read=NAME),
        Field(name="mode", read=enumeration("container", "container/bridge", "host"), default="container"),
        Field(name="labels", read=KV_LABELS, default={}, omit_empty=True),
    )
)
ARTIFACT: Final = ObjectOf(
    fields=(
        Field(name="uri", read=string(minimum=1, maximum=1024), required=True),
        Field(name="extract", read=boolean, default=True),
        Field(name="executable", read=boolean, default=False),
        Field(name="cache", read=boolean, default=False),
        Field(name="destPath", read=PATH),
    )
)
UPGRADE_STRATEGY: Final = ObjectOf(
    fields=(
        Field(name="maximumOverCapacity", read=double(minimum=0, maximum=1), required=True),
        Field(name="minimumHealthCapacity", read=double(minimum=0, maximum=1), required=True),
    )
)


def _disabled(value: object) -> object:
    """Any text at all disables: the generated reader of ``UnreachableDisabled`` takes every string."""
    read = string()(value)
    return "disabled" if isinstance(read, str) else read


UNREACHABLE: Final = union(
    _disabled,
    ObjectOf(
        fields=(
            Field(name="inactiveAfterSeconds", read=integer(minimum=0, long=True), default=0),
            Field(name="expungeAfterSeconds", read=integer(minimum=0, long=True), default=0),
        )
    ),
)
_LIMIT: Final = union(string(), double())
RESOURCE_LIMITS: Final = ObjectOf(fields=(Field(name="cpus", read=_LIMIT), Field(name="mem", read=_LIMIT)), macro=True)
LINUX_INFO: Final = ObjectOf(
    fields=(
        Field(
            name="seccomp",
            read=ObjectOf(
                fields=(
                    Field(name="profileName", read=string()),
                    Field(name="unconfined", read=boolean, default=False, lenient=True),
                ),
            ),
        ),
        Field(
            name="ipcInfo",
            read=ObjectOf(
                fields=(
                    Field(name="mode", read=enumeration("PRIVATE", "SHARE_PARENT"), required=True),
                    Field(name="shmSize", read=integer()),
                ),
                macro=True,
            ),
        ),
    ),
    macro=True,
)
