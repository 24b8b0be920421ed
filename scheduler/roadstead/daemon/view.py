"""What the daemon lets others see of itself: one frozen value, replaced after every turn and every command."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from roadstead.act.events import Turn
from roadstead.decide.report import Service as ServiceStatus
from roadstead.model import Fleet
from roadstead.plans import Table
from roadstead.traffic import GatewayState, Unseen
from roadstead.world import Unreachable

__all__ = ["View"]


@attrs.frozen(kw_only=True)
class View:
    """The daemon at one moment.

    ``turn`` is the last one that came to an end, ``None`` before the first. ``bad_file`` are the problems of a saved
    file that is not used, ``staged`` is a good one that waits for ``apply``. ``problems`` are sentences about what does
    not work. ``failing_since`` is since when nothing that turns decide is done (ms since the epoch), ``None`` while it
    is; ``stale`` says that they do not even come to an end. ``turned_at`` is when the last turn ended, in seconds of
    the monotonic clock. ``stopping`` says that the daemon is on its way out.
    """

    fleet: Fleet
    table: Table
    turn: Turn | None = None
    bad_file: tuple[str, ...] = ()
    staged: Fleet | None = None
    problems: tuple[str, ...] = ()
    failing_since: int | None = None
    stale: bool = False
    turned_at: float | None = None
    stopping: bool = False

    @property
    def acts(self) -> bool:
        """Whether turns come to an end, and what they decide is done."""
        return self.failing_since is None

    @property
    def wrong(self) -> tuple[str, ...]:
        """Everything that does not work, a sentence each: ours, the fleet file's, the clusters' and the gateways'."""
        clusters = self.turn.world.clusters if self.turn is not None else {}
        gateways = self.turn.world.data_path.gateways if self.turn is not None else {}
        return (
            *self.problems,
            *(f"the fleet file as saved is not used: {problem}" for problem in self.bad_file),
            *(
                f"cluster {name} does not answer: {cluster.error}"
                for name, cluster in sorted(clusters.items())
                if isinstance(cluster, Unreachable)
            ),
            *(sentence for name, state in sorted(gateways.items()) for sentence in _wrong(name, state)),
        )

    def service(self, *, pid: int, started_at: int, file: str) -> ServiceStatus:
        """Return the part of ``status`` that is about the daemon itself."""
        return ServiceStatus(
            daemon=pid,
            started_at=started_at,
            file=file,
            turn=self.turn.number if self.turn is not None else 0,
            bad_file=self.bad_file,
            staged=self.staged is not None,
            failing_since=self.failing_since if self.stale else None,
            problems=self.problems,
        )


def _wrong(gateway: str, state: GatewayState) -> Iterator[str]:
    if isinstance(state, Unseen):
        yield f"gateway {gateway} does not answer: {state.error}"
        return
    if state.view.problem:
        what = "reports a problem" if state.view.settled else "does not use the newest table"
        yield f"gateway {gateway} {what}: {state.view.problem}"
    for name, route in sorted(state.view.routes.items()):
        if route.problem:
            yield f"clients cannot use port {route.port} of gateway {gateway} for {name}: {route.problem}"
