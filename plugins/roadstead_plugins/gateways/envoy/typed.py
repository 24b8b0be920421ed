"""The two shapes that all of Envoy's configuration is made of: a message with its type, and the name of a file."""

from __future__ import annotations

from typing import Any

__all__ = ["OURS", "file_source", "typed"]

OURS = "roadstead"
"""The key of what is ours in metadata that Envoy keeps for us."""


def typed(message: str, **fields: Any) -> dict[str, Any]:
    """Return a message of Envoy's API as JSON that says its type."""
    return {"@type": f"type.googleapis.com/{message}", **fields}


def file_source(path: str) -> dict[str, Any]:
    """Return the source of a resource: one file, read again whenever another one is renamed to its name.

    Without a watched folder on purpose: with one, Envoy reads the files of all subscriptions in it again whenever any
    of them is replaced.
    """
    return {"path_config_source": {"path": path}, "initial_fetch_timeout": "5s"}
