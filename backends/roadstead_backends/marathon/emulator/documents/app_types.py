"""The app as its JSON is described (``app.raml`` and what it uses), in the order in which Marathon writes it."""

from __future__ import annotations

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
    moment,
    string,
    union,
)
from roadstead_backends.marathon.emulator.documents.shared_types import (
    ANY_PORT,
    ARTIFACT,
    COMMAND,
    HTTP_SCHEME,
    KV_LABELS,
    LEGACY_ENVIRONMENT,
    LINUX_INFO,
    NETWORK,
    PATH,
    PATH_ID,
    RESOURCE_LIMITS,
    SECRETS,
    UNREACHABLE,
    UPGRADE_STRATEGY,
)

__all__ = ["APP", "APP_UPDATE", "PERSISTENT_VOLUME_INFO"]

_LEGACY_NAME: Final = string(minimum=1, matches=r"[a-z0-9]([-a-z0-9_.]*[a-z0-9])?")
_PROTOCOL: Final = enumeration("tcp", "udp", "udp,tcp")
_MODE: Final = enumeration("RO", "RW")
_STRINGS: Final = array(string())

_PORT_DEFINITION: Final = ObjectOf(
    fields=(
        Field(name="port", read=ANY_PORT, default=0),
        Field(name="labels", read=KV_LABELS, default={}, omit_empty=True),
        Field(name="name", read=_LEGACY_NAME),
        Field(name="protocol", read=_PROTOCOL, default="tcp"),
    )
)
_PORT_MAPPING: Final = ObjectOf(
    fields=(
        Field(name="containerPort", read=ANY_PORT, default=0),
        Field(name="hostPort", read=ANY_PORT),
        Field(name="labels", read=KV_LABELS, default={}),
        Field(name="name", read=_LEGACY_NAME),
        Field(name="protocol", read=_PROTOCOL, default="tcp"),
        Field(name="servicePort", read=ANY_PORT, default=0),
        Field(name="networkNames", read=_STRINGS, default=[], omit_empty=True),
    )
)
_PULL_CONFIG: Final = ObjectOf(fields=(Field(name="secret", read=string(), required=True),), macro=True)
_DOCKER: Final = ObjectOf(
    fields=(
        Field(
            name="credential",
            read=ObjectOf(
                fields=(Field(name="principal", read=string(), required=True), Field(name="secret", read=string())),
                macro=True,
            ),
        ),
        Field(name="pullConfig", read=_PULL_CONFIG),
        Field(name="forcePullImage", read=boolean, default=False),
        Field(name="image", read=string(minimum=1), required=True),
        Field(name="network", read=enumeration("BRIDGE", "HOST", "NONE", "USER")),
        Field(
            name="parameters",
            read=array(
                ObjectOf(
                    fields=(
                        Field(name="key", read=string(minimum=1), required=True),
                        Field(name="value", read=string(), required=True),
                    )
                )
            ),
            default=[],
        ),
        Field(name="portMappings", read=array(_PORT_MAPPING)),
        Field(name="privileged", read=boolean, default=False),
    )
)
PERSISTENT_VOLUME_INFO: Final = ObjectOf(
    fields=(
        Field(name="type", read=enumeration("root", "path", "mount")),
        Field(name="size", read=integer(minimum=0, long=True), required=True),
        Field(name="maxSize", read=integer(minimum=0, long=True)),
        Field(name="profileName", read=string()),
        Field(name="constraints", read=array(array(string()), unique=True), default=[]),
    )
)
_CSI_CAPABILITY: Final = ObjectOf(
    fields=(
        Field(
            name="accessMode",
            read=enumeration(
                "UNKNOWN",
                "SINGLE_NODE_WRITER",
                "SINGLE_NODE_READER_ONLY",
                "MULTI_NODE_READER_ONLY",
                "MULTI_NODE_SINGLE_WRITER",
                "MULTI_NODE_MULTI_WRITER",
            ),
            required=True,
        ),
        Field(name="accessType", read=enumeration("mount", "block"), required=True),
        Field(name="fsType", read=string(), default="", omit_empty=True),
        Field(name="mountFlags", read=_STRINGS, default=[], omit_empty=True),
    )
)
_CSI_INFO: Final = ObjectOf(
    fields=(
        Field(name="name", read=string(), required=True),
        Field(name="provider", read=enumeration("csi"), required=True),
        Field(
            name="options",
            read=ObjectOf(
                fields=(
                    Field(name="pluginName", read=string(), required=True),
                    Field(name="capability", read=_CSI_CAPABILITY, required=True),
                    Field(name="nodeStageSecret", read=mapping(string()), default={}, omit_empty=True),
                    Field(name="nodePublishSecret", read=mapping(string()), default={}, omit_empty=True),
                    Field(name="volumeContext", read=mapping(string()), default={}, omit_empty=True),
                )
            ),
            required=True,
        ),
    )
)
_DVDI_INFO: Final = ObjectOf(
    fields=(
        Field(name="size", read=integer(minimum=0, long=True)),
        Field(name="name", read=string()),
        Field(name="provider", read=string()),
        Field(name="options", read=KV_LABELS, default={}, omit_empty=True),
        Field(name="shared", read=boolean, default=False),
    )
)
_CONTAINER_PATH: Final = Field(name="containerPath", read=string(minimum=1), required=True)
_VOLUME: Final = union(
    ObjectOf(
        fields=(
            _CONTAINER_PATH,
            Field(name="external", read=union(_CSI_INFO, _DVDI_INFO), required=True),
            Field(name="mode", read=_MODE, required=True),
        )
    ),
    ObjectOf(
        fields=(
            _CONTAINER_PATH,
            Field(name="persistent", read=PERSISTENT_VOLUME_INFO, required=True),
            Field(name="mode", read=_MODE, required=True),
        )
    ),
    ObjectOf(fields=(_CONTAINER_PATH, Field(name="secret", read=string(), required=True))),
    ObjectOf(
        fields=(
            _CONTAINER_PATH,
            Field(name="hostPath", read=string(minimum=1), required=True),
            Field(name="mode", read=_MODE, required=True),
        )
    ),
)
_CONTAINER: Final = ObjectOf(
    fields=(
        Field(name="type", read=enumeration("MESOS", "DOCKER"), default="DOCKER"),
        Field(name="docker", read=_DOCKER),
        Field(name="linuxInfo", read=LINUX_INFO),
        Field(name="volumes", read=array(_VOLUME), default=[]),
        Field(name="portMappings", read=array(_PORT_MAPPING)),
    )
)
_HEALTH_CHECK: Final = ObjectOf(
    fields=(
        Field(
            name="command",
            read=ObjectOf(fields=(Field(name="value", read=string(), required=True),), macro=True),
        ),
        Field(name="gracePeriodSeconds", read=integer(minimum=0), default=300),
        Field(name="ignoreHttp1xx", read=boolean),
        Field(name="intervalSeconds", read=integer(minimum=0), default=60),
        Field(name="maxConsecutiveFailures", read=integer(minimum=0), default=3),
        Field(name="path", read=string()),
        Field(name="port", read=ANY_PORT),
        Field(name="portIndex", read=integer(minimum=0)),
        Field(
            name="protocol",
            read=enumeration("HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_TCP", "MESOS_HTTP", "MESOS_HTTPS"),
            default="HTTP",
        ),
        Field(name="ipProtocol", read=enumeration("IPv4", "IPv6"), default="IPv4"),
        Field(name="timeoutSeconds", read=integer(), default=20),
        Field(name="delaySeconds", read=integer(minimum=0), default=15),
    )
)
_CHECK_TIMES: Final = (
    Field(name="intervalSeconds", read=integer(minimum=0), default=60),
    Field(name="timeoutSeconds", read=integer(minimum=0), default=20),
    Field(name="delaySeconds", read=integer(minimum=0), default=15),
)
_CHECK: Final = ObjectOf(
    fields=(
        Field(
            name="http",
            read=ObjectOf(
                fields=(
                    Field(name="portIndex", read=integer(minimum=0)),
                    Field(name="port", read=ANY_PORT),
                    Field(name="path", read=PATH),
                    Field(name="scheme", read=HTTP_SCHEME, default="HTTP"),
                )
            ),
        ),
        Field(
            name="tcp",
            read=ObjectOf(fields=(Field(name="portIndex", read=integer(minimum=0)), Field(name="port", read=ANY_PORT))),
        ),
        Field(name="exec", read=ObjectOf(fields=(Field(name="command", read=COMMAND, required=True),), macro=True)),
        *_CHECK_TIMES,
    )
)
_READINESS_CHECK: Final = ObjectOf(
    fields=(
        Field(name="name", read=string(minimum=1), default="readinessCheck"),
        Field(name="protocol", read=HTTP_SCHEME, default="HTTP"),
        Field(name="path", read=PATH, default="/"),
        Field(name="portName", read=string(matches=r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"), default="http-api"),
        Field(name="intervalSeconds", read=integer(minimum=0), default=30),
        Field(name="timeoutSeconds", read=integer(minimum=0), default=10),
        Field(name="httpStatusCodesForReady", read=array(integer(), unique=True, minimum=1)),
        Field(name="preserveLastResponse", read=boolean, default=False),
    )
)
_IP_ADDRESS: Final = ObjectOf(
    fields=(
        Field(
            name="discovery",
            read=ObjectOf(
                fields=(
                    Field(
                        name="ports",
                        read=array(
                            ObjectOf(
                                fields=(
                                    Field(name="number", read=ANY_PORT, default=0),
                                    Field(name="name", read=_LEGACY_NAME, required=True),
                                    Field(name="protocol", read=_PROTOCOL, default="tcp"),
                                    Field(name="labels", read=KV_LABELS, default={}, omit_empty=True),
                                )
                            )
                        ),
                        default=[],
                    ),
                )
            ),
        ),
        Field(name="groups", read=_STRINGS, default=[]),
        Field(name="labels", read=KV_LABELS, default={}),
        Field(name="networkName", read=string(minimum=1)),
    )
)
_RESIDENCY: Final = ObjectOf(
    fields=(
        Field(name="relaunchEscalationTimeoutSeconds", read=integer(minimum=0, long=True), default=3600),
        Field(
            name="taskLostBehavior",
            read=enumeration("WAIT_FOREVER", "RELAUNCH_AFTER_TIMEOUT"),
            default="WAIT_FOREVER",
        ),
    )
)
_EXECUTOR_RESOURCES: Final = ObjectOf(
    fields=(
        Field(name="cpus", read=double(minimum=0.1), default=0.1),
        Field(name="mem", read=double(minimum=32), default=32.0),
        Field(name="disk", read=double(minimum=10), default=10.0),
    )
)
_VERSION_INFO: Final = ObjectOf(
    fields=(
        Field(name="lastScalingAt", read=moment, required=True),
        Field(name="lastConfigChangeAt", read=moment, required=True),
    ),
    macro=True,
)


def _is_executor(text: str) -> bool:
    """Whether ``text`` matches the executor's pattern: ``//cmd``, or segments, one slash before each but the first."""
    return text in ("", "//cmd") or all(text.removeprefix("/").split("/"))


APP: Final = ObjectOf(
    fields=(
        Field(name="id", read=PATH_ID, required=True),
        Field(name="acceptedResourceRoles", read=array(string(), unique=True)),
        Field(name="args", read=_STRINGS, default=[], omit_empty=True),
        Field(name="backoffFactor", read=double(minimum=1), default=1.15),
        Field(name="backoffSeconds", read=integer(minimum=0), default=1),
        Field(name="cmd", read=string(minimum=1)),
        Field(name="constraints", read=array(array(string()), unique=True), default=[], omit_empty=True),
        Field(name="container", read=_CONTAINER),
        Field(name="cpus", read=double(minimum=0), default=1.0),
        Field(name="dependencies", read=array(string(), unique=True), default=[], omit_empty=True),
        Field(name="disk", read=double(minimum=0), default=0.0),
        Field(name="env", read=LEGACY_ENVIRONMENT, default={}, omit_empty=True),
        Field(name="executor", read=string(matches=_is_executor), default=""),
        Field(name="executorResources", read=_EXECUTOR_RESOURCES),
        Field(name="fetch", read=array(ARTIFACT), default=[], omit_empty=True),
        Field(name="healthChecks", read=array(_HEALTH_CHECK, unique=True), default=[], omit_empty=True),
        Field(name="check", read=_CHECK),
        Field(name="instances", read=integer(minimum=0), default=1),
        Field(name="labels", read=KV_LABELS, default={}),
        Field(name="maxLaunchDelaySeconds", read=integer(minimum=0), default=300),
        Field(name="mem", read=double(minimum=0), default=128.0),
        Field(name="gpus", read=integer(minimum=0), default=0),
        Field(name="ipAddress", read=_IP_ADDRESS),
        Field(name="networks", read=array(NETWORK), default=[]),
        Field(name="ports", read=array(integer())),
        Field(name="portDefinitions", read=array(_PORT_DEFINITION)),
        Field(name="readinessChecks", read=array(_READINESS_CHECK), default=[], omit_empty=True),
        Field(name="residency", read=_RESIDENCY),
        Field(name="resourceLimits", read=RESOURCE_LIMITS),
        Field(name="requirePorts", read=boolean, default=False),
        Field(name="secrets", read=SECRETS, default={}, omit_empty=True),
        Field(name="taskKillGracePeriodSeconds", read=integer(minimum=0)),
        Field(name="upgradeStrategy", read=UPGRADE_STRATEGY),
        Field(name="uris", read=_STRINGS),
        Field(name="user", read=string()),
        Field(name="version", read=moment),
        Field(name="versionInfo", read=_VERSION_INFO),
        Field(name="killSelection", read=enumeration("YOUNGEST_FIRST", "OLDEST_FIRST"), default="YOUNGEST_FIRST"),
        Field(name="unreachableStrategy", read=UNREACHABLE),
        Field(name="tty", read=boolean),
        Field(name="role", read=string(minimum=1)),
    )
)
APP_UPDATE: Final = APP.optional()
