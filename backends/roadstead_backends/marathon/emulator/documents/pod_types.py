"""The pod as its JSON is described (``pod.raml``, ``podContainer.raml``)."""

from __future__ import annotations

from typing import Any, Final

from roadstead_backends.marathon.emulator.documents.reading import (
    Field,
    ObjectOf,
    Reader,
    array,
    boolean,
    double,
    enumeration,
    integer,
    moment,
    string,
    union,
)
from roadstead_backends.marathon.emulator.documents.shared_types import (
    ANY_PORT,
    ARTIFACT,
    COMMAND,
    ENVIRONMENT,
    HTTP_SCHEME,
    KV_LABELS,
    LINUX_INFO,
    NAME,
    NETWORK,
    PATH,
    PATH_ID,
    RESOURCE_LIMITS,
    SECRETS,
    UNREACHABLE,
)

__all__ = ["INSTANCE_IDS", "POD"]

_ENDPOINT: Final = ObjectOf(
    fields=(
        Field(name="name", read=NAME, required=True),
        Field(name="containerPort", read=ANY_PORT),
        Field(name="hostPort", read=ANY_PORT),
        Field(name="protocol", read=array(string(), minimum=1), default=[], omit_empty=True),
        Field(name="labels", read=KV_LABELS, default={}, omit_empty=True),
        Field(name="networkNames", read=array(string()), default=[], omit_empty=True),
    )
)
_CHECK_TARGETS: Final = (
    Field(
        name="http",
        read=ObjectOf(
            fields=(
                Field(name="endpoint", read=NAME, required=True),
                Field(name="path", read=PATH),
                Field(name="scheme", read=HTTP_SCHEME, default="HTTP"),
            )
        ),
    ),
    Field(name="tcp", read=ObjectOf(fields=(Field(name="endpoint", read=NAME, required=True),))),
    Field(name="exec", read=ObjectOf(fields=(Field(name="command", read=COMMAND, required=True),), macro=True)),
)
_HEALTH_CHECK: Final = ObjectOf(
    fields=(
        *_CHECK_TARGETS,
        Field(name="gracePeriodSeconds", read=integer(minimum=0), default=300),
        Field(name="intervalSeconds", read=integer(minimum=0), default=60),
        Field(name="maxConsecutiveFailures", read=integer(minimum=0), default=3),
        Field(name="timeoutSeconds", read=integer(minimum=0), default=20),
        Field(name="delaySeconds", read=integer(minimum=0), default=15),
    )
)
_CHECK: Final = ObjectOf(
    fields=(
        *_CHECK_TARGETS,
        Field(name="intervalSeconds", read=integer(minimum=0), default=60),
        Field(name="timeoutSeconds", read=integer(minimum=0), default=20),
        Field(name="delaySeconds", read=integer(minimum=0), default=15),
    )
)
_RESOURCES: Final = ObjectOf(
    fields=(
        Field(name="cpus", read=double(minimum=0), default=1.0),
        Field(name="mem", read=double(minimum=0), default=128.0),
        Field(name="disk", read=double(minimum=0), default=0.0),
        Field(name="gpus", read=integer(minimum=0), default=0),
    )
)
_IMAGE: Final = ObjectOf(
    fields=(
        Field(name="kind", read=enumeration("DOCKER"), required=True),
        Field(name="id", read=PATH, required=True),
        Field(
            name="pullConfig",
            read=ObjectOf(fields=(Field(name="secret", read=string(), required=True),), macro=True),
        ),
        Field(name="forcePull", read=boolean),
        Field(name="labels", read=KV_LABELS, default={}, omit_empty=True),
    )
)
_CONTAINER: Final = ObjectOf(
    fields=(
        Field(name="name", read=NAME, required=True),
        Field(
            name="exec",
            read=ObjectOf(
                fields=(
                    Field(name="command", read=COMMAND, required=True),
                    Field(name="overrideEntrypoint", read=boolean),
                ),
                macro=True,
            ),
        ),
        Field(name="resources", read=_RESOURCES, required=True),
        Field(name="resourceLimits", read=RESOURCE_LIMITS),
        Field(name="endpoints", read=array(_ENDPOINT), default=[], omit_empty=True),
        Field(name="image", read=_IMAGE),
        Field(name="environment", read=ENVIRONMENT, default={}, omit_empty=True),
        Field(name="user", read=string()),
        Field(name="healthCheck", read=_HEALTH_CHECK),
        Field(name="check", read=_CHECK),
        Field(
            name="volumeMounts",
            read=array(
                ObjectOf(
                    fields=(
                        Field(name="name", read=NAME, required=True),
                        Field(name="mountPath", read=PATH, required=True),
                        Field(name="readOnly", read=boolean, default=False),
                    )
                )
            ),
            default=[],
            omit_empty=True,
        ),
        Field(name="artifacts", read=array(ARTIFACT), default=[], omit_empty=True),
        Field(name="labels", read=KV_LABELS, default={}, omit_empty=True),
        Field(name="lifecycle", read=ObjectOf(fields=(Field(name="killGracePeriodSeconds", read=double(minimum=0)),))),
        Field(name="tty", read=boolean),
        Field(name="linuxInfo", read=LINUX_INFO),
    )
)
_NAMED: Final = Field(name="name", read=NAME, required=True)
_VOLUME: Final = union(
    ObjectOf(
        fields=(
            _NAMED,
            Field(
                name="persistent",
                read=ObjectOf(
                    fields=(
                        Field(name="type", read=enumeration("root", "path", "mount")),
                        Field(name="size", read=integer(minimum=0, long=True), required=True),
                        Field(name="maxSize", read=integer(minimum=0, long=True)),
                        Field(name="profileName", read=string()),
                        Field(name="constraints", read=array(array(string()), unique=True), default=[]),
                    )
                ),
                required=True,
            ),
        )
    ),
    ObjectOf(fields=(_NAMED, Field(name="secret", read=string(), required=True))),
    ObjectOf(fields=(_NAMED, Field(name="host", read=string(minimum=1), required=True))),
    ObjectOf(fields=(_NAMED,)),
)
_CONSTRAINT: Final = ObjectOf(
    fields=(
        Field(name="fieldName", read=string(minimum=1), required=True),
        Field(
            name="operator",
            read=enumeration("UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS"),
            required=True,
        ),
        Field(name="value", read=string()),
    )
)
_SCHEDULING: Final = ObjectOf(
    fields=(
        Field(
            name="backoff",
            read=ObjectOf(
                fields=(
                    Field(name="backoff", read=double(minimum=0), default=1.0),
                    Field(name="backoffFactor", read=double(minimum=0), default=1.15),
                    Field(name="maxLaunchDelay", read=double(minimum=0), default=300.0),
                )
            ),
        ),
        Field(
            name="upgrade",
            read=ObjectOf(
                fields=(
                    Field(name="minimumHealthCapacity", read=double(minimum=0, maximum=1), default=1.0),
                    Field(name="maximumOverCapacity", read=double(minimum=0, maximum=1), default=1.0),
                )
            ),
        ),
        Field(
            name="placement",
            read=ObjectOf(
                fields=(
                    Field(name="constraints", read=array(_CONSTRAINT, unique=True), default=[], omit_empty=True),
                    Field(name="acceptedResourceRoles", read=array(string(), unique=True), default=[], omit_empty=True),
                )
            ),
        ),
        Field(name="killSelection", read=enumeration("YOUNGEST_FIRST", "OLDEST_FIRST")),
        Field(name="unreachableStrategy", read=UNREACHABLE),
    )
)
_EXECUTOR: Final = ObjectOf(
    fields=(
        Field(name="cpus", read=double(minimum=0.1), default=0.1),
        Field(name="mem", read=double(minimum=32), default=32.0),
        Field(name="disk", read=double(minimum=10), default=10.0),
    )
)
_FIXED: Final = ObjectOf(
    fields=(
        Field(name="instances", read=integer(), default=1, lenient=True),
        Field(name="kind", read=enumeration("fixed"), default="fixed"),
    )
)


def _scaling(value: Any) -> Any:
    """A policy of the only kind there is; any other kind is no text that is known."""
    kind = value.get("kind") if isinstance(value, dict) else None
    return _FIXED(value) if kind == "fixed" else string()(None)


_POD_SCALING: Reader = _scaling
POD: Final = ObjectOf(
    fields=(
        Field(name="id", read=PATH_ID, required=True),
        Field(name="labels", read=KV_LABELS, default={}, omit_empty=True),
        Field(name="version", read=moment),
        Field(name="user", read=string()),
        Field(name="environment", read=ENVIRONMENT, default={}, omit_empty=True),
        Field(name="containers", read=array(_CONTAINER, minimum=1), required=True),
        Field(name="secrets", read=SECRETS, default={}, omit_empty=True),
        Field(name="volumes", read=array(_VOLUME), default=[], omit_empty=True),
        Field(name="networks", read=array(NETWORK), default=[], omit_empty=True),
        Field(name="scaling", read=_POD_SCALING),
        Field(name="scheduling", read=_SCHEDULING),
        Field(name="executorResources", read=_EXECUTOR),
        Field(name="linuxInfo", read=LINUX_INFO),
        Field(name="role", read=string(minimum=1)),
        Field(name="legacySharedCgroups", read=boolean),
    )
)
INSTANCE_IDS: Final = array(string(), unique=True)
