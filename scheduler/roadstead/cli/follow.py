"""Following the fleet until it is what was asked for, and saying truly how that ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import attrs
import click

from roadstead.cli.entry import interrupted_means
from roadstead.cli.errors import CannotBePlaced, NotReached, Paused, RolledBack, RolloutFailed, TimedOut
from roadstead.cli.lengths import Length
from roadstead.cli.screen import Screen
from roadstead.cli.text.status import changes, progress_table
from roadstead.cli.text.words import FEW_LINES, counted
from roadstead.decide.report import DeploymentStatus, FleetStatus, RolloutState, Verdict, verdict
from roadstead.reasons import ReasonCode
from roadstead.units import Duration

__all__ = ["Following", "Within", "conclude", "follow", "timeout_option", "waiting"]

F = TypeVar("F", bound=Callable[..., Any])

_PATIENCE = 2
"""How many turns in a row must find that something cannot be placed, before it is said: room may just be coming."""

_OPENS_WITHIN = Duration(10_000)
"""How long an address may not be served, for a reason that the gateway gives, before it is said: ports take a moment.

A gateway is looked at as soon as something about it changes, so that turns say nothing about time here.
"""


class Following(Protocol):
    """Whom a status is asked of."""

    def status(self) -> FleetStatus:
        """Return how the fleet is."""


@attrs.frozen(kw_only=True)
class Within:
    """How long something is followed, from which turn on, and what goes on when nobody follows it any more.

    ``every`` is how many seconds lie between two looks.
    """

    timeout_ms: int
    from_turn: int = 0
    every: float = 0.5
    goes_on: str = "the daemon goes on; `roadstead status --watch` shows how far it is"


timeout_option = click.option(
    "--timeout", type=Length(), default="10m", show_default=True, help="How long to wait, such as 90s or 10m."
)


def waiting() -> Callable[[F], F]:
    """Add the flags of a command that waits until what it asked for is done."""

    def decorate(function: F) -> F:
        return click.option(
            "--detach/--wait", "-d/ ", "detach", default=False, help="Do not wait until it is done. [default: wait]"
        )(timeout_option(function))

    return decorate


def follow(screen: Screen, asked: Following, names: tuple[str, ...], within: Within) -> FleetStatus:
    """Show how ``names`` become what was asked for, and return the status in which they are.

    Raises what :func:`conclude` raises where they do not, and :class:`TimedOut`.
    """
    interrupted_means(within.goes_on)
    statuses = _statuses(asked, within)
    last = _shown_live(statuses, names) if screen.live else _shown_by_line(screen, statuses, names)
    conclude(last, names)
    return last


def _statuses(asked: Following, within: Within) -> Iterator[FleetStatus]:
    """Yield statuses for as long as there is time; raises :class:`TimedOut` then."""
    deadline = time.monotonic() + within.timeout_ms / 1000
    while True:
        status = asked.status()
        if status.service.turn >= within.from_turn:
            yield status
        if time.monotonic() >= deadline:
            raise TimedOut(
                "it is not done yet, and the time given is over",
                hint=f"{within.goes_on}; `roadstead why NAME` says what it waits for",
            )
        time.sleep(within.every)


def _is_final(found: Verdict, turns: int, lasted: Duration) -> bool:
    """Return whether a verdict that was found in so many turns, and for so long, is the last word."""
    if found is Verdict.CANNOT_BE_PLACED:
        return turns >= _PATIENCE
    if found is Verdict.NOT_REACHED:
        return lasted.ms >= _OPENS_WITHIN.ms
    return found is not Verdict.ON_ITS_WAY


def _until_final(statuses: Iterator[FleetStatus], names: tuple[str, ...]) -> Iterator[FleetStatus]:
    turn, before, times, since = -1, Verdict.ON_ITS_WAY, 0, 0
    for status in statuses:
        yield status
        found = verdict(status, names)
        if found is not before:
            before, times, since = found, 1, status.at
        elif status.service.turn != turn:
            times += 1
        turn = status.service.turn
        if _is_final(found, times, Duration(max(0, status.at - since))):
            return


def _shown_by_line(screen: Screen, statuses: Iterator[FleetStatus], names: tuple[str, ...]) -> FleetStatus:
    before: FleetStatus | None = None
    for status in _until_final(statuses, names):
        for line in changes(before, status, names):
            screen.say(line)
        before = status
    assert before is not None, "a sequence of statuses ends with a verdict over one of them"
    return before


def _shown_live(statuses: Iterator[FleetStatus], names: tuple[str, ...]) -> FleetStatus:
    from rich.console import Console  # noqa: PLC0415  # for a terminal only
    from rich.live import Live  # noqa: PLC0415

    last: FleetStatus | None = None
    with Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True) as live:
        for status in _until_final(statuses, names):
            live.update(progress_table([one for one in status.deployments if one.name in names]), refresh=True)
            last = status
    assert last is not None, "a sequence of statuses ends with a verdict over one of them"
    return last


def conclude(status: FleetStatus, names: tuple[str, ...]) -> None:
    """Return where ``names`` are what was asked for.

    Raises :class:`CannotBePlaced`, :class:`NotReached`, :class:`Paused`, :class:`RolledBack` or :class:`RolloutFailed`
    for the worst of them.
    """
    found = verdict(status, names)
    chosen = [one for one in status.deployments if one.name in names]
    if found is Verdict.CANNOT_BE_PLACED:
        worst = next(one for one in chosen if one.state is RolloutState.HELD and one.unplaceable)
        raise CannotBePlaced(
            _told(worst, f"{counted(worst.serving)} of {worst.wanted} serve, the rest has no place"), hint=_hint(worst)
        )
    if found is Verdict.NOT_REACHED:
        worst = next(one for one in chosen if one.address is not None and one.address.problem)
        raise NotReached(_told(worst, "its replicas are ready, and clients cannot use its address"), hint=_hint(worst))
    if found is Verdict.PAUSED:
        worst = next(one for one in chosen if one.state is RolloutState.PAUSED)
        hint = f"`roadstead rollout resume {worst.name}` lets it go on"
        raise Paused(f"{worst.name}: its rollout is paused", hint=hint)
    if found is Verdict.ROLLED_BACK:
        worst = next(one for one in chosen if one.state is RolloutState.ROLLED_BACK)
        raise RolledBack(_told(worst, "the new revision failed, the old one serves"), hint=_hint(worst))
    if found is Verdict.FAILED:
        worst = next(one for one in chosen if one.state is RolloutState.FAILED)
        raise RolloutFailed(_told(worst, "it failed, and there is no older revision"), hint=_hint(worst))


def _told(one: DeploymentStatus, what: str) -> str:
    """Return what became of a deployment, why, and the last that was said of a revision that is not there any more."""
    lines = [f"{one.name}: {what}"]
    for cause in one.causes:
        lines.append(str(cause))
        if cause.code is ReasonCode.ROLLOUT_FAILED:
            lines += [f"| {line}" for line in cause.raw.splitlines()[:FEW_LINES]]
    return "\n".join(lines)


def _hint(one: DeploymentStatus) -> str:
    change = next((cause.change for cause in one.causes if cause.change), "")
    return f"{change}; `roadstead why {one.name}` says more" if change else f"`roadstead why {one.name}` says more"
