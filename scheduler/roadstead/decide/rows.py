"""A deployment as rows: one for each group that exists or should, with what it has and should end with.

Spread, rollout and limits all speak of rows. A migration is nothing special in these terms: the row with an aim is on
another cluster than the rows without one.
"""

from __future__ import annotations

import attrs

from roadstead.model import Reloading, Template
from roadstead.units import Duration
from roadstead.world import NOBODY, Crew, Group, GroupKey, Member, Phase

__all__ = ["Row", "RowKey"]


@attrs.frozen(order=True)
class RowKey:
    """A group's identity over all clusters of one deployment."""

    cluster: str
    revision: str


@attrs.frozen(kw_only=True)
class Row:
    """One group, existing (``group``) or to be made (``None``).

    ``crew`` are its replicas. ``aim`` is how many it should end with; ``current`` says that it is of the revision that
    should run there, even if none should. ``promised`` are replicas that the cluster was asked for, is to make by
    itself, and that are not there yet. ``writable``: the cluster can be written to now, and is ours to write to.
    ``open``: replicas may be started there. ``lost``: so many of its replicas, on a cluster that does not answer, count
    for nothing and are made up elsewhere. ``restarts``: one replica can be restarted in place there, and ``evicts``:
    one can be taken away, so that another comes, where naming it is no more than a preference. ``reloading`` is what is
    to be stored of that; the version to load is then that of ``template``. ``paused``: what serves one version is not
    told to load another one. ``drains_inside``: replicas drain once they were told to stop, and nobody waits before.
    ``relabels``: a group that exists can be given another owner and generation. ``out`` are replicas that are out of
    the table to be restarted or evicted, ``yields`` is the one that is to go first, and ``because`` says why.

    The rest follows from that, and is there from the beginning, since every turn asks for all of it. ``group_key`` is
    the group's identity on its cluster. ``alive`` replicas stand or are promised, and ``count`` hold or will hold
    something, those told to stop included. ``surplus`` standing ones are more than it should end with, and ``need`` is
    how many it lacks.
    """

    key: RowKey
    deployment: str
    template: Template
    reloading: Reloading | None = None
    generation: int
    group: Group | None
    crew: Crew = NOBODY
    aim: int = 0
    current: bool = False
    promised: int = 0
    proven: bool = False
    failed: bool = False
    writable: bool = True
    open: bool = True
    lost: int = 0
    restarts: bool = False
    evicts: bool = False
    paused: bool = False
    drains_inside: bool = False
    exact: bool = True
    relabels: bool = True
    out: frozenset[str] = frozenset()
    yields: str = ""
    because: str = ""
    group_key: GroupKey = attrs.field(init=False, eq=False, repr=False)
    alive: int = attrs.field(init=False, eq=False, repr=False)
    count: int = attrs.field(init=False, eq=False, repr=False)
    surplus: int = attrs.field(init=False, eq=False, repr=False)
    need: int = attrs.field(init=False, eq=False, repr=False)

    @group_key.default
    def _group_key(self) -> GroupKey:
        return GroupKey(self.deployment, self.key.revision)

    @alive.default
    def _alive(self) -> int:
        return max(0, len(self.crew.standing) - self.lost) + self.promised

    @count.default
    def _count(self) -> int:
        return len(self.crew.members) - self.lost + self.promised

    @surplus.default
    def _surplus(self) -> int:
        return max(0, self.alive - self.aim)

    @need.default
    def _need(self) -> int:
        return max(0, self.aim - self.alive) if self.writable and self.open else 0

    @property
    def grace(self) -> Duration:
        """How long a server has between being told to stop and being killed."""
        stop = self.template.stop
        return Duration(stop.drain_within.ms + stop.kill_after.ms) if self.drains_inside else stop.kill_after

    @property
    def waiting(self) -> int:
        """How many were asked for and wait for a node, or are not even there: the cluster has yet to make them."""
        return len(self.crew.slots) + self.promised

    @property
    def members(self) -> tuple[Member, ...]:
        """Its replicas that are not lost."""
        return self.crew.members

    @property
    def standing(self) -> tuple[Member, ...]:
        """The members that were not told to stop."""
        return self.crew.standing

    @property
    def serving(self) -> tuple[Member, ...]:
        """The standing members that serve, and are to go on."""
        if not self.out:
            return self.crew.serving
        return tuple(member for member in self.crew.serving if member.replica.id not in self.out)

    def serves(self, member: Member) -> bool:
        """Return whether giving up ``member`` may cost a serving replica."""
        return member.serving or self._may_cost_another(member)

    def could_serve(self, member: Member) -> bool:
        """Return whether giving up ``member`` may cost a replica that serves, or would if it were listed."""
        return member.ready or member.is_unheard or self._may_cost_another(member)

    def _may_cost_another(self, member: Member) -> bool:
        """Return whether one that serves may go in its place: where the cluster picks, any of those that run.

        Behind a gateway it is different: one that is out already is named, in the hope that it is the one picked.
        """
        if self.exact or member.passage is not None or member.replica.phase is not Phase.RUNNING:
            return False
        return any(one.ready or one.is_unheard for one in self.standing)

    @property
    def can_inherit(self) -> bool:
        """Whether it may be given back what was lost: it is known to work, and replicas may be started there."""
        return self.proven and not self.failed and self.writable and self.open
