"""Numbers, apps and checks as Scala prints them: some of Marathon's messages hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite, isnan
from typing import Any, Final

__all__ = ["shown_app", "shown_double", "shown_health_check"]

_PLAIN_FROM: Final = -3
_PLAIN_BELOW: Final = 7


def shown_double(value: float) -> str:
    """A number of double precision as Java prints it: small ones and large ones by exponent."""
    if not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    exact = Decimal(repr(float(value)))
    if not exact or _PLAIN_FROM <= exact.adjusted() < _PLAIN_BELOW:
        return f"{value:.1f}" if value == int(value) else f"{exact:f}"
    sign, digits, _ = exact.normalize().as_tuple()
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{digits[0]}.{rest}E{exact.adjusted()}"


def shown_app(app: Mapping[str, Any]) -> str:
    """``App(...)``, with the fields in the order in which they are declared."""
    fields = [
        app["id"],
        _option(app.get("acceptedResourceRoles"), _set),
        _list(app.get("args", [])),
        app["backoffFactor"],
        app["backoffSeconds"],
        _option(app.get("cmd")),
        _set([_list(each) for each in app.get("constraints", [])]),
        _option(app.get("container"), _container),
        app["cpus"],
        _set(app.get("dependencies", [])),
        app["disk"],
        _map(app.get("env", {})),
        app["executor"],
        _option(app.get("executorResources"), _executor),
        _list([_fetch(each) for each in app.get("fetch", [])]),
        _set([_record("AppHealthCheck", each) for each in app.get("healthChecks", [])]),
        _option(app.get("check")),
        app["instances"],
        _map(app.get("labels", {})),
        app["maxLaunchDelaySeconds"],
        app["mem"],
        app["gpus"],
        "None",
        _list([_network(each) for each in app.get("networks", [])]),
        "None",
        _option(app.get("portDefinitions"), lambda each: _list([_definition(one) for one in each])),
        _list([_record("ReadinessCheck", each) for each in app.get("readinessChecks", [])]),
        _option(app.get("residency"), lambda each: _record("AppResidency", each)),
        _option(app.get("resourceLimits"), lambda each: _record("ResourceLimits", each)),
        _plain(app["requirePorts"]),
        _map(app.get("secrets", {})),
        _option(app.get("taskKillGracePeriodSeconds")),
        _option(app.get("upgradeStrategy"), _strategy),
        "None",
        _option(app.get("user")),
        "None",
        "None",
        app["killSelection"],
        _option(app.get("unreachableStrategy")),
        _option(app.get("tty")),
        _option(app.get("role")),
    ]
    return f"App({','.join(_plain(field) for field in fields)})"


def shown_health_check(check: Mapping[str, Any]) -> str:
    """``AppHealthCheck(...)``, likewise."""
    fields = [
        _option(check.get("command"), lambda each: _record("AppCommandCheck", each)),
        check["gracePeriodSeconds"],
        _option(check.get("ignoreHttp1xx")),
        check["intervalSeconds"],
        check["maxConsecutiveFailures"],
        _option(check.get("path")),
        _option(check.get("port")),
        _option(check.get("portIndex")),
        check["protocol"],
        check["ipProtocol"],
        check["timeoutSeconds"],
        check["delaySeconds"],
    ]
    return f"AppHealthCheck({','.join(str(field) for field in fields)})"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return shown_double(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _option(value: Any, shown: Callable[[Any], str] = _plain) -> str:
    return "None" if value is None else f"Some({shown(value)})"


def _list(values: list[Any]) -> str:
    return f"List({', '.join(_plain(value) for value in values)})"


def _set(values: list[Any]) -> str:
    return f"Set({', '.join(_plain(value) for value in values)})"


def _map(values: Mapping[str, Any]) -> str:
    return f"Map({', '.join(f'{key} -> {_plain(value)}' for key, value in values.items())})"


def _record(name: str, value: Mapping[str, Any]) -> str:
    return f"{name}({','.join(_plain(item) for item in value.values())})"


def _strategy(value: Mapping[str, Any]) -> str:
    return f"UpgradeStrategy({_plain(value['maximumOverCapacity'])},{_plain(value['minimumHealthCapacity'])})"


def _executor(value: Mapping[str, Any]) -> str:
    return f"ExecutorResources({_plain(value['cpus'])},{_plain(value['mem'])},{_plain(value['disk'])})"


def _network(value: Mapping[str, Any]) -> str:
    return f"Network({_option(value.get('name'))},{value['mode']},{_map(value.get('labels', {}))})"


def _definition(value: Mapping[str, Any]) -> str:
    name = _option(value.get("name"))
    return f"PortDefinition({value['port']},{_map(value.get('labels', {}))},{name},{value['protocol']})"


def _fetch(value: Mapping[str, Any]) -> str:
    flags = ",".join(_plain(value[flag]) for flag in ("extract", "executable", "cache"))
    return f"Artifact({value['uri']},{flags},{_option(value.get('destPath'))})"


def _container(value: Mapping[str, Any]) -> str:
    volumes = _list([_volume(each) for each in value.get("volumes", [])])
    docker = _option(value.get("docker"), lambda each: _record("DockerContainer", each))
    linux = _option(value.get("linuxInfo"))
    mappings = _option(value.get("portMappings"), _list)
    return f"Container({value['type']},{docker},{linux},{volumes},{mappings})"


def _volume(value: Mapping[str, Any]) -> str:
    if "external" not in value:
        return _record("AppVolume", value)
    info = value["external"]
    options = _map(info.get("options", {}))
    parts = [_option(info.get(key)) for key in ("size", "name", "provider")]
    shown = f"DVDIExternalVolumeInfo({','.join(parts)},{options},{_plain(info.get('shared', False))})"
    return f"AppExternalVolume({value['containerPath']},{shown},{value['mode']})"
