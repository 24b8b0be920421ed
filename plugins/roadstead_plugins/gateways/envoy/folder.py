"""The folder of Envoy's configuration: what is in its files, and the files renamed into place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from roadstead.shim.files import make_private_folder, write_whole
from roadstead_plugins.gateways.envoy.translate import TLS_FOLDER, File, version_in

__all__ = ["Folder"]

_BELOW = ("eds", "rds", TLS_FOLDER)


class Folder:
    """Mirrors the files; the first to use it after a start finds what the last one left.

    Nothing here is flushed to the disk: after a loss of power Envoy does not run either, and whatever is not whole is
    written again before it does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        for folder in (path, *(path / name for name in _BELOW)):
            make_private_folder(str(folder))
        self._files = {file.name: file for file in _read(path)}

    @property
    def files(self) -> Mapping[str, File]:
        """What is on disk, by name."""
        return MappingProxyType(self._files)

    def path_of(self, name: str) -> Path:
        """Return where a file is."""
        return self._path / name

    def write(self, file: File) -> None:
        """Replace a file in one step; written again with the same text, Envoy reads it again."""
        write_whole(str(self._path / file.name), file.text, durable=False)
        self._files[file.name] = file

    def remove(self, name: str) -> None:
        """Remove a file that nothing names any more."""
        with contextlib.suppress(FileNotFoundError):
            (self._path / name).unlink()
        self._files.pop(name, None)


def _read(path: Path) -> Iterator[File]:
    for found in sorted(path.rglob("*.json")):
        name = found.relative_to(path).as_posix()
        text = found.read_text(encoding="utf-8", errors="replace")
        version = version_in(text)
        if version:
            yield File(name=name, version=version, text=text)
