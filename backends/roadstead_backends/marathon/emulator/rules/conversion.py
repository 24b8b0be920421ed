"""From an accepted app to what Marathon keeps and shows of it, and how an update changes what it keeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import attrs

from roadstead_backends.marathon.emulator.documents.app_types import APP
from roadstead_backends.marathon.emulator.documents.scala_order import members
from roadstead_backends.marathon.emulator.paths import path_of
from roadstead_backends.marathon.emulator.rules.apps import (
    MARATHON_CHECKS,
    AppRules,
    check_converted,
    check_deprecated,
    check_kept,
    check_update_version,
)
from roadstead_backends.marathon.emulator.rules.documents import Document, is_resident, volumes_of
from roadstead_backends.marathon.emulator.rules.normalization import (
    completed,
    completed_update,
    modernized,
    modernized_update,
)

__all__ = ["AppIntake"]

_WHOLE: Final = ("version", "versionInfo", "id")
_CHECK_FIELDS: Final[Mapping[str, Sequence[str]]] = {
    "HTTP": ("ignoreHttp1xx", "path", "port", "portIndex"),
    "HTTPS": ("ignoreHttp1xx", "path", "port", "portIndex"),
    "TCP": ("port", "portIndex"),
    "COMMAND": ("command",),
    "MESOS_HTTP": ("path", "port", "portIndex"),
    "MESOS_HTTPS": ("path", "port", "portIndex"),
    "MESOS_TCP": ("port", "portIndex"),
}
_COMMON: Final = (
    "gracePeriodSeconds",
    "intervalSeconds",
    "maxConsecutiveFailures",
    "protocol",
    "ipProtocol",
    "timeoutSeconds",
    "delaySeconds",
)
_OWN_DELAY: Final = 15
"""Seconds that Marathon shows as the delay of its own checks, which have none."""
_KEPT_OF_DOCKER: Final[Mapping[str, Sequence[str]]] = {
    "DOCKER": ("forcePullImage", "image", "parameters", "privileged"),
    "MESOS": ("pullConfig", "forcePullImage", "image"),
}


@attrs.frozen(kw_only=True)
class AppIntake:
    """The way of an app from its JSON to what is kept, under these flags and for these roles."""

    features: Collection[str]
    default_network: str | None
    bridge: str
    """The name that the bridge's network goes by."""
    roles: Sequence[str]
    """The roles that the app may have."""
    default_role: str
    in_group: bool = False
    """Whether the app is part of a group's update."""

    def admitted(self, app: Document) -> Document:
        """Return what is kept of a new app; refuse one that breaks a rule."""
        check_deprecated(app)
        current = {"role": self.default_role, **modernized(app, self.bridge)}
        AppRules(features=self.features, default_network=self.default_network, roles=self.roles).check(current)
        complete = completed(current, self.default_network)
        check_converted(complete)
        check_kept(complete, in_group=self.in_group)
        return _kept(complete)

    def normalized(self, update: Document) -> Document:
        """Return an update in today's form, without its version; refuse what it may not say at once."""
        modern = modernized_update(update, self.bridge)
        check_update_version(modern)
        complete = completed_update(modern, self.default_network)
        return {key: item for key, item in complete.items() if key not in _WHOLE}

    def changed(self, update: Document, current: Document) -> Document:
        """Return what is kept of an app after an update; what the update does not name stays as it is."""
        stated = self.normalized(update)
        kept = {key: item for key, item in current.items() if key not in _LOST}
        return self.admitted({**_with_defaults(current["id"]), **kept, **stated})

    def created(self, update: Document, app_id: str) -> Document:
        """Return what is kept of an app that an update creates."""
        return self.admitted({**_with_defaults(app_id), **self.normalized(update)})


#: What an update does not keep. Of the limits it is known from one recording only: the next change restarts the app.
_LOST: Final = frozenset({"version", "versionInfo", "resourceLimits"})


def _with_defaults(app_id: str) -> Document:
    read: Document = APP({"id": app_id})
    return read


def _kept(app: Document) -> Document:
    normal = dict(app)
    parent = path_of(app["id"]).parent
    for stamp in ("version", "versionInfo"):
        normal.pop(stamp, None)
    normal["dependencies"] = members([str(path_of(each).within(parent)) for each in app.get("dependencies", [])])
    normal["healthChecks"] = _distinct([_health_check(check) for check in app.get("healthChecks", [])])
    normal["upgradeStrategy"] = app.get("upgradeStrategy") or _default_strategy(app)
    normal.pop("residency", None)
    if is_resident(app):
        normal["residency"] = {"relaunchEscalationTimeoutSeconds": 3600, "taskLostBehavior": "WAIT_FOREVER"}
    if app.get("container") is not None:
        normal["container"] = _container(app["container"])
    if "check" in app:
        normal["check"] = _check(app["check"])
    return APP.written(normal)


def _distinct(items: list[Document]) -> list[Document]:
    found: list[Document] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _health_check(check: Document) -> Document:
    fields = (*_COMMON, *_CHECK_FIELDS[check["protocol"]])
    shown: dict[str, Any] = {field: check[field] for field in fields if field in check}
    if check["protocol"] in ("HTTP", "HTTPS"):
        shown.setdefault("ignoreHttp1xx", False)
    if check["protocol"] in MARATHON_CHECKS:
        shown["delaySeconds"] = _OWN_DELAY
    return shown


def _check(check: Document) -> Document:
    """The check without the index of its port, which the original reads and never writes."""
    kept = dict(check)
    for kind in ("http", "tcp"):
        if kind in check:
            kept[kind] = {key: item for key, item in check[kind].items() if key != "portIndex"}
    return kept


def _container(container: Document) -> Document:
    """The container with what its engine has a use for: Docker none for Linux, Mesos none for Docker's parameters."""
    engine = container["type"]
    kept = {**container, "volumes": [_volume(each) for each in container.get("volumes", [])]}
    if engine == "DOCKER":
        kept.pop("linuxInfo", None)
    docker = container.get("docker")
    if docker is not None:
        stated = {field: docker[field] for field in _KEPT_OF_DOCKER[engine] if field in docker}
        kept["docker"] = {"parameters": [], "privileged": False, **stated}
    return kept


def _volume(volume: Document) -> Document:
    if "persistent" not in volume:
        return volume
    return {**volume, "persistent": {"type": "root", "constraints": [], **volume["persistent"]}}


def _default_strategy(app: Document) -> Document:
    if app["labels"].get("MARATHON_SINGLE_INSTANCE_APP") == "true":
        return {"maximumOverCapacity": 0.0, "minimumHealthCapacity": 0.0}
    if is_resident(app) or volumes_of(app, "external"):
        return {"maximumOverCapacity": 0.0, "minimumHealthCapacity": 0.5}
    return {"maximumOverCapacity": 1.0, "minimumHealthCapacity": 1.0}
