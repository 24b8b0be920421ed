"""What others declared: found in a file, or on a Marathon. Ours are left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from roadstead.spi.importing import Imported, ImportSource
from roadstead_backends.marathon import names
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.importing import imported

__all__ = ["imports"]

Json = dict[str, Any]


def imports(source: ImportSource) -> tuple[Imported, ...]:
    """Return the apps of a file, or of a Marathon; raises :class:`ValueError` for no JSON or YAML."""
    found = _in_file(source.text) if source.text is not None else _live(source)
    return tuple(imported(one, source.options) for one in found if names.OWNER_ID not in (one.get("labels") or {}))


def _in_file(text: str) -> Iterator[Json]:
    """Yield the apps of what Marathon answers or is sent: an app, a list of them, a group with groups in it."""
    try:
        documents = list(yaml.safe_load_all(text))  # JSON is YAML, too
    except yaml.YAMLError as error:
        raise ValueError(f"it is neither JSON nor YAML: {error}") from error
    for document in documents:
        for one in document if isinstance(document, list) else [document]:
            if not isinstance(one, dict):
                raise ValueError(  # noqa: TRY004  # it is what a file says, and no argument
                    f"{str(one)[:40]!r} is no app, and no list or group of apps"
                )
            yield from _apps(one, "")


def _apps(document: Json, group: str) -> Iterator[Json]:
    if "app" in document:
        yield from _apps(document["app"], group)
        return
    path = _within(group, str(document.get("id", "")))
    if "apps" not in document and "groups" not in document:
        yield {**document, "id": path}
        return
    for one in (*(document.get("apps") or ()), *(document.get("groups") or ())):
        yield from _apps(one, path)


def _within(group: str, name: str) -> str:
    """Return an id as a path; one that is not absolute is meant within its group.

    >>> _within("/prod", "minilm"), _within("/prod", "/other"), _within("", "")
    ('/prod/minilm', '/other', '')
    """
    return name if not name or name.startswith("/") else f"{group.rstrip('/')}/{name}"


def _live(source: ImportSource) -> Iterator[Json]:
    client = Client(source.options, cluster="live")
    try:
        yield from client.documents()
    finally:
        client.close()
