"""What to do about the difference: steps, each with its reason, and all that is held back, with why.

Steps of one plan are carried out in the order settle, grow and bind, route, shrink. Each is idempotent and carries the
precondition that is read just before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from roadstead.autoscaling import Scaling
from roadstead.memory import PlanMemory
from roadstead.model import Reloading, Template
from roadstead.reasons import Reason
from roadstead.units import Duration
from roadstead.world import Endpoint, GroupKey, Listed

__all__ = [
    "Adding",
    "Bind",
    "Delete",
    "Evict",
    "Grow",
    "Held",
    "Plan",
    "Reload",
    "Restart",
    "Revert",
    "Settle",
    "Shrink",
    "Standing",
    "Step",
    "Table",
    "deployment_of",
    "settled_subject",
]


@attrs.frozen(kw_only=True)
class Standing:
    """A replica that must still stand as it was seen, or a destructive step is not taken."""

    cluster: str
    replica: str
    incarnation: str


def settled_subject(deployment: str) -> str:
    """Return what a step about what stands for a deployment is about: no group has such a name."""
    return f"objects of {deployment}"


@attrs.frozen(kw_only=True)
class Settle:
    """Make, change or remove what stands on a cluster for all of a deployment there.

    ``floor`` is how many of its replicas there nobody may disturb at once, 0 where anybody may be; ``None`` has all of
    it removed. ``was`` is the same as it stands, ``None`` where nothing does.
    """

    cluster: str
    deployment: str
    floor: int | None
    was: int | None
    because: str

    @property
    def subject(self) -> str:
        """What the step is about, as its outcome names it."""
        return settled_subject(self.deployment)


@attrs.frozen(kw_only=True)
class Grow:
    """Create a group, or raise or restore its count to ``target``.

    ``version`` is ``None`` when the group must not exist yet. With ``reloading``, an existing group is also told the
    version to load.
    """

    cluster: str
    group: GroupKey
    owner: str
    generation: int
    template: Template
    target: int
    was: int
    reloading: Reloading | None = None
    version: str | None
    because: str

    @property
    def subject(self) -> str:
        """What the step is about, as its outcome names it."""
        return str(self.group)


@attrs.frozen(kw_only=True)
class Bind:
    """Put a slot on a node."""

    cluster: str
    replica: str
    group: GroupKey
    node: str
    devices: tuple[str, ...]
    because: str

    @property
    def subject(self) -> str:
        """What the step is about, as its outcome names it."""
        return self.replica


@attrs.frozen(kw_only=True)
class Shrink:
    """Lower a group's count to ``target``.

    ``retire`` are drained: the gateway was seen to list none of them, and to have nothing in flight to them, except to
    those that are ``overdue``, whose grace is over. Just before, that must still be so, ``standing`` must still serve,
    and none of ``idle`` may be ready: these could not serve, so that nothing stands in for them. ``most_settled`` is
    how many of the deployment's replicas there nobody may disturb by then, at most; ``None``: as many as there are.
    """

    cluster: str
    group: GroupKey
    owner: str
    generation: int
    template: Template
    target: int
    was: int
    retire: tuple[str, ...]
    overdue: tuple[str, ...] = ()
    version: str
    standing: tuple[Standing, ...]
    idle: tuple[str, ...] = ()
    most_settled: int | None = None
    because: str

    @property
    def subject(self) -> str:
        """What the step is about, as its outcome names it."""
        return str(self.group)


@attrs.frozen(kw_only=True)
class Delete:
    """Remove an empty or condemned group."""

    cluster: str
    group: GroupKey
    grace: Duration
    version: str
    standing: tuple[Standing, ...]
    because: str

    @property
    def subject(self) -> str:
        """What the step is about, as its outcome names it."""
        return str(self.group)


@attrs.frozen(kw_only=True)
class _Ending:
    """That one replica's server ends where it is; ``idle`` and ``overdue`` as for :class:`Shrink`."""

    cluster: str
    deployment: str
    replica: str
    incarnation: str
    grace: Duration
    standing: tuple[Standing, ...]
    idle: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()
    because: str

    @property
    def subject(self) -> str:
        """What the step is about, as its outcome names it."""
        return self.replica


@attrs.frozen(kw_only=True)
class Restart(_Ending):
    """Restart one replica in place."""


@attrs.frozen(kw_only=True)
class Evict(_Ending):
    """Take one replica away and leave its group's count, so that another one comes."""


@attrs.frozen(kw_only=True)
class Reload:
    """Have one replica load the model version of ``template`` beside what it serves, and serve that from then on."""

    cluster: str
    deployment: str
    replica: str
    incarnation: str
    endpoint: Endpoint
    template: Template
    standing: tuple[Standing, ...]
    because: str

    @property
    def subject(self) -> str:
        """What the step is about, as its outcome names it."""
        return self.replica


@attrs.frozen(kw_only=True)
class Revert:
    """Put back what a group was made with, where somebody else changed what is stored of it."""

    cluster: str
    group: GroupKey
    version: str
    standing: tuple[Standing, ...] = ()
    because: str

    @property
    def subject(self) -> str:
        """What the step is about, as its outcome names it."""
        return str(self.group)


Adding = Settle | Grow | Bind
"""What takes nothing away from anybody, and comes first."""

Step = Adding | Reload | Restart | Evict | Revert | Shrink | Delete


def deployment_of(step: Step) -> str:
    """Return the deployment that ``step`` is for."""
    return step.deployment if isinstance(step, Settle | Reload | Restart | Evict) else step.group.deployment


@attrs.frozen(kw_only=True)
class Held:
    """Something that is wanted and not done, with the reason.

    ``cluster`` is empty where it concerns none in particular.
    """

    deployment: str
    cluster: str
    reason: Reason


@attrs.frozen
class Table:
    """Where each deployment answers; a deployment without endpoints is in it with none.

    ``draining``, for deployments with a gateway, are endpoints that get no new request and to which some may be in
    flight: they stay where the gateway shows that.
    """

    endpoints: Mapping[str, tuple[Listed, ...]] = MappingProxyType({})
    draining: Mapping[str, tuple[Listed, ...]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Plan:
    """What one turn does, and the memory to be written before it is done.

    ``wanted`` is the number of replicas of each deployment that the decision was about, ``floor`` how many serving ones
    our own actions leave it. ``unsettled`` are those that were not as they should be; all others were passed over.
    ``spread`` says of the unsettled how many replicas each cluster should end with; all others, and those that no
    cluster can take, belong on their first one. ``scaled`` are those of which load made another number than was wanted
    before.
    """

    steps: tuple[Step, ...]
    held: tuple[Held, ...]
    table: Table
    memory: PlanMemory
    wanted: Mapping[str, int]
    floor: Mapping[str, int]
    unsettled: frozenset[str] = frozenset()
    spread: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    scaled: tuple[Scaling, ...] = ()
