"""What can be run: apps and pods, each a document with the stamps of its versions."""

from __future__ import annotations

from typing import Any

import attrs

from roadstead_backends.marathon.emulator.documents.app_types import APP
from roadstead_backends.marathon.emulator.documents.pod_types import POD
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.rules.documents import Document, container_of, is_resident
from roadstead_backends.marathon.emulator.scheduling.moments import written

__all__ = ["RunSpec", "Stamps"]


@attrs.frozen(kw_only=True)
class Stamps:
    """When the version arose, and when instances and anything else last changed."""

    version: int
    last_scaling: int
    last_config_change: int

    @classmethod
    def of_new(cls, version: int) -> Stamps:
        """The stamps of what is new, or changed in more than its count."""
        return cls(version=version, last_scaling=version, last_config_change=version)

    def scaled(self, version: int) -> Stamps:
        """The stamps after a change of the count alone."""
        return attrs.evolve(self, version=version, last_scaling=version)

    def restarted(self, version: int) -> Stamps:
        """The stamps after a restart that was asked for."""
        return attrs.evolve(self, version=version, last_config_change=version)


@attrs.frozen(kw_only=True, eq=False)
class RunSpec:
    """An app or pod in one version. ``document`` is what Marathon keeps of it, without versions."""

    id: PathId
    document: Document
    stamps: Stamps
    is_pod: bool = False

    @property
    def kind(self) -> str:
        """What actions of deployments call it."""
        return "Pod" if self.is_pod else "Application"

    @property
    def instances(self) -> int:
        """How many are wanted."""
        if self.is_pod:
            scaling: Document = self.document.get("scaling") or {}
            return int(scaling.get("instances", 1))
        return int(self.document["instances"])

    @property
    def version(self) -> int:
        """The version, a point in time."""
        return self.stamps.version

    @property
    def role(self) -> str:
        """The Mesos role that it runs under."""
        return str(self.document.get("role", "*"))

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        labels: dict[str, str] = self.document.get("labels", {})
        return labels

    @property
    def health_checks(self) -> list[Document]:
        """The health checks of an app; a pod's belong to its containers, and to Mesos."""
        checks: list[Document] = self.document.get("healthChecks", [])
        return checks

    @property
    def readiness_check(self) -> Document | None:
        """The one readiness check, if any."""
        checks: list[Document] = self.document.get("readinessChecks", [])
        return checks[0] if checks else None

    @property
    def resident(self) -> bool:
        """Whether persistent volumes tie its instances to their agents."""
        if self.is_pod:
            return any("persistent" in volume for volume in self.document.get("volumes", []))
        return is_resident(self.document)

    @property
    def single(self) -> bool:
        """Whether there may only ever be one instance."""
        return self.labels.get("MARATHON_SINGLE_INSTANCE_APP") == "true"

    @property
    def upgrade(self) -> tuple[float, float]:
        """``minimumHealthCapacity`` and ``maximumOverCapacity``."""
        strategy = self.scheduling["upgrade"] if self.is_pod else self.document["upgradeStrategy"]
        return float(strategy["minimumHealthCapacity"]), float(strategy["maximumOverCapacity"])

    @property
    def scheduling(self) -> Document:
        """The scheduling part of a pod."""
        part: Document = self.document["scheduling"]
        return part

    @property
    def backoff(self) -> tuple[float, float, float]:
        """First delay in seconds, factor, and longest delay in seconds."""
        if self.is_pod:
            part = self.scheduling["backoff"]
            return float(part["backoff"]), float(part["backoffFactor"]), float(part["maxLaunchDelay"])
        document = self.document
        return (
            float(document["backoffSeconds"]),
            float(document["backoffFactor"]),
            float(document["maxLaunchDelaySeconds"]),
        )

    @property
    def kill_selection(self) -> str:
        """Which of equals is killed first."""
        return str((self.scheduling if self.is_pod else self.document).get("killSelection", "YOUNGEST_FIRST"))

    @property
    def unreachable(self) -> tuple[int, int] | None:
        """Seconds until an unreachable instance is replaced and forgotten; None for never."""
        strategy: Any = (self.scheduling if self.is_pod else self.document).get("unreachableStrategy")
        if not isinstance(strategy, dict):
            return None
        return int(strategy["inactiveAfterSeconds"]), int(strategy["expungeAfterSeconds"])

    @property
    def constraints(self) -> list[list[str]]:
        """Its placement constraints, each field, operator and perhaps value."""
        if not self.is_pod:
            found: list[list[str]] = self.document.get("constraints", [])
            return found
        stated = (self.scheduling.get("placement") or {}).get("constraints", [])
        return [[each["fieldName"], each["operator"], *([each["value"]] if "value" in each else [])] for each in stated]

    @property
    def accepted_roles(self) -> list[str] | None:
        """The roles of resources that it takes; None for its own and unreserved ones."""
        if self.is_pod:
            return (self.scheduling.get("placement") or {}).get("acceptedResourceRoles") or None
        return self.document.get("acceptedResourceRoles")

    @property
    def service_ports(self) -> list[int]:
        """The service ports of an app: of its mappings, or else of its definitions."""
        mappings = container_of(self.document).get("portMappings")
        if mappings is not None:
            return [mapping["servicePort"] for mapping in mappings]
        return [definition["port"] for definition in self.document.get("portDefinitions") or []]

    def is_upgrade_of(self, other: RunSpec) -> bool:
        """Whether it differs from ``other`` in anything but count and versions."""
        return _essence(self) != _essence(other)

    def with_instances(self, instances: int) -> RunSpec:
        """The same with another count."""
        if self.is_pod:
            scaling = {**(self.document.get("scaling") or {"kind": "fixed"}), "instances": instances}
            return attrs.evolve(self, document={**self.document, "scaling": scaling})
        return attrs.evolve(self, document={**self.document, "instances": instances})

    def shown(self, *, with_info: bool = True) -> Document:
        """The document as it is answered, with its version, and with ``versionInfo`` where it is known."""
        info = {
            "lastScalingAt": written(self.stamps.last_scaling),
            "lastConfigChangeAt": written(self.stamps.last_config_change),
        }
        stamped = {**self.document, "version": written(self.version)}
        if self.is_pod:
            return POD.written(stamped)
        return APP.written({**stamped, "versionInfo": info} if with_info else stamped)


def _essence(spec: RunSpec) -> Document:
    """All that a change of which makes new instances necessary."""
    count = "scaling" if spec.is_pod else "instances"
    return {key: item for key, item in spec.document.items() if key != count}
