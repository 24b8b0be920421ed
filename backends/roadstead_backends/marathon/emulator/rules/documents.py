"""How the rules look into a document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["Document", "container_of", "is_resident", "is_uri", "modes", "off_host", "volumes_of"]

Document = dict[str, Any]
"""An app, a pod or a part of one as read from JSON by its type: absent optional fields are no keys."""

_URI: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%\u0080-\uffff]*")


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


def is_uri(text: str) -> bool:
    """Whether ``java.net.URI`` would take ``text``."""
    if not _URI.fullmatch(text) or re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return False
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True
