"""How the rules look into a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Document", "container_of", "is_resident", "modes", "off_host", "volumes_of"]

Document = dict[str, Any]
"""An app, a pod or a part of one as read from JSON by its type: absent optional fields are no keys."""


def container_of(app: Mapping[str, Any]) -> Document:
    """The app's container, empty if it has none."""
    found: Document = app.get("container") or {}
    return found


def volumes_of(app: Mapping[str, Any], kind: str) -> list[Document]:
    """The app's volumes that have a field ``kind``."""
    return [volume for volume in container_of(app).get("volumes", []) if kind in volume]


def is_resident(app: Mapping[str, Any]) -> bool:
    """Whether the app has persistent volumes, which tie its instances to their agents."""
    return bool(volumes_of(app, "persistent"))


def modes(networks: Iterable[Mapping[str, Any]]) -> list[str]:
    """The modes of networks."""
    return [network.get("mode", "container") for network in networks]


def off_host(networks: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any of the networks is not the host's."""
    return any(mode != "host" for mode in modes(networks))
