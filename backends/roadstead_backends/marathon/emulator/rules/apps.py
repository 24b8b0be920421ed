"""What makes an app acceptable (``AppValidation``): every broken rule, by path, in Marathon's words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.paths import SEGMENT_PATTERN, path_of
from roadstead_backends.marathon.emulator.refusals import Refusal, Violations
from roadstead_backends.marathon.emulator.rules.as_scala import shown_double, shown_health_check
from roadstead_backends.marathon.emulator.rules.constraints import constraint_fault, converted
from roadstead_backends.marathon.emulator.rules.documents import (
    Document,
    container_of,
    is_resident,
    modes,
    off_host,
    volumes_of,
)
from roadstead_backends.marathon.emulator.rules.linux import check_container_linux
from roadstead_backends.marathon.emulator.rules.networks import NAME_OF_SEVERAL, check_networks
from roadstead_backends.marathon.emulator.rules.roles import check_accepted_roles
from roadstead_backends.marathon.emulator.rules.secrets import check_secrets
from roadstead_backends.marathon.emulator.rules.uris import is_uri
from roadstead_backends.marathon.emulator.rules.volumes import check_external_apps, check_volumes, feature_off

__all__ = [
    "MARATHON_CHECKS",
    "AppRules",
    "check_converted",
    "check_deprecated",
    "check_kept",
    "check_path",
    "check_scheme",
    "check_update_version",
]

_ILLEGAL_PATH: Final = f"must fully match regular expression '{SEGMENT_PATTERN}'"
_RESERVED: Final = "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."
MARATHON_CHECKS: Final = ("HTTP", "HTTPS", "TCP")
_MESOS_CHECKS: Final = ("MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP")


def check_path(text: str, path: str, found: Violations, *, reserved: bool = True) -> None:
    """Note what is wrong with an id."""
    parsed = path_of(text)
    found.check(parsed.has_legal_characters, path, _ILLEGAL_PATH)
    found.check(not (reserved and parsed.ends_reserved), path, _RESERVED)
    if parsed.absolute:
        in_place = parsed.within(parsed.parent).parent == parsed.parent
        found.check(in_place, path, f"Identifier is not child of '{parsed.parent}'")


def check_update_version(update: Document) -> None:
    """Refuse an update that asks for a version and for something else too."""
    found = Violations()
    alone = "version" not in update or set(update) <= {"version", "id"}
    found.check(alone, "/", "The 'version' field may only be combined with the 'id' field.")
    found.raise_any()


def check_deprecated(app: Document) -> None:
    """Refuse what the deprecated fields may not be, alone and beside today's."""
    found = Violations()
    docker = container_of(app).get("docker")
    if docker is not None:
        _check_old_docker(container_of(app), found)
    for index, uri in enumerate(app.get("uris") or []):
        found.check(is_uri(uri), f"/uris({index})", "URI has invalid syntax.")
    found.check(not (app.get("uris") and app.get("fetch")), "/uris", "may not be set in conjunction with fetch")
    address, networks = app.get("ipAddress"), app.get("networks")
    if address is not None and "discovery" in address:
        found.check(
            container_of(app).get("type") != "DOCKER",
            "/ipAddress",
            "ipAddress/discovery is not allowed for Docker containers",
        )
    old_network = (docker or {}).get("network")
    found.check(not (old_network and networks), "/", "must not specify both container.docker.network and networks")
    found.check(not (address is not None and networks), "/", "must not specify both networks and ipAddress")
    _check_old_ports(app, found)
    found.raise_any()


def _check_old_docker(container: Document, found: Violations) -> None:
    docker = container["docker"]
    found.check("credential" not in docker, "/container/docker/credential", "must be empty")
    if container["type"] == "MESOS":
        for field in ("network", "parameters", "portMappings"):
            found.check(not docker.get(field), f"/container/docker/{field}", "must be empty")
    names = [mapping["name"] for mapping in docker.get("portMappings") or [] if "name" in mapping]
    found.check(len(set(names)) == len(names), "/container/docker/portMappings", "Port names must be unique.")


def _check_old_ports(app: Document, found: Violations) -> None:
    ports, definitions = app.get("ports"), app.get("portDefinitions")
    fixed = [port for port in ports or [] if port != 0]
    found.check(len(set(fixed)) == len(fixed), "/", "ports must be unique")
    has_ports = bool(ports or definitions)
    found.check(not ("ipAddress" in app and has_ports), "/", "cannot specify both an IP address and port")
    same = [definition["port"] for definition in definitions or []] == ports
    found.check(same or ports is None or definitions is None, "/", "cannot specify both ports and port definitions")


def check_converted(app: Document) -> None:
    """Refuse what only the conversion into Marathon's own classes finds out: as an internal error, 500."""
    for parts in app.get("constraints", []):
        converted(parts)
    for volume in volumes_of(app, "persistent"):
        for parts in volume["persistent"].get("constraints", []):
            if parts[1] != "LIKE":
                raise Refusal(500, {"message": f"illegal volume constraint {','.join(parts)}"})
    for check in app.get("healthChecks", []):
        _check_protocol(check)
    check = app.get("check")
    if check is not None and sum(kind in check for kind in ("http", "tcp", "exec")) != 1:
        raise Refusal(500, {"message": "illegal RAML Check: expected one of http, tcp or exec checks"})
    if check is not None:
        check_scheme(check)


def check_kept(app: Document, *, in_group: bool) -> None:
    """Refuse what the rules of Marathon's own classes find beyond those of the JSON.

    What they find in an app of a group's update stands at the app's id instead of at its own place.
    """
    found = Violations()
    for index, definition in enumerate(app.get("portDefinitions") or []):
        port = definition["port"]
        found.check(port >= 0, f"/portDefinitions({index})/port", f"got {port}, expected 0 or more")
    for index, check in enumerate(app.get("readinessChecks", [])):
        timeout = check["timeoutSeconds"]
        found.check(timeout > 0, f"/readinessChecks({index})/timeout/toSeconds", "got 0, expected more than 0")
    _check_unreachable(app.get("unreachableStrategy"), found)
    if in_group:
        found = found.gathered(f"/apps/{app['id']}")
    found.raise_any()


def _check_unreachable(strategy: Document | str | None, found: Violations) -> None:
    """Note instances that would be forgotten before they are given up."""
    if isinstance(strategy, dict):
        inactive, expunge = strategy["inactiveAfterSeconds"], strategy["expungeAfterSeconds"]
        message = f"got {_seconds(inactive)}, expected {_seconds(expunge)} or less"
        found.check(inactive <= expunge, "/unreachableStrategy/inactiveAfter", message)


def _seconds(count: int) -> str:
    return f"{count} second" if count == 1 else f"{count} seconds"


def _check_protocol(check: Document) -> None:
    protocol = check["protocol"]
    if "command" in check and ("path" in check or "port" in check):
        raise Refusal(
            500, {"message": f"{shown_health_check(check)} (of class mesosphere.marathon.raml.AppHealthCheck)"}
        )
    if "command" in check and protocol != "COMMAND":
        raise Refusal(500, {"message": f"illegal protocol {protocol} specified with command"})
    if "command" not in check and protocol == "COMMAND":
        raise Refusal(500, {"message": "illegal protocol COMMAND for non-command health check"})


def check_scheme(check: Document) -> None:
    """Refuse a check over HTTPS, which the conversion does not know: in Scala's words for that."""
    if check.get("http", {}).get("scheme") == "HTTPS":
        raise Refusal(500, {"message": "HTTPS (of class mesosphere.marathon.raml.HttpScheme$Https$)"})


@attrs.frozen(kw_only=True)
class AppRules:
    """The rules of canonical apps, under these flags and for these roles."""

    features: Collection[str]
    default_network: str | None
    roles: Sequence[str]

    def check(self, app: Document) -> None:
        """Refuse an app that breaks a rule."""
        found = Violations()
        self._check_container(app, found)
        self._check_ports(app, found)
        self._check_commands(app, found)
        self._check_health(app, found)
        self._check_fetch_and_secrets(app, found)
        self._check_scheduling(app, found)
        self._check_readiness(app, found)
        self._check_identity(app, found)
        check_networks(app["networks"], self.default_network, found)
        check_external_apps(app, found)
        found.raise_any()

    def _check_container(self, app: Document, found: Violations) -> None:
        container = app.get("container")
        if container is None:
            return
        mappings = container.get("portMappings") or []
        names = [mapping["name"] for mapping in mappings if "name" in mapping]
        found.check(len(set(names)) == len(names), "/container/portMappings", "Port names must be unique.")
        self._check_network_names(app, mappings, found)
        check_volumes(app, self.features, found)
        if "linuxInfo" in container:
            check_container_linux(container["linuxInfo"], "/container/linuxInfo", found)
        docker = container.get("docker")
        found.check(docker is not None or container["type"] == "MESOS", "/container/docker", "not defined")
        if docker is not None and "pullConfig" in docker:
            self._check_pull_config(app, docker, found)
        if container["type"] == "DOCKER":
            found.check(
                modes(app["networks"]).count("container") <= 1,
                "/",
                "may only specify a single container network when using the Docker container engine",
            )

    @staticmethod
    def _check_network_names(app: Document, mappings: Sequence[Document], found: Violations) -> None:
        names = [network["name"] for network in app["networks"] if "name" in network]
        several = modes(app["networks"]).count("container") > 1
        for index, mapping in enumerate(mappings):
            path = f"/container/portMappings({index})"
            for position, name in enumerate(mapping.get("networkNames", [])):
                message = f"is not one of ({','.join(names)})"
                found.check(name in names, f"{path}/networkNames({position})", message)
            found.check(
                not several or "hostPort" not in mapping or len(mapping.get("networkNames", [])) == 1,
                path,
                NAME_OF_SEVERAL,
            )

    def _check_pull_config(self, app: Document, docker: Document, found: Violations) -> None:
        path = "/container/docker/pullConfig"
        if container_of(app)["type"] == "DOCKER":
            found.add(path, "pullConfig is not supported with Docker containerizer")
            return
        if "secrets" not in self.features:
            found.add(path, "must be empty")
            found.add(path, feature_off("secrets"))
        known = docker["pullConfig"]["secret"] in app.get("secrets", {})
        found.check(known, path, "pullConfig.secret must refer to an existing secret")

    @staticmethod
    def _check_ports(app: Document, found: Violations) -> None:
        definitions = app.get("portDefinitions") or []
        names = [definition["name"] for definition in definitions if "name" in definition]
        ports = [definition["port"] for definition in definitions if definition["port"] != 0]
        found.check(len(set(names)) == len(names), "/portDefinitions", "Port names must be unique.")
        found.check(len(set(ports)) == len(ports), "/portDefinitions", "Ports must be unique.")
        mapped = bool(container_of(app).get("portMappings"))
        on_host = "host" in modes(app["networks"])
        found.check(not (on_host and mapped), "/", "portMappings are not allowed with host-networking")
        found.check(
            not (off_host(app["networks"]) and definitions),
            "/",
            "portDefinitions are only allowed with host-networking",
        )

    @staticmethod
    def _check_commands(app: Document, found: Violations) -> None:
        cmd, args, container = app.get("cmd"), bool(app.get("args")), container_of(app)
        found.check(cmd is None or len(cmd) > 1, "/", "must not be an empty string")
        one = (cmd is not None) != args
        neither_with_image = not (cmd is not None and args) and "docker" in container
        found.check(
            one or neither_with_image,
            "/",
            "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
        )

    @staticmethod
    def _check_health(app: Document, found: Violations) -> None:
        mappings = container_of(app).get("portMappings")
        ports = len(mappings or app.get("portDefinitions") or [])
        docker = container_of(app).get("type") == "DOCKER"
        checks = app.get("healthChecks", [])
        for index, check in enumerate(checks):
            path, protocol = f"/healthChecks({index})", check["protocol"]
            if "command" not in check and protocol in MARATHON_CHECKS:
                by_index = "portIndex" in check
                holds = check["portIndex"] < ports if by_index else "port" in check or ports == 1
                message = (
                    "Health check port indices must address an element of the ports array or container port mappings."
                )
                found.check(holds, path, message)
            found.check(
                check["ipProtocol"] == "IPv4" or (protocol in _MESOS_CHECKS and docker),
                path,
                "IPv6 can only be used for container type DOCKER and Mesos http/https/tcp health checks",
            )
        commands = sum("command" in check for check in checks)
        of_mesos = sum("command" in check or check["protocol"] in ("COMMAND", *_MESOS_CHECKS) for check in checks)
        found.check(of_mesos - commands <= 1, "/", "AppDefinition can contain at most one Mesos health check")

    def _check_fetch_and_secrets(self, app: Document, found: Violations) -> None:
        for index, artifact in enumerate(app.get("fetch", [])):
            found.check(is_uri(artifact["uri"]), f"/fetch({index})/uri", "URI has invalid syntax.")
        check_secrets(app, "/env", app.get("env", {}), self.features, found)

    def _check_scheduling(self, app: Document, found: Violations) -> None:
        for parts in app.get("constraints", []):
            fault = constraint_fault(parts)
            if fault is not None:
                found.add("/constraints", fault)
        self._check_roles(app, found)
        if app["gpus"] > 0:
            docker = container_of(app).get("type") == "DOCKER"
            found.check(not docker, "/", "GPU resources only work with the Mesos containerizer")
            found.check("gpu_resources" in self.features, "/", feature_off("gpu_resources"))
        labels, single = app["labels"], app["labels"].get("MARATHON_SINGLE_INSTANCE_APP") == "true"
        found.check(
            not labels.get("DCOS_MIGRATION_API_VERSION") or _migrates(labels),
            "/",
            "DCOS_PACKAGE_FRAMEWORK_NAME and DCOS_MIGRATION_API_PATH must be defined"
            " when using DCOS_MIGRATION_API_VERSION",
        )
        found.check(not single or app["instances"] <= 1, "/", "Single instance app may only have one instance")
        self._check_strategies(app, found, single=single)
        check_limits(app, app.get("resourceLimits"), found)

    def _check_roles(self, app: Document, found: Violations) -> None:
        role, accepted = app["role"], app.get("acceptedResourceRoles")
        found.check(role in self.roles, "/role", f"got {role}, expected one of: [{', '.join(self.roles)}]")
        if is_resident(app):
            found.check(role != "*", "/role", "Resident apps cannot have the role *")
        if accepted is not None:
            check_accepted_roles(accepted, found, of="app", resident=is_resident(app))
            allowed = "*" if role == "*" else f"* and {role}"
            message = f"acceptedResourceRoles can only contain {allowed}"
            found.check(set(accepted) <= {"*", role}, "/acceptedResourceRoles", message)

    @staticmethod
    def _check_strategies(app: Document, found: Violations, *, single: bool) -> None:
        strategy = app.get("upgradeStrategy")
        resident = is_resident(app)
        if strategy is not None and (single or resident):
            over, healthy = strategy["maximumOverCapacity"], strategy["minimumHealthCapacity"]
            found.check(over == 0, "/upgradeStrategy/maximumOverCapacity", f"got {shown_double(over)}, expected 0.0")
            if single:
                found.check(
                    healthy == 0, "/upgradeStrategy/minimumHealthCapacity", f"got {shown_double(healthy)}, expected 0.0"
                )
        found.check(
            not resident or app.get("unreachableStrategy", "disabled") == "disabled",
            "/",
            "unreachableStrategy must be disabled for resident tasks",
        )

    @staticmethod
    def _check_readiness(app: Document, found: Violations) -> None:
        checks = app.get("readinessChecks", [])
        found.check(len(checks) <= 1, "/readinessChecks/size", f"got {len(checks)}, expected 1 or less")
        mappings = container_of(app).get("portMappings")
        ports = mappings if mappings is not None else app.get("portDefinitions") or []
        names = {port["name"] for port in ports if "name" in port}
        for index, check in enumerate(checks):
            path, name = f"/readinessChecks({index})", check["portName"]
            found.check(name in names, f"{path}/portName", f"No port definition reference for portName {name}")
            timeout, interval = check["timeoutSeconds"], check["intervalSeconds"]
            message = f"got {timeout}, expected less than {interval}"
            found.check(timeout < interval, f"{path}/timeoutSeconds", message)

    @staticmethod
    def _check_identity(app: Document, found: Violations) -> None:
        path = path_of(app["id"])
        check_path(app["id"], "/id", found)
        found.check(not path.is_root, "/id", "Path must contain at least one path element")
        found.check(not path.is_root, "/", "must not be root")
        for index, dependency in enumerate(app.get("dependencies", [])):
            check_path(dependency, f"/dependencies({index})", found)


def check_limits(
    requested: Document, limits: Document | None, found: Violations, path: str = "/resourceLimits"
) -> None:
    """Note limits below what is requested, and such as are neither a number nor ``unlimited``."""
    for name, limit in (limits or {}).items():
        if isinstance(limit, str):
            message = f"'{limit}' is an invalid resource limit. It must be 'unlimited' or a number"
            found.check(limit == "unlimited", f"{path}/{name}", message)
        else:
            least = requested[name]
            message = f"resource limit must be greater than or equal to requested resource ({shown_double(least)})"
            found.check(limit >= least, f"{path}/{name}", message)


def _migrates(labels: Document) -> bool:
    return (
        labels["DCOS_MIGRATION_API_VERSION"] == "v1"
        and bool(labels.get("DCOS_PACKAGE_FRAMEWORK_NAME"))
        and bool(labels.get("DCOS_MIGRATION_API_PATH"))
    )
