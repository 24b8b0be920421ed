"""Who this fleet is: the owner id on all that it creates, what commands asked for, and where its clients connect.

Losing it would mean not knowing our own replicas, so a file that is there and cannot be read is an error for a
person, never a reason to make a new identity.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from roadstead.act.documents import DocumentError, read_document, write_document
from roadstead.errors import StateError
from roadstead.model import Address, Intents, Reach, Scheduling, Tls
from roadstead.wire import from_wire, to_wire

__all__ = ["IDENTITY_VERSION", "Identity", "IdentityStore", "KeptCluster", "KeptGateway", "new_owner_id"]

IDENTITY_VERSION = 3
"""2 came with addresses and gateways, 3 with clusters; a file of an earlier version has none of them."""


def new_owner_id() -> str:
    """Return 16 random hexadecimal digits: short enough for a label, and never made twice."""
    return secrets.token_hex(8)


@attrs.frozen(kw_only=True)
class KeptGateway:
    """What it takes to drive a gateway again that its file no longer names.

    ``options`` is the JSON of the plugin's own options. The rest is as in :class:`~roadstead.model.GatewaySpec`.
    """

    kind: str
    address: str
    first_port: int
    last_port: int
    tls: Tls | None = None
    options: str


@attrs.frozen(kw_only=True)
class KeptCluster:
    """What it takes to drive a cluster again that its file no longer names.

    ``options`` is the JSON of the plugin's own options. The rest is as in :class:`~roadstead.model.ClusterSpec`.
    """

    backend: str
    scheduling: Scheduling | None = None
    reach: Reach = Reach.DIRECT
    options: str


_NO_INTENTS = Intents()
_NO_ADDRESSES: Mapping[str, Address] = MappingProxyType({})
_NO_GATEWAYS: Mapping[str, KeptGateway] = MappingProxyType({})
_NO_CLUSTERS: Mapping[str, KeptCluster] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Identity:
    """One fleet's identity, and all else that outlives a daemon and is not in the file.

    ``addresses`` are by deployment, ``gateways`` are those that were ever driven and not taken down, ``clusters`` those
    that were ever driven and not let go of, both by name.
    """

    fleet: str
    owner_id: str
    intents: Intents = _NO_INTENTS
    addresses: Mapping[str, Address] = _NO_ADDRESSES
    gateways: Mapping[str, KeptGateway] = _NO_GATEWAYS
    clusters: Mapping[str, KeptCluster] = _NO_CLUSTERS


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
        found = _read(path, fleet)
        if found is None:
            return cls._create(path, Identity(fleet=fleet, owner_id=make_id()))
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

    def keep(self, identity: Identity) -> None:
        """Make ``identity`` durable; nothing is written when it is what is already kept."""
        if identity != self.current:
            self._write(identity)
            self.current = identity

    def keep_on(self) -> None:
        """Write the identity again where somebody removed it.

        Raises :class:`StateError` where another one stands in its place.
        """
        found = _read(self._path, self.current.fleet)
        if found is None:
            self._write(self.current)
        elif (found.fleet, found.owner_id) != (self.current.fleet, self.current.owner_id):
            raise StateError(
                f"{self._path} was replaced by another identity while the daemon ran",
                hint="put the former one back, or restart the daemon to go on as the other",
            )

    def _write(self, identity: Identity) -> None:
        write_document(self._path, IDENTITY_VERSION, {"identity": to_wire(identity)})


def _read(path: Path, fleet: str) -> Identity | None:
    try:
        document = read_document(path, IDENTITY_VERSION)
        return from_wire(document.get("identity"), Identity) if document is not None else None
    except (DocumentError, ValueError) as error:
        raise StateError(
            f"the identity of fleet {fleet!r} cannot be read: {error}",
            hint="restore the file from a copy; deleting it disowns every running replica",
        ) from error
