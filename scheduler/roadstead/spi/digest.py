"""The digest of a model version: one definition for the person who writes it down and for whoever checks it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from roadstead.errors import RoadsteadError

__all__ = ["DigestError", "version_digest"]


class DigestError(RoadsteadError):
    """A model version's files cannot be read as a whole."""

    code = "RS021"
    exit_code = 65


def version_digest(folder: Path) -> str:
    """Return the SHA-256 over a version's files, as 64 hexadecimal digits.

    It is that of the list that ``sha256sum`` prints of them, so that nobody needs us to check it::

        find -L . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum

    Symbolic links count as what they point to. Raises :class:`DigestError` for a folder without files, a link in a
    circle, a name that is more than one line, and what cannot be read.
    """
    try:
        names = sorted(_files(folder, folder, frozenset()))
        listed = [f"{_of_file(folder / name)}  ./{name}\n" for name in names]
    except OSError as error:
        raise DigestError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    if not listed:
        raise DigestError(
            f"{folder} has no files in it", hint="name the folder of one version, such as models/minilm/1"
        )
    return hashlib.sha256("".join(listed).encode("utf-8", "surrogateescape")).hexdigest()


def _files(root: Path, folder: Path, above: frozenset[Path]) -> list[str]:
    real = folder.resolve(strict=True)
    if real in above:
        raise DigestError(f"{folder} is a link to a folder that it is in", hint="remove the link")
    found: list[str] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files(root, entry, above | {real})
        elif entry.is_file():
            name = entry.relative_to(root).as_posix()
            if "\n" in name or "\\" in name or "\r" in name:
                raise DigestError(f"{name!r} has a line break or a backslash in its name", hint="rename the file")
            found.append(name)
    return found


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
