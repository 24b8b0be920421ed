"""How clusters of one kind behave where their capabilities leave them a choice: the tempers of simulated clusters.

Two of them are modelled on orchestrators, as far as the backend contract shows them. The times are those of a small,
idle installation; what a real one takes is the scenario's to say.
"""

from __future__ import annotations

import enum

import attrs

from roadstead.capabilities import Capabilities, GpuKind, Limit
from roadstead.model import Scheduling
from roadstead.units import Duration

__all__ = [
    "DIRECTED",
    "KUBERNETES",
    "MARATHON",
    "NATIVE",
    "Picks",
    "Temper",
    "Timings",
    "Victims",
    "capabilities",
    "placed_by_us",
]

_SHORTEST_WAIT = 100


@enum.unique
class Picks(enum.Enum):
    """How a cluster that places by itself picks a node.

    ``FIRST`` takes the first by name on which a replica fits. ``BEST_OF_SOME`` looks at nodes in turn until it has seen
    a few that fit, and takes the emptiest. ``OFFERED`` takes the first of those that happen to be offered.
    """

    FIRST = "first"
    BEST_OF_SOME = "best-of-some"
    OFFERED = "offered"


@enum.unique
class Victims(enum.Enum):
    """Who goes when replicas must go, after those that are named as far as naming counts.

    ``CHANCE``: whoever does least, then anybody. ``CONTROLLER``: unplaced, not running, not ready, then those named,
    the ones on crowded nodes, the ones ready for the shortest time, those that restarted most, the newest.
    ``YOUNGEST``: unreachable, waiting, starting, running, and of equal ones the newest.
    """

    CHANCE = "chance"
    CONTROLLER = "controller"
    YOUNGEST = "youngest"


@attrs.frozen(kw_only=True)
class Timings:
    """How long things take there.

    ``place`` is what a native cluster needs to put a slot on a node, ``pull`` what the first replica with an image
    needs on a node, ``start`` goes from there to a running server, ``load`` from there to an available model, ``stop``
    from the order to the end. The wait before a crashed server starts again begins with ``back_off`` and is
    ``growth`` percent of the one before, up to ``longest_back_off``. ``probe`` is how often the cluster looks whether a
    server is ready, 0 for at once; ``notice`` how long it takes to find that a node is silent, and ``flap`` how long a
    flapping model stays as it is. Each of the first five is drawn anew for every replica, within ``vary`` percent.
    """

    place: Duration = Duration(200)
    pull: Duration = Duration(0)
    start: Duration = Duration(1_000)
    load: Duration = Duration(2_000)
    stop: Duration = Duration(1_000)
    back_off: Duration = Duration(1_000)
    growth: int = attrs.field(default=200, validator=attrs.validators.ge(100))
    longest_back_off: Duration = Duration(300_000)
    probe: Duration = Duration(0)
    notice: Duration = Duration(0)
    flap: Duration = attrs.field(default=Duration(10_000), validator=attrs.validators.ge(Duration(1)))
    vary: int = attrs.field(default=0, validator=[attrs.validators.ge(0), attrs.validators.le(100)])

    def wait(self, failures: int) -> int:
        """Return the milliseconds to wait after the last of ``failures`` in a row: a tenth of a second at the least.

        >>> [Timings(growth=150).wait(failures) for failures in (1, 2, 3, 999)]
        [1000, 1500, 2250, 300000]
        """
        wait, longest = self.back_off.ms, self.longest_back_off.ms
        for _ in range(failures - 1):
            if wait >= longest or self.growth == 100:
                break
            wait = wait * self.growth // 100
        return max(_SHORTEST_WAIT, min(wait, longest))


@attrs.frozen(kw_only=True)
class Temper:
    """How one kind of cluster behaves.

    ``picks`` is ``None`` where it places nothing by itself. ``reports_ready``: readiness is its own word. Where not
    ``shows_nodes``, nodes cannot be observed. ``relaunches``: a server that crashed waits in a queue, with all others
    of its group, and may come back elsewhere; else it is restarted where it was. ``refuses_early``: over its own quota
    it makes no replica at all and says so of the group; else the replica waits. ``ends_returned``: one whose node was
    given up and is back is ended, as another one is there by now; else it counts again, and anybody may be too many.
    ``serves_on``: whoever is told to stop serves for its time to drain first, and its group says so.
    """

    able: Capabilities
    picks: Picks | None = None
    victims: Victims = Victims.CHANCE
    timings: Timings = Timings()
    reports_ready: bool = False
    shows_nodes: bool = True
    relaunches: bool = False
    refuses_early: bool = False
    ends_returned: bool = False
    serves_on: bool = False


def capabilities(
    scheduling: Scheduling,
    *,
    exact_retire: bool = True,
    shares: bool = True,
    binds_devices: bool | None = None,
    settles: bool = False,
) -> Capabilities:
    """Return what a plain simulated cluster can do: everything is enforced by nobody, and a native one heals alone."""
    directed = scheduling is Scheduling.DIRECTED
    return Capabilities(
        scheduling=frozenset({scheduling}),
        exact_retire=exact_retire,
        heals_alone=not directed,
        binds_devices=directed if binds_devices is None else binds_devices,
        restarts=True,
        reloads=True,
        evicts=True,
        reverts=True,
        settles=settles,
        gpu=frozenset({GpuKind.WHOLE, GpuKind.SHARE}) if shares else frozenset({GpuKind.WHOLE}),
        cpu_limit=Limit.NONE,
        memory_limit=Limit.NONE,
        gpu_limit=Limit.NONE,
        schemes=frozenset({"file", "http", "https", "gs", "s3", "oci", "pvc"}),
        secrets=frozenset({"env", "file", "kubernetes"}),
        version="simulated",
        notes=("nothing runs here: servers are pretended",),
    )


DIRECTED = Temper(able=capabilities(Scheduling.DIRECTED))
"""Our placement picks the node, nobody heals, and servers are asked by us whether they are ready."""

NATIVE = Temper(able=capabilities(Scheduling.NATIVE), picks=Picks.FIRST)
"""The plainest cluster that places and heals by itself."""

KUBERNETES = Temper(
    able=attrs.evolve(
        capabilities(Scheduling.NATIVE, exact_retire=False, shares=False, settles=True),
        restarts=False,
        reports_ready=True,
        version="simulated, like Kubernetes",
    ),
    picks=Picks.BEST_OF_SOME,
    victims=Victims.CONTROLLER,
    timings=Timings(
        place=Duration(100),
        start=Duration(1_500),
        stop=Duration(1_000),
        back_off=Duration(10_000),
        probe=Duration(5_000),
        notice=Duration(40_000),
    ),
    reports_ready=True,
    refuses_early=True,
    ends_returned=True,
)
"""A controller replaces lost replicas and picks victims by its own order; readiness is by probe, and no fit is said.

How many replicas of a deployment an administrator may disturb at once is a rule that stands for it as a whole.

A crashed server is restarted in place. A silent node is noticed after 40 s, and given up ``node_lost_after`` later.
"""

MARATHON = Temper(
    able=attrs.evolve(
        capabilities(Scheduling.NATIVE, exact_retire=True, shares=False),
        restarts=False,
        reports_ready=True,
        reloads=False,
        metadata_restarts=True,
        locks=True,
        version="simulated, like Marathon",
    ),
    picks=Picks.OFFERED,
    victims=Victims.YOUNGEST,
    timings=Timings(
        place=Duration(1_000),
        start=Duration(2_000),
        stop=Duration(1_000),
        growth=115,
        probe=Duration(5_000),
        notice=Duration(75_000),
    ),
    reports_ready=True,
    shows_nodes=False,
    relaunches=True,
)
"""A group that is still becoming what it was asked for is locked; retiring kills exactly whom it names, and scales.

Nodes are not shown and no fit is said. A crashed server is launched anew, perhaps elsewhere, from a queue whose delay
is the group's and grows with every failure. What an order to shrink supersedes is ours alone, so it is forced, as a
removal is; an owner or a generation is never written to a group that exists, for that would restart its servers.
"""


def placed_by_us(temper: Temper) -> Temper:
    """Return the same temper where our placement picks the node; whoever heals by itself still makes new slots."""
    able = attrs.evolve(temper.able, scheduling=frozenset({Scheduling.DIRECTED}))
    return attrs.evolve(temper, able=able, picks=None, shows_nodes=True)
