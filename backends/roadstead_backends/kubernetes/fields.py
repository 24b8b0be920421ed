"""An object of Kubernetes that is read field by field; see :mod:`roadstead.spi.fields`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from roadstead.spi import fields as spi

__all__ = ["Fields"]

_SERVERS_OWN: Final = frozenset(
    {
        *("apiVersion", "kind", "status", "metadata.name", "metadata.namespace", "metadata.uid"),
        *("metadata.resourceVersion", "metadata.generation", "metadata.creationTimestamp", "metadata.managedFields"),
        *("metadata.selfLink", "metadata.ownerReferences", "spec.template.metadata.creationTimestamp", "spec.selector"),
        *("metadata.annotations.deployment.kubernetes.io/revision", "metadata.labels.pod-template-hash"),
        "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration",
    }
)
"""What every object has, or the API server and its tools write: nobody chose it."""

_DEFAULTS: Final[Mapping[str, object]] = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "protocol": "TCP",
    "successThreshold": 1,
    "paused": False,
}
"""What fields are that nobody wrote."""


class Fields(spi.Fields):
    """The fields of an object of Kubernetes."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(document, _is_nobodys)


def _is_nobodys(path: spi.Path, value: object) -> bool:
    if any(spi.dotted(path[:end]) in _SERVERS_OWN for end in range(1, len(path) + 1)):
        return True
    name = path[-1]
    return isinstance(name, str) and name in _DEFAULTS and _DEFAULTS[name] == value
