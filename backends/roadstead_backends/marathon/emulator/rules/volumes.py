"""Rules of an app's volumes, external ones included (``AppValidation``, ``DVDIProvider``)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import Final

from roadstead_backends.marathon.emulator.documents.java_patterns import NoPattern, java_pattern
from roadstead_backends.marathon.emulator.refusals import Violations
from roadstead_backends.marathon.emulator.rules.as_scala import shown_app, shown_double
from roadstead_backends.marathon.emulator.rules.documents import Document, container_of, volumes_of

__all__ = ["check_external_apps", "check_volumes"]

EXTERNAL: Final = "external_volumes"
_LABEL: Final = re.compile(r"^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$")
_NO_LABEL: Final = f"must match regular expression '{_LABEL.pattern}'"
_DRIVER: Final = "dvdi/driver"
_LONG: Final = 2**63


def feature_off(feature: str) -> str:
    """What Marathon says of a feature that is not enabled, with the bracket that nobody opened."""
    return f"Feature {feature} is not enabled. Enable with --enable_features {feature})"


def check_volumes(app: Document, features: Collection[str], found: Violations) -> None:
    """Note what is wrong with the volumes of the app's container."""
    container = container_of(app)
    names = [volume["external"].get("name") for volume in volumes_of(app, "external")]
    stated = [name for name in names if name is not None]
    found.check(len(set(stated)) == len(stated), "/container/volumes", "Volume names must be unique")
    for index, volume in enumerate(container.get("volumes", [])):
        path = f"/container/volumes({index})"
        if "external" in volume:
            _check_external(volume, path, container["type"], features, found)
        elif "persistent" in volume:
            _check_persistent(volume, path, found)
        elif "secret" in volume:
            found.check(
                volume["secret"] in app.get("secrets", {}), path, "volume.secret must refer to an existing secret"
            )
    if volumes_of(app, "secret"):
        found.check("secrets" in features, "/container", "must be empty")
        found.check("secrets" in features, "/container", feature_off("secrets"))


def _check_persistent(volume: Document, path: str, found: Violations) -> None:
    info, where = volume["persistent"], volume["containerPath"]
    found.check(where not in (".", ".."), f"{path}/containerPath", "can not be one of (.,..)")
    found.check("/" not in where, f"{path}/containerPath", 'value must not contain "/"')
    found.check(volume["mode"] == "RW", f"{path}/mode", "does not equal RW")
    kind = info.get("type", "root")
    persistent = f"{path}/persistent"
    found.check(info["size"] > 0, f"{persistent}/size", f"got {info['size']}, expected more than 0")
    found.check(kind == "mount" or "maxSize" not in info, persistent, "Only mount volumes can have maxSize")
    found.check(
        kind != "root" or not info.get("constraints"), persistent, "Constraints on root volumes are not supported"
    )
    found.check(
        "maxSize" not in info or info["maxSize"] > info["size"], persistent, "Max size must be larger than size"
    )
    for constraint in info.get("constraints", []):
        fault = _volume_constraint_fault(constraint)
        if fault is not None:
            found.add(f"{persistent}/constraints", fault)


def _volume_constraint_fault(parts: list[str]) -> str | None:
    if not parts:
        return "Missing field and operator"
    if parts[0] != "path" or len(parts) < 3:
        return f"Unsupported constraint {','.join(parts)}"
    if parts[1] not in ("LIKE", "UNLIKE", "UNIQUE", "CLUSTER", "GROUP_BY", "MAX_PER", "IS"):
        return f"unknown constraint operator {parts[1]}"
    if parts[1] not in ("LIKE", "UNLIKE"):
        return "Operator must be one of LIKE, UNLIKE"
    try:
        java_pattern(parts[2])
    except NoPattern:
        return "Invalid regular expression"
    return None


def _check_external(volume: Document, path: str, engine: str, features: Collection[str], found: Violations) -> None:
    found.check(EXTERNAL in features, path, feature_off(EXTERNAL))
    info = volume["external"]
    provider, name = info.get("provider"), info.get("name")
    if provider == "csi":
        found.check(engine == "MESOS", path, "CSI volumes only work with the Mesos containerizer")
        return
    found.check(provider is not None, f"{path}/external/provider", "not defined")
    if provider is not None and provider != "dvdi":
        found.add(f"{path}/external/provider", "is unknown provider")
        return
    if not name:
        found.add(f"{path}/external/name", "must not be empty")
        found.check(name is not None, f"{path}/external/name", "not defined")
    _check_dvdi_options(info, path, engine, found)
    found.check(volume["containerPath"] not in (".", ".."), f"{path}/containerPath", "can not be one of (.,..)")
    if engine == "MESOS":
        found.check(volume["mode"] == "RW", f"{path}/mode", "does not equal RW")


def _check_dvdi_options(info: Document, path: str, engine: str, found: Violations) -> None:
    options = info.get("options", {})
    where = f'{path}/external/options("{_DRIVER}")'
    driver = options.get(_DRIVER)
    if driver is None:
        found.add(where, "not defined")
    elif not _LABEL.search(driver):
        found.add(where, _NO_LABEL)
    elif driver == "rexray":
        _check_rexray(options, f"{path}/external/options", found)
    if engine == "DOCKER":
        found.check(set(options) <= {_DRIVER}, f"{path}/external/options", f"must only contain {_DRIVER}")
        found.check("size" not in info, f"{path}/external/size", "must be undefined for Docker containers")


def _check_rexray(options: Document, path: str, found: Violations) -> None:
    for option in ("dvdi/volumetype", "dvdi/newfstype"):
        found.check(option not in options or bool(_LABEL.search(options[option])), f'{path}/"{option}"', _NO_LABEL)
    operations = options.get("dvdi/iops", "1")
    natural = re.fullmatch(r"[+-]?[0-9]+", operations) is not None and 0 < int(operations) < _LONG
    message = f"Expected a valid, positive integer instead of {operations}"
    found.check(natural, f'{path}/"dvdi/iops"', message)
    over = options.get("dvdi/overwritefs", "true").lower() == "true"
    found.check(over, f'{path}/"dvdi/overwritefs"', "Expected a valid boolean")


def check_external_apps(app: Document, found: Violations) -> None:
    """Note what an app with external volumes may not do as a whole."""
    names = [volume["external"].get("name") for volume in _dvdi(app)]
    for name, times in Counter(name for name in names if name is not None).items():
        message = f"Requested DVDI volume '{name}' is declared more than once within app {app['id']}"
        found.check(times == 1, "/", message)
    if any(not volume["external"].get("shared") for volume in _dvdi(app)) and app["instances"] > 1:
        # The original meant the id and wrote the whole app, in Scala's words.
        found.add("/", f"Number of instances is limited to 1 when declaring DVDI volumes in app [{shown_app(app)}.id]")
    strategy = app.get("upgradeStrategy")
    if _dvdi(app) and strategy is not None:
        over = strategy["maximumOverCapacity"]
        found.check(over == 0, "/upgradeStrategy/maximumOverCapacity", f"got {shown_double(over)}, expected 0.0")


def _dvdi(app: Document) -> list[Document]:
    return [volume for volume in volumes_of(app, "external") if volume["external"].get("provider") == "dvdi"]
