"""Who this fleet is: the owner id on everything that it creates, and what commands asked for on top of the file.

Losing it would mean not knowing our own replicas, so a file that is there and cannot be read is an error for a
person, never a reason to make a new identity.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import attrs

from roadstead.act.documents import DocumentError, read_document, write_document
from roadstead.errors import StateError
from roadstead.model import Intents
from roadstead.wire import from_wire, to_wire

__all__ = ["IDENTITY_VERSION", "Identity", "IdentityStore", "new_owner_id"]

IDENTITY_VERSION = 1
_NO_INTENTS = Intents()


def new_owner_id() -> str:
    """Return 16 random hexadecimal digits: short enough for a label, and never made twice."""
    return secrets.token_hex(8)


@attrs.frozen(kw_only=True)
class Identity:
    """One fleet's identity and the intents that outlive a daemon."""

    fleet: str
    owner_id: str
    intents: Intents = _NO_INTENTS


class IdentityStore:
    """Keeps one :class:`Identity` in one file; ``current`` is what stands there."""

    def __init__(self, path: Path, current: Identity) -> None:
        self._path = path
        self.current = current

    @classmethod
    def open(cls, path: Path, fleet: str, make_id: Callable[[], str] = new_owner_id) -> IdentityStore:
        """Read the identity of ``fleet``, or make it where there is no file.

        Raises :class:`StateError` for anything in between.
        """
        try:
            document = read_document(path, IDENTITY_VERSION)
            if document is None:
                return cls._create(path, Identity(fleet=fleet, owner_id=make_id()))
            found = from_wire(document.get("identity"), Identity)
        except (DocumentError, ValueError) as error:
            raise StateError(
                f"the identity of fleet {fleet!r} cannot be read: {error}",
                hint="restore the file from a copy; deleting it disowns every running replica",
            ) from error
        if found.fleet != fleet:
            raise StateError(
                f"{path.parent} is the state of fleet {found.fleet!r}, not of {fleet!r}",
                hint="set daemon.state to a directory of its own, or name the fleet as before",
            )
        return cls(path, found)

    @classmethod
    def _create(cls, path: Path, identity: Identity) -> IdentityStore:
        store = cls(path, identity)
        store._write(identity)
        return store

    def keep(self, intents: Intents) -> None:
        """Make ``intents`` durable; nothing is written when they are what is already kept."""
        if intents != self.current.intents:
            changed = attrs.evolve(self.current, intents=intents)
            self._write(changed)
            self.current = changed

    def _write(self, identity: Identity) -> None:
        write_document(self._path, IDENTITY_VERSION, {"identity": to_wire(identity)})
