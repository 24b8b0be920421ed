"""Taking over an app that somebody else made, without restarting a task of it.

Nothing of it is written but its number of instances: a label would restart every task. So what makes it ours stands in
the fleet file, and what it was found to be is remembered here, in a file of the daemon's. Losing that costs nothing as
long as the fleet file's line is there: the app is then found to be the same once more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from roadstead.errors import Rejected, Retryable
from roadstead.model import Template
from roadstead.shim.files import make_private_folder, write_json
from roadstead.spi.backend import GroupOrder
from roadstead.template import revision
from roadstead.wire import from_wire, to_wire
from roadstead.world import GroupKey
from roadstead_backends.marathon import names, translate
from roadstead_backends.marathon.importing import live
from roadstead_backends.marathon.messages import App, Port
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.ports_import import Ports
from roadstead_backends.marathon.translate import Stored

__all__ = ["Adopted", "Adoptions", "as_live"]

_LOG = logging.getLogger(__name__)

Json = dict[str, Any]

_FILE: Final = "adopted.json"
_MIB: Final = 1024**2
_MARATHONS_OWN: Final = frozenset(
    {
        *("version", "versionInfo", "instances", "tasks", "deployments", "lastTaskFailure", "readinessCheckResults"),
        *("tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy", "taskStats", "tasksStats"),
    }
)
"""What Marathon tells of an app, and what changes without a task being restarted."""


@attrs.frozen(kw_only=True)
class Adopted:
    """What an app was found to be when it was taken over; ``definition`` is all of it that restarts tasks, as JSON.

    ``grpc`` and ``rest`` are the places of those ports among the app's, -1 for none.
    """

    deployment: str
    owner: str
    generation: int
    template: Template
    definition: str
    grpc: int = -1
    rest: int = -1


class Adoptions:
    """The apps that were taken over on one cluster, by id; kept in ``root``."""

    def __init__(self, root: Path, *, cluster: str, fleet: str, owner_id: str) -> None:
        self._file = root / _FILE
        self._cluster = cluster
        self._fleet = fleet
        self._owner_id = owner_id
        self._known = self._read()

    @property
    def ids(self) -> tuple[str, ...]:
        """The apps that were taken over."""
        return tuple(self._known)

    def has(self, app_id: str) -> bool:
        """Return whether an app was taken over."""
        return app_id in self._known

    def recognise(self, app: App) -> Stored | None:
        """Return what an app says of itself, or what it was found to be; ``None`` for one that is not ours."""
        known = self._known.get(app.id)
        if known is None:
            return translate.stored(app)
        return Stored(
            key=GroupKey(known.deployment, revision(known.template)),
            fleet=self._fleet,
            owner=known.owner,
            owner_id=self._owner_id,
            generation=known.generation,
            template=known.template,
            rendering=known.definition,
        )

    def as_ours(self, app: App) -> App:
        """Return an app with its ports called as ours are, if it was taken over."""
        known = self._known.get(app.id)
        if known is None:
            return app
        named = {known.grpc: "grpc", known.rest: "rest"}
        container = app.container
        if container is not None and container.port_mappings:
            container = msgspec.structs.replace(container, port_mappings=_named(container.port_mappings, named))
        definitions = _named(app.port_definitions, named)
        return msgspec.structs.replace(app, container=container, port_definitions=definitions)

    def take_over(self, order: GroupOrder, definition: bytes, options: MarathonOptions) -> bool:
        """Note the app that ``order`` names as ours; return whether it is to be.

        ``definition`` is the app as Marathon shows it. Raises :class:`Retryable` while it is being changed, and
        :class:`Rejected` for what cannot be taken over.
        """
        document: Json = msgspec.json.decode(definition)
        if self.has(order.adopts) or names.OWNER_ID in (document.get("labels") or {}):
            return False
        if document.get("deployments"):
            raise Retryable("a deployment changes it", cluster=self._cluster, subject=order.adopts)
        found = live(document, options)
        if isinstance(found, str):
            raise self._rejected(order.adopts, found)
        ports = found.served.ports
        if ports.grpc is None and ports.rest is None:
            raise self._rejected(order.adopts, "its server listens on no port that it declares")
        kept = {name: value for name, value in document.items() if name not in _MARATHONS_OWN}
        adopted = Adopted(
            deployment=order.key.deployment,
            owner=order.owner,
            generation=order.generation,
            template=as_live(order.template, found.template, knows_version=found.served.knows_version),
            definition=json.dumps(kept, sort_keys=True, separators=(",", ":")),
            **_places(ports),
        )
        self._write({**self._known, order.adopts: adopted})
        return True

    def forget(self, app_id: str) -> None:
        """Note that an app is gone: another one of its name would not be what was taken over."""
        if self.has(app_id):
            self._write({name: one for name, one in self._known.items() if name != app_id})

    # ---- how it is kept ----

    def _read(self) -> dict[str, Adopted]:
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        try:
            return {name: from_wire(one, Adopted) for name, one in json.loads(text).items()}
        except (ValueError, AttributeError) as error:
            _LOG.warning("%s cannot be read; what it told is found out anew: %s", self._file, error)
            return {}

    def _write(self, known: Mapping[str, Adopted]) -> None:
        make_private_folder(str(self._file.parent))
        write_json(str(self._file), {name: to_wire(one) for name, one in known.items()}, durable=True)
        self._known = dict(known)

    def _rejected(self, subject: str, why: str) -> Rejected:
        return Rejected(
            why, cluster=self._cluster, subject=subject, hint="take `adopt` out of the fleet file, or change the app"
        )


def as_live(ordered: Template, found: Template, *, knows_version: bool) -> Template:
    """Return the template of what runs: what can be read from it, and what cannot as it was ordered.

    What is asked of servers, how they end, where they may run and what only Marathon understands counts as equal.
    """
    known, asked = found.resources, ordered.resources
    batches = found.runtime.batching is not None
    return attrs.evolve(
        ordered,
        model=attrs.evolve(
            ordered.model,
            name=found.model.name,
            source=found.model.source,
            version=found.model.version if knows_version else ordered.model.version,
            digest=found.model.digest or ordered.model.digest,
        ),
        runtime=attrs.evolve(
            ordered.runtime,
            engine=found.runtime.engine,
            image=found.runtime.image or ordered.runtime.image,
            batching=(ordered.runtime.batching or found.runtime.batching) if batches else None,
            args=found.runtime.args,
        ),
        resources=attrs.evolve(
            known,
            memory=asked.memory if _mib(asked.memory.bytes) == _mib(known.memory.bytes) else known.memory,
            disk=asked.disk if _mib(asked.disk.bytes) == _mib(known.disk.bytes) else known.disk,
        ),
        env=found.env,
    )


def _mib(count: int) -> int:
    """Return an amount as Marathon counts it."""
    return -(-count // _MIB)


def _places(ports: Ports) -> dict[str, int]:
    return {
        "grpc": -1 if ports.grpc is None else ports.grpc.index,
        "rest": -1 if ports.rest is None else ports.rest.index,
    }


def _named(ports: tuple[Port, ...], called: Mapping[int, str]) -> tuple[Port, ...]:
    return tuple(msgspec.structs.replace(one, name=called.get(index)) for index, one in enumerate(ports))
