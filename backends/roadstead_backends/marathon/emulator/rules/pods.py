"""What makes a pod acceptable, and what is kept of it (``PodsValidation``, ``PodNormalization``)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import isinf
from typing import Any, Final

import attrs

from roadstead_backends.marathon.emulator.documents.pod_types import POD
from roadstead_backends.marathon.emulator.paths import path_of
from roadstead_backends.marathon.emulator.refusals import Refusal, Violations, illegal
from roadstead_backends.marathon.emulator.rules.apps import check_limits, check_path, check_scheme
from roadstead_backends.marathon.emulator.rules.as_scala import shown_double
from roadstead_backends.marathon.emulator.rules.constraints import constraint_fault
from roadstead_backends.marathon.emulator.rules.documents import Document, modes
from roadstead_backends.marathon.emulator.rules.linux import check_container_linux, check_pod_linux
from roadstead_backends.marathon.emulator.rules.networks import NAME_OF_SEVERAL, check_networks, named
from roadstead_backends.marathon.emulator.rules.roles import check_accepted_roles
from roadstead_backends.marathon.emulator.rules.secrets import check_environment, check_secrets
from roadstead_backends.marathon.emulator.rules.volumes import feature_off

__all__ = ["PodIntake"]

_EMPTY: Final = "must be empty"
_LONGEST: Final = 2.0**63


@attrs.frozen(kw_only=True)
class PodIntake:
    """The way of a pod from its JSON to what is kept, under these flags and for these roles."""

    features: Collection[str]
    default_network: str | None
    roles: Sequence[str]
    default_role: str

    def admitted(self, pod: Document) -> Document:
        """Return what is kept of a pod; refuse one that breaks a rule."""
        self.check(pod)
        return self.converted(pod)

    def check(self, pod: Document) -> None:
        """Refuse a pod that breaks a rule, all but those of its role."""
        found = Violations()
        self._check_identity(pod, found)
        self._check_volumes(pod, found)
        for index, container in enumerate(pod["containers"]):
            self._check_container(pod, container, f"/containers({index})", found)
        names = [container["name"] for container in pod["containers"]]
        found.check(len(set(names)) == len(names), "/containers", "container names must be unique")
        if pod["secrets"] and "secrets" not in self.features:
            found.add("/secrets", _EMPTY)
        check_secrets(pod, "/environment", pod["environment"], self.features, found)
        if "linuxInfo" in pod:
            check_pod_linux(pod["linuxInfo"], "/linuxInfo", found)
        check_networks(pod["networks"], self.default_network, found)
        self._check_scheduling(pod, found)
        self._check_endpoints(pod, found)
        if _is_resident(pod):
            _check_resident(pod.get("scheduling") or {}, found)
        found.raise_any()

    def converted(self, pod: Document) -> Document:
        """Return what is kept of a pod that breaks none of the rules, its role apart."""
        self._check_converted(pod)
        kept = self._kept(pod)
        self._check_role(kept)
        return kept

    @staticmethod
    def _check_identity(pod: Document, found: Violations) -> None:
        path = path_of(pod["id"])
        check_path(pod["id"], "/id", found)
        found.check(path.absolute, "/id", "Path needs to be absolute")
        found.check(not path.is_root, "/id", "Path must contain at least one path element")
        found.check(pod.get("user") != "", "/user", "must not be empty")

    def _check_volumes(self, pod: Document, found: Violations) -> None:
        volumes: list[Document] = pod["volumes"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        for index, volume in enumerate(volumes):
            known = volume["name"] in mounted
            found.check(known, f"/volumes({index})", "volume must be referenced by at least one container")
            if "secret" in volume:
                message = "volume.secret must refer to an existing secret"
                if "secrets" not in self.features:
                    found.add("/podSecretVolumes(pod)", _EMPTY)
                    found.add("/podSecretVolumes(pod)", feature_off("secrets"))
                found.check(volume["secret"] in pod["secrets"], "/podSecretVolumes(pod)", message)
        names = [volume["name"] for volume in volumes]
        found.check(len(set(names)) == len(names), "/volumes", "volume names must be unique")

    def _check_container(self, pod: Document, container: Document, path: str, found: Violations) -> None:
        volumes = {volume["name"] for volume in pod["volumes"]}
        for index, mount in enumerate(container["volumeMounts"]):
            message = "Referenced Volume in VolumeMount should exist"
            found.check(mount["name"] in volumes, f"{path}/volumeMounts({index})/name", message)
        for index, endpoint in enumerate(container["endpoints"]):
            _check_endpoint(pod, endpoint, f"{path}/endpoints({index})", found)
        limits = container.get("resourceLimits")
        check_limits(container["resources"], limits, found, f"{path}/resourceLimits")
        found.check(
            limits is None or not pod.get("legacySharedCgroups"),
            f"{path}/resourceLimits",
            "resourceLimits cannot be defined if legacySharedCgroups is enabled",
        )
        if "linuxInfo" in container:
            check_container_linux(container["linuxInfo"], f"{path}/linuxInfo", found)
        check_environment(pod["secrets"], f"{path}/environment", container["environment"], self.features, found)
        check = container.get("healthCheck")
        if check is not None:
            _check_health(container, check, f"{path}/healthCheck", found)
        image = container.get("image") or {}
        if "pullConfig" in image:
            where = f"{path}/image/pullConfig"
            if "secrets" not in self.features:
                found.add(where, _EMPTY)
                found.add(where, feature_off("secrets"))
            known = image["pullConfig"]["secret"] in pod["secrets"]
            found.check(known, where, "pullConfig.secret must refer to an existing secret")

    @staticmethod
    def _check_scheduling(pod: Document, found: Violations) -> None:
        instances = (pod.get("scaling") or {}).get("instances", 1)
        found.check(instances >= 0, "/scaling/instances", f"got {instances}, expected 0 or more")
        placement = (pod.get("scheduling") or {}).get("placement") or {}
        accepted = placement.get("acceptedResourceRoles", [])
        if accepted:
            rules = Violations()
            check_accepted_roles(accepted, rules, of="pod", resident=_is_resident(pod))
            if rules:
                found.add("/acceptedResourceRoles", _EMPTY)
                found.extend(rules)
        for index, constraint in enumerate(placement.get("constraints", [])):
            parts = [constraint["fieldName"], constraint["operator"]]
            fault = constraint_fault([*parts, constraint["value"]] if "value" in constraint else parts)
            if fault is not None:
                found.add("/scheduling/placement/constraints", _EMPTY)
                found.add(f"/scheduling/placement/constraints({index})", fault)

    @staticmethod
    def _check_endpoints(pod: Document, found: Violations) -> None:
        endpoints = [endpoint for container in pod["containers"] for endpoint in container["endpoints"]]
        names = [endpoint["name"] for endpoint in endpoints]
        # The original's own spelling.
        found.check(len(set(names)) == len(names), "/", "endpoint names nust be unique across all containers")
        for field, words in (("containerPort", "container ports"), ("hostPort", "host ports")):
            ports = [endpoint[field] for endpoint in endpoints if endpoint.get(field)]
            found.check(len(set(ports)) == len(ports), "/", f"{words} must be unique across all containers")

    @staticmethod
    def _check_converted(pod: Document) -> None:
        for container in pod["containers"]:
            check = container.get("check")
            if check is not None and sum(kind in check for kind in ("http", "tcp", "exec")) != 1:
                message = "illegal RAML Check: expected one of http, tcp or exec checks"
                raise Refusal(500, {"message": message})
            if check is not None:
                check_scheme(check)

    def _kept(self, pod: Document) -> Document:
        stated = pod.get("scheduling") or {}
        resident = _is_resident(pod)
        backoff = {"backoff": 1.0, "backoffFactor": 1.15, "maxLaunchDelay": 300.0, **(stated.get("backoff") or {})}
        backoff = {**backoff, **{name: _in_millis(backoff[name]) for name in ("backoff", "maxLaunchDelay")}}
        strategy: Any = {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}
        upgrade = {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 1.0}
        if resident:
            strategy, upgrade = "disabled", {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0}
        scheduling = {
            "backoff": backoff,
            "upgrade": stated.get("upgrade") or upgrade,
            "placement": stated.get("placement") or {},
            "killSelection": stated.get("killSelection", "YOUNGEST_FIRST"),
            "unreachableStrategy": stated.get("unreachableStrategy", strategy),
        }
        kept = {
            **pod,
            "containers": [_with_host_ports(pod, container) for container in pod["containers"]],
            "id": str(path_of(pod["id"])),
            "networks": named(pod["networks"], self.default_network),
            "scaling": pod.get("scaling") or {"instances": 1, "kind": "fixed"},
            "scheduling": scheduling,
            "executorResources": pod.get("executorResources") or {"cpus": 0.1, "mem": 32.0, "disk": 10.0},
            "role": pod.get("role", self.default_role),
        }
        kept.pop("version", None)
        return POD.written(kept)

    def _check_role(self, pod: Document) -> None:
        found = Violations()
        role = pod["role"]
        message = f"got {role}, expected one of: [{', '.join(self.roles)}]"
        found.check(role in self.roles, "/role", message)
        if _is_resident(pod):
            found.check(role != "*", "/role", "Resident pods cannot have the role *")
        accepted = (pod["scheduling"].get("placement") or {}).get("acceptedResourceRoles", [])
        allowed = "*" if role == "*" else f"* and {role}"
        message = f"acceptedResourceRoles can only contain {allowed}"
        found.check(set(accepted) <= {"*", role}, "/acceptedResourceRoles", message)
        found.raise_any()


def _in_millis(seconds: float) -> float:
    """A time as it is kept: in whole milliseconds, and none that is longer than nanoseconds can tell."""
    nanoseconds = 1e9 * seconds
    if isinf(nanoseconds):
        raise illegal(f"Duration DSL not applicable to {shown_double(seconds)}")
    if nanoseconds > _LONGEST:
        raise illegal(f"trying to construct too large duration with {shown_double(nanoseconds)}ns")
    return int(nanoseconds + 0.5) // 1_000_000 / 1000


def _is_resident(pod: Document) -> bool:
    return any("persistent" in volume for volume in pod.get("volumes", []))


def _with_host_ports(pod: Document, container: Document) -> Document:
    """The container with a port on the host for each endpoint, unless pods have addresses of their own."""
    if "container" in modes(pod["networks"]):
        return container
    return {**container, "endpoints": [{"hostPort": 0, **endpoint} for endpoint in container["endpoints"]]}


def _check_resident(scheduling: Document, found: Violations) -> None:
    """Note what a pod with persistent volumes may not ask of its scheduling."""
    upgrade = scheduling.get("upgrade")
    if upgrade is not None:
        over = upgrade["maximumOverCapacity"]
        found.check(over == 0, "/upgrade/maximumOverCapacity", f"got {shown_double(over)}, expected 0.0")
    found.check(
        scheduling.get("unreachableStrategy", "disabled") == "disabled",
        "/",
        "unreachableStrategy must be disabled for pods with persistent volumes",
    )


def _check_endpoint(pod: Document, endpoint: Document, path: str, found: Violations) -> None:
    by_mode = modes(pod["networks"])
    found.check(
        "host" not in by_mode or "containerPort" not in endpoint,
        f"{path}/containerPort",
        "is not allowed when using host-mode networking",
    )
    found.check(
        "container" not in by_mode or "containerPort" in endpoint,
        f"{path}/containerPort",
        "is required when using container-mode networking",
    )
    protocols = endpoint["protocol"]
    found.check(
        len(set(protocols)) == len(protocols),
        f"{path}/protocol",
        "Duplicate protocols within the same endpoint are not allowed",
    )
    found.check(
        by_mode.count("container") <= 1 or "hostPort" not in endpoint or len(endpoint["networkNames"]) == 1,
        path,
        NAME_OF_SEVERAL,
    )
    names = [network["name"] for network in pod["networks"] if "name" in network]
    for index, name in enumerate(endpoint["networkNames"]):
        message = f"is not one of ({','.join(names)})"
        found.check(name in names, f"{path}/networkNames({index})", message)


def _check_health(container: Document, check: Document, path: str, found: Violations) -> None:
    names = {endpoint["name"] for endpoint in container["endpoints"]}
    for kind in ("http", "tcp"):
        if kind in check:
            known = check[kind]["endpoint"] in names
            found.check(known, f"{path}/{kind}/endpoint", "contained in the container endpoints")
    timeout, interval = check["timeoutSeconds"], check["intervalSeconds"]
    found.check(timeout < interval, f"{path}/timeoutSeconds", f"got {timeout}, expected less than {interval}")
    one = sum(kind in check for kind in ("http", "tcp", "exec")) == 1
    found.check(one, path, "Only one of http, tcp, or command may be specified")
