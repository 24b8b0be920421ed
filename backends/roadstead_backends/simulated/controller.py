"""What a simulated cluster's own controllers do: converge counts, pick who goes, and find nodes for slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from heapq import nsmallest
from itertools import islice
from random import Random

from roadstead.model import Quota, Template
from roadstead.reasons import Reason, ReasonCode
from roadstead.units import Duration
from roadstead.world import GroupKey, Phase
from roadstead_backends.simulated.life import Life
from roadstead_backends.simulated.room import Ground, Room
from roadstead_backends.simulated.servers import Server, StoredGroup
from roadstead_backends.simulated.store import Store
from roadstead_backends.simulated.tempers import Picks, Temper, Victims

__all__ = ["Controller"]

_SOME = 8
"""How many nodes that fit a scheduler compares; a real one stops looking at a share of a large cluster too."""

_RANK = {Phase.SLOT: 1, Phase.STARTING: 2, Phase.RUNNING: 3}

Seat = tuple[Room, tuple[str, ...]]


class Controller:
    """Brings groups to their counts, and slots to nodes where the cluster does that by itself.

    It looks after groups of ``owner_id`` only.
    """

    def __init__(self, store: Store, ground: Ground, temper: Temper, owner_id: str, chance: Random) -> None:
        self.life: Life
        self._store = store
        self._ground = ground
        self._temper = temper
        self.owner_id = owner_id
        self._chance = chance
        self._unplaced: dict[str, Server] = {}
        self._short: dict[GroupKey, None] = {}
        self._looked = ground.changes
        self._next_node = 0

    # ---- counts ----

    def converge(self, group: StoredGroup, retire: Collection[str], now: int) -> None:
        """Have a group as many replicas as it was asked for; lost ones are replaced."""
        for server in [one for one in group.servers.values() if one.phase is Phase.LOST]:
            self.life.remove(server)
        counting = group.counting()
        for server in self._victims(counting, retire, len(counting) - group.target):
            self.life.stop(server, group.template.stop.kill_after, now)
        reason = None
        for _ in range(group.target - len(counting)):
            reason = self._refused(group)
            if reason is not None:
                break
            server = self._store.add(group)
            if self._temper.picks is not None:
                self.life.wait_to_launch(server, now)
        if reason != group.reason:
            group.reason = reason
            self._store.touch(group, stored=False)

    def _refused(self, group: StoredGroup) -> Reason | None:
        """Return why the cluster makes no more replicas of a group now."""
        over = self._ground.over_quota(group.template, self._store.pledged) if self._temper.refuses_early else ""
        if not over:
            return None
        self._short[group.key] = None
        return _over_quota(over, self._ground.quota)

    def _victims(self, servers: Sequence[Server], retire: Collection[str], count: int) -> list[Server]:
        """Return so many servers, those that are given up first; none where ``count`` is less than one."""
        exact = retire if self._temper.able.exact_retire else ()
        match self._temper.victims:
            case Victims.CHANCE:
                drawn = {one.id: self._chance.random() for one in servers}
                return nsmallest(count, servers, key=lambda one: (one.id not in exact, _RANK[one.phase], drawn[one.id]))
            case Victims.YOUNGEST:
                return nsmallest(
                    count,
                    servers,
                    key=lambda one: (one.id not in exact, not one.noticed, _RANK[one.phase], -one.number),
                )
            case Victims.CONTROLLER:
                crowd = Counter(one.node for one in servers)
                return nsmallest(
                    count,
                    servers,
                    key=lambda one: (
                        one.node is not None,
                        one.process > 0,
                        one.ready,
                        one.id not in retire,
                        -crowd[one.node],
                        -one.ready_at,
                        -one.restarts,
                        -one.number,
                    ),
                )

    # ---- looking after what changed ----

    def settle(self, now: int) -> None:
        """Look after every group that changed, and try again what may fit since room was made."""
        self._look_after(now)
        while self._ground.changes != self._looked:
            self._looked = self._ground.changes
            short, self._short = self._short, {}
            self._store.restless.update(short)
            self._retry(now)
            self._look_after(now)

    def _look_after(self, now: int) -> None:
        while self._store.restless:
            restless, self._store.restless = self._store.restless, {}
            for key in restless:
                group = self._store.by_key.get(key)
                if group is None or group.condemned or group.owner_id != self.owner_id:
                    continue
                if self._temper.able.heals_alone or group.reason is not None:
                    self.converge(group, (), now)
                if group.locked and group.is_reached:
                    group.locked = False

    def _retry(self, now: int) -> None:
        """Place what was not placed for want of room; of equal ones only the first is tried in vain."""
        waiting, self._unplaced = self._unplaced, {}
        vain: dict[tuple[object, ...], Reason] = {}
        for server in waiting.values():
            if self._store.by_id.get(server.id) is not server or server.phase is not Phase.SLOT:
                continue
            wants = server.template
            alike = (wants.resources, wants.placement, server.key.deployment if wants.placement.spread else "")
            if alike in vain:
                self._wait(server, vain[alike])
            else:
                self.launch(server, now)
                if server.id in self._unplaced and server.reason is not None:
                    vain[alike] = server.reason

    # ---- places ----

    def launch(self, server: Server, now: int) -> None:
        """Find a node for a slot and start it there, or say why there is none."""
        if self._temper.picks is None:
            return
        group = self._store.group_of(server)
        if now < group.launch_after:
            self.life.wait_to_launch(server, now)
            return
        found = self._seat(server, self._temper.picks)
        if isinstance(found, Reason):
            self._wait(server, found)
        else:
            room, devices = found
            self.life.start(server, room.node.name, devices, now)

    def _wait(self, server: Server, reason: Reason) -> None:
        self._unplaced[server.id] = server
        if server.reason != reason:
            server.reason = reason
            self._store.touch(self._store.group_of(server), stored=False)

    def _seat(self, server: Server, picks: Picks) -> Seat | Reason:
        template = server.template
        over = self._ground.over_quota(template, self._ground.held) if not self._temper.refuses_early else ""
        if over:
            return _over_quota(over, self._ground.quota)
        crowded = self._crowded(server, template)
        found = self._picked(template, crowded, picks)
        return found if found is not None else self._ground.refusal(template, crowded)

    def _picked(self, template: Template, crowded: Collection[str], picks: Picks) -> Seat | None:
        count = len(self._ground.rooms)
        if not count:
            return None
        if picks is Picks.FIRST:
            return next(self._ground.seats(template, 0, crowded), None)
        if picks is Picks.OFFERED:
            return next(self._ground.seats(template, self._chance.randrange(count), crowded), None)
        some = list(islice(self._ground.seats(template, self._next_node, crowded), _SOME))
        if not some:
            return None
        self._next_node = (self._next_node + len(some)) % count
        return max(some, key=lambda seat: seat[0].free_cpu)

    def _crowded(self, server: Server, template: Template) -> Collection[str]:
        """Return the nodes where a hard spread forbids one more replica of the deployment, whatever its revision."""
        spread = template.placement.spread
        if spread is None or spread.max_per is None:
            return ()
        crowd: Counter[str] = Counter()
        for key, group in self._store.by_key.items():
            if key.deployment == server.key.deployment:
                crowd.update(
                    _domain(self._ground.rooms[one.node], spread.by)
                    for one in group.servers.values()
                    if one.holds and one.node in self._ground.rooms
                )
        rooms = self._ground.rooms.values()
        return {room.node.name for room in rooms if crowd[_domain(room, spread.by)] >= spread.max_per}

    def stop_all(self, group: StoredGroup, grace: Duration, now: int) -> None:
        """Stop whatever is left of a group."""
        for server in list(group.servers.values()):
            self.life.stop(server, grace, now)
        self._store.bury(group)


def _domain(room: Room, by: str) -> str:
    return room.node.name if by == "hostname" else room.node.attributes.get(by, "")


def _over_quota(over: str, quota: Quota | None) -> Reason:
    raw = f"forbidden: exceeded quota: {over}, limited: {quota}"
    return Reason(code=ReasonCode.QUOTA, detail=f"the cluster's own quota has too little {over} left", raw=raw)
