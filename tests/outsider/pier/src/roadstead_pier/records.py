"""What is kept of a group, in a file of its own: the truth, read before every call and written whole after a change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs

from roadstead.spi.processes import ProcessIdentity, is_running
from roadstead.spi.runtime import Launch
from roadstead.spi.values import Endpoint, GroupKey, Phase, Replica, Template, from_wire, to_wire


@attrs.frozen(kw_only=True)
class Berth:
    """One process; ``kill_at`` (ms since boot) is set once it was asked to stop."""

    id: str
    host: str
    pid: int
    started: int
    boot: str
    began: int
    kill_at: int | None = None
    lost: bool = False

    @property
    def alive(self) -> bool:
        """Whether this very process runs, and not another one with its number."""
        return is_running(ProcessIdentity(self.pid, self.started, self.boot))

    @property
    def counts(self) -> bool:
        """Whether it is one of those that its group was asked for."""
        return self.kill_at is None and not self.lost


@attrs.frozen(kw_only=True)
class Record:
    """A group; ``birth`` tells it from an earlier one of the same key, ``serial`` rises with every change."""

    key: GroupKey
    owner: str
    owner_id: str
    generation: int
    target: int
    template: Template
    launch: Launch
    birth: str
    serial: int = 0
    condemned: bool = False
    berths: tuple[Berth, ...] = ()

    @property
    def version(self) -> str:
        """The token for compare-and-set."""
        return f"{self.birth}.{self.serial}"


def read(folder: Path) -> Iterator[Record]:
    """Yield every group in the directory, whoever owns it."""
    for path in sorted(folder.glob("*.json")):
        yield from_wire(json.loads(path.read_text()), Record)


def write(folder: Path, record: Record) -> None:
    """Save a group, so that it is there as a whole or as it was before; one that is over is removed."""
    path = folder / f"{record.key}.json"
    if record.condemned and not record.berths:
        path.unlink(missing_ok=True)
        return
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(to_wire(record)))
    beside.replace(path)


def shown(berth: Berth, launch: Launch, node: str) -> Replica:
    """Return a process as an observation shows it."""
    phase = Phase.LOST if berth.lost else Phase.RUNNING if berth.kill_at is None else Phase.STOPPING
    return Replica(
        id=berth.id,
        phase=phase,
        node=node,
        endpoint=Endpoint(host=berth.host, grpc=launch.grpc_port, rest=launch.rest_port),
        incarnation=f"{berth.boot[:8]}.{berth.started}.{berth.pid}",
        started_at=berth.began,
    )
