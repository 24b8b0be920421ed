"""JSON documents on disk that are whole: a crash or a full disk leaves the old one or the new one behind."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roadstead.errors import StateError

__all__ = ["DocumentError", "read_document", "write_document"]

_VERSION_KEY = "format_version"


class DocumentError(ValueError):
    """A file that is no document of ours, or a damaged one."""


def write_document(path: Path, version: int, content: Mapping[str, Any]) -> None:
    """Replace the file at ``path`` by ``content``, durably and with mode 0600.

    Raises :class:`StateError` when the disk does not take it.

    The new text is written beside the file and forced to disk before it takes the name, and the name before this
    returns.
    """
    beside = path.with_name(f".{path.name}.new")
    text = json.dumps({_VERSION_KEY: version, **content}, sort_keys=True, separators=(",", ":"))
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="make room on its disk, or make it writable for this user",
        ) from error


def read_document(path: Path, version: int) -> Mapping[str, Any] | None:
    """Return what :func:`write_document` wrote, or ``None`` where there is no file.

    Raises :class:`DocumentError` for a file that is damaged, and :class:`StateError` for one that a newer program
    wrote or that cannot be read at all.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path} is no text") from error
    except OSError as error:
        raise StateError(
            f"{path} cannot be read: {error.strerror or error}", hint="give it back to this user"
        ) from error
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise DocumentError(f"{path} is no JSON: {error}") from error
    found = document.pop(_VERSION_KEY, None) if isinstance(document, dict) else None
    if type(found) is not int or found < 1:
        raise DocumentError(f"{path} does not say its {_VERSION_KEY}")
    if found > version:
        raise StateError(
            f"{path} has format version {found}, this program knows {version}",
            hint="use the newer roadstead that wrote it, or another state directory",
        )
    return dict(document)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
