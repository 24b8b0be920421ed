"""The state directory: one folder per fleet that holds all that we remember, readable by its owner only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from roadstead.errors import StateError

__all__ = ["SOCKET_PATH_LIMIT", "StateDirectory", "default_directory", "state_home"]

SOCKET_PATH_LIMIT = 107
"""The longest path of a unix socket, in bytes: ``sun_path`` of unix(7) has 108 with the final zero."""


def state_home(environment: Mapping[str, str], home: Path) -> Path:
    """Return where everything of this user is kept that outlives a process (XDG base directories)."""
    base = environment.get("XDG_STATE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else home / ".local" / "state") / "roadstead"


def default_directory(fleet: str, environment: Mapping[str, str], home: Path) -> Path:
    """Return where the state of ``fleet`` is kept unless the fleet file says otherwise."""
    return state_home(environment, home) / fleet


@attrs.frozen
class StateDirectory:
    """The names in one state directory."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> StateDirectory:
        """Make the directory where it is missing, and make sure that it is ours and can be written.

        Raises :class:`StateError`.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.stat()
            if found.st_uid != os.geteuid():
                raise StateError(
                    f"{path} belongs to user {found.st_uid}", hint="use a state directory of your own: daemon.state"
                )
            if found.st_mode & 0o077:
                path.chmod(0o700)
        except OSError as error:
            raise StateError(
                f"{path} cannot be the state directory: {error.strerror or error}",
                hint="set daemon.state to a directory of yours",
            ) from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise StateError(f"{path} is read-only for this user", hint="set daemon.state to a directory of yours")
        return cls(path)

    @property
    def identity(self) -> Path:
        """Who the fleet is."""
        return self.path / "identity.json"

    @property
    def memory(self) -> Path:
        """What the planner remembers."""
        return self.path / "memory.sqlite"

    @property
    def journal(self) -> Path:
        """What happened."""
        return self.path / "journal.sqlite"

    @property
    def socket(self) -> Path:
        """Where the daemon answers its commands."""
        return self.path / "control.sock"

    @property
    def lock(self) -> Path:
        """What keeps a second writer out."""
        return self.path / "daemon.lock"

    @property
    def log(self) -> Path:
        """What a daemon in the background says."""
        return self.path / "daemon.log"

    def cluster(self, name: str) -> Path:
        """Return the root of one cluster's backend, made where it is missing; raises :class:`StateError`."""
        return _made(self.path / "clusters" / name)

    def gateway(self, name: str) -> Path:
        """Return the root of one gateway, made where it is missing; raises :class:`StateError`."""
        return _made(self.path / "gateways" / name)

    def usable_socket(self) -> Path:
        """Return :attr:`socket`, or raise :class:`StateError` where its path is too long to be bound."""
        length = len(os.fsencode(self.socket))
        if length > SOCKET_PATH_LIMIT:
            raise StateError(
                f"the path of the control socket {self.socket} has {length} bytes, "
                f"the system allows {SOCKET_PATH_LIMIT}",
                hint="set daemon.state to a shorter path",
            )
        return self.socket


def _made(root: Path) -> Path:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"{root} cannot be made: {error.strerror or error}", hint="make the state directory writable"
        ) from error
    return root
