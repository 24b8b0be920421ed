"""One server and one group of a simulated cluster as they really are."""

from __future__ import annotations

import attrs

from roadstead.model import Reloading, Template
from roadstead.reasons import Reason
from roadstead.world import Drift, Endpoint, Exit, GroupKey, Phase, Replica
from roadstead_backends.simulated.tempers import Timings

__all__ = ["Server", "StoredGroup", "Timings"]


@attrs.define(kw_only=True, eq=False)
class Server:
    """One replica as it really is; ``due`` is when time next does something to it.

    ``serves`` is the version that it answers for, ``well`` whether it answers for it now. ``probed`` is what the
    cluster's own probe last found; ``flap_at`` is when ``well`` changes next, where it does. ``silent``: its node is;
    ``noticed``: the cluster knows.
    """

    id: str
    number: int
    key: GroupKey
    template: Template
    phase: Phase = Phase.SLOT
    node: str | None = None
    devices: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    process: int = 0
    restarts: int = 0
    started_at: int | None = None
    ready_at: int = 0
    serves: int | None = None
    well: bool = True
    flap_at: int | None = None
    loading: int | None = None
    probed: bool = False
    silent: bool = False
    noticed: bool = False
    reason: Reason | None = None
    last_exit: Exit | None = None
    due: int | None = None
    drifted: bool = False

    @property
    def incarnation(self) -> str:
        """Which process this is, empty before the first."""
        return f"{self.id}#{self.process}" if self.process else ""

    @property
    def loaded(self) -> bool:
        """Whether it serves any version of its model now."""
        return self.serves is not None and self.well

    @property
    def holds(self) -> bool:
        """Whether it takes room on its node."""
        return self.node is not None and self.phase is not Phase.LOST

    @property
    def counts(self) -> bool:
        """Whether it is one of those that its group was asked for."""
        return self.phase not in (Phase.STOPPING, Phase.LOST)

    @property
    def ready(self) -> bool:
        """Whether the cluster takes it for ready."""
        return self.phase is Phase.RUNNING and self.probed and not self.noticed

    def seen(self, *, reports_ready: bool) -> Replica:
        """Return it as an observation shows it."""
        return Replica(
            id=self.id,
            phase=self.phase,
            node=self.node,
            devices=self.devices,
            endpoint=self.endpoint,
            incarnation=self.incarnation,
            ready=self.ready if reports_ready else None,
            restarts=self.restarts,
            started_at=self.started_at,
            reason=self.reason,
            last_exit=self.last_exit,
            drifted=self.drifted,
        )


@attrs.define(kw_only=True, eq=False)
class StoredGroup:
    """What is stored about a group; ``servers`` by id, in the order in which they were made.

    ``locked``: it is still becoming what it was last asked for. ``failures`` in a row delay its launches until
    ``launch_after``. ``reason`` is why the cluster makes fewer replicas than it was asked for. ``drift``
    is what somebody else wrote into it; replicas made meanwhile are made from that. ``scaled_by`` is who else decides
    how many there are.
    """

    key: GroupKey
    owner: str
    owner_id: str
    generation: int
    target: int
    template: Template
    version: int
    reloading: Reloading | None = None
    condemned: bool = False
    locked: bool = False
    failures: int = 0
    launch_after: int = 0
    reason: Reason | None = None
    drift: tuple[Drift, ...] = ()
    scaled_by: str = ""
    servers: dict[str, Server] = attrs.field(factory=dict)

    def counting(self) -> list[Server]:
        """Return the servers that are among those asked for."""
        return [server for server in self.servers.values() if server.counts]

    @property
    def is_reached(self) -> bool:
        """Whether it is what it was asked for: so many are ready, and no other is there."""
        servers = self.servers.values()
        return len(servers) == self.target and all(server.ready for server in servers)
