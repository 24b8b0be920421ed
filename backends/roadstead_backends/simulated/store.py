"""What a simulated cluster has stored: its groups and their servers, with a version for every change."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from roadstead.world import GroupKey, Phase
from roadstead_backends.simulated.room import Amounts, amounts_of
from roadstead_backends.simulated.servers import Server, StoredGroup

__all__ = ["Store"]


class Store:
    """Every group of one cluster.

    ``pledged`` is what all servers ask for that exist and are not lost, placed or not. ``restless`` are groups that
    changed since somebody last looked after them, in the order in which they did.
    """

    def __init__(self, cluster: str) -> None:
        self.by_key: dict[GroupKey, StoredGroup] = {}
        self.by_id: dict[str, Server] = {}
        self.pledged = Amounts()
        self.restless: dict[GroupKey, None] = {}
        self._cluster = cluster
        self._made = 0
        self._version = 0
        self._touched: dict[GroupKey, None] = {}

    def group_of(self, server: Server) -> StoredGroup:
        """Return the group that ``server`` belongs to."""
        return self.by_key[server.key]

    def servers(self) -> Iterator[Server]:
        """Yield every server of every group."""
        for group in self.by_key.values():
            yield from group.servers.values()

    def take_touched(self) -> Collection[GroupKey]:
        """Return the groups that changed since this was last asked, in the order in which they first did."""
        touched, self._touched = self._touched, {}
        return touched

    def create(self, group: StoredGroup) -> None:
        """Store a new group, without servers yet."""
        self.by_key[group.key] = group
        self.touch(group, stored=True)

    def touch(self, group: StoredGroup, *, stored: bool) -> None:
        """Note that a group looks different; ``stored`` where its version token must change too."""
        if stored:
            group.version = self.tick()
        self._touched[group.key] = None
        self.restless[group.key] = None

    def tick(self) -> int:
        """Return a number that is larger than all before."""
        self._version += 1
        return self._version

    def add(self, group: StoredGroup) -> Server:
        """Make one more replica, without a node."""
        self._made += 1
        server = Server(
            id=f"{self._cluster}.{group.key}.{self._made}",
            number=self._made,
            key=group.key,
            template=group.template,
            drifted=bool(group.drift),
        )
        group.servers[server.id] = self.by_id[server.id] = server
        self.pledged += amounts_of(server.template.resources)
        self.touch(group, stored=True)
        return server

    def write_off(self, server: Server) -> None:
        """Count a server no more, though it is still there to be seen."""
        self.pledged -= amounts_of(server.template.resources)
        self.touch(self.group_of(server), stored=True)

    def readmit(self, server: Server) -> None:
        """Count a server again that had been written off, if its group is still there."""
        group = self.by_key[server.key]
        group.servers[server.id] = self.by_id[server.id] = server
        self.pledged += amounts_of(server.template.resources)
        self.touch(group, stored=True)

    def remove(self, server: Server) -> None:
        """Forget a server, and its group if it was the last of a condemned one."""
        group = self.group_of(server)
        del group.servers[server.id], self.by_id[server.id]
        server.due = None
        if server.phase is not Phase.LOST:
            self.pledged -= amounts_of(server.template.resources)
        self.touch(group, stored=True)
        self.bury(group)

    def bury(self, group: StoredGroup) -> None:
        """Forget a condemned group that has no server left."""
        if group.condemned and not group.servers:
            self.by_key.pop(group.key, None)
