"""Which fleet a command is about, and where its daemon answers; without judging the fleet file.

A command must reach the daemon also while somebody is in the middle of a bad edit, or has lost the file. So a daemon
that says of itself that it follows the file is the one that is meant. Where none does, only the two keys that say where
it would be are read here, and a file that is no YAML at all is searched for them by line.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Any

import attrs
import yaml

from roadstead.act.running import records_folder, running
from roadstead.act.state import StateDirectory, default_directory
from roadstead.cli.client import Client
from roadstead.cli.errors import NoFleetFile

__all__ = ["Located", "locate"]

_NAME = re.compile(r"^fleet:[ \t]*[\"']?([A-Za-z0-9]+)", re.MULTILINE)
_STATE = re.compile(
    r"^daemon:[ \t]*(?:#.*)?\n(?:[ \t]+.*\n|[ \t]*\n)*?[ \t]+state:[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE
)
_LARGEST = 4 * 1024 * 1024
_SETTLED = 2.0


@attrs.frozen
class Located:
    """A fleet file, the name of its fleet, and that fleet's state directory, which need not exist.

    Name and state are those of the daemon that follows the file, and without one those that the file gives.
    """

    file: Path
    fleet: str
    state: StateDirectory

    @property
    def client(self) -> Client:
        """The daemon of this fleet, if it runs."""
        return Client(self.state.socket, fleet=self.fleet)

    def let_settle(self) -> None:
        """Wait until the daemon must have read the file: it does so when the file has stood still for a while."""
        with contextlib.suppress(FileNotFoundError):
            time.sleep(min(_SETTLED, max(0.0, self.file.stat().st_mtime + _SETTLED - time.time())))


def locate(file: Path) -> Located:
    """Return the fleet whose daemon follows ``file``, or else the one that ``file`` names.

    Raises :class:`NoFleetFile` where neither says which that is.
    """
    daemon = running(file, records_folder(os.environ))
    if daemon is not None:
        return Located(file=file, fleet=daemon.fleet, state=StateDirectory(Path(daemon.state)))
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            text = opened.read(_LARGEST)
    except OSError as error:
        raise NoFleetFile(
            f"there is no fleet file {file}: {error.strerror}",
            hint="`roadstead init` writes one; --file or ROADSTEAD_FILE names another",
        ) from error
    name, state = _read(text)
    if name is None:
        raise NoFleetFile(f"{file} does not name its fleet", hint="`fleet: NAME` stands near the top of the file")
    path = file.absolute().parent / state if state else default_directory(name, os.environ, Path.home())
    return Located(file=file, fleet=name, state=StateDirectory(path))


def _read(text: str) -> tuple[str | None, str | None]:
    try:
        found: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if isinstance(found, dict):
        daemon = found.get("daemon")
        state = daemon.get("state") if isinstance(daemon, dict) else None
        name = found.get("fleet")
        return str(name) if name else None, str(state) if state else None
    named, kept = _NAME.search(text), _STATE.search(text)
    return named[1] if named else None, kept[1] if kept else None
