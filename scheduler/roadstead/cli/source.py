"""Where a command's knowledge comes from: the daemon, or our own look at the clusters where none runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from roadstead.cli.client import Client
from roadstead.cli.errors import OtherFile
from roadstead.cli.locate import Located, locate
from roadstead.cli.screen import Screen
from roadstead.cli.text.status import stale_text
from roadstead.decide.report import Explanation, FleetDrift, FleetLimits, FleetStatus, PlanView

__all__ = ["Source", "must_follow", "say_stale", "source"]


class Source(Protocol):
    """What can be asked of the daemon, and of ourselves."""

    def status(self) -> FleetStatus:
        """Return how the fleet is."""

    def limits(self) -> FleetLimits:
        """Return what everything may use, has and uses."""

    def drift(self) -> FleetDrift:
        """Return what others changed of our objects."""

    def plan(self) -> PlanView:
        """Return what would be done."""

    def why(self, deployment: str) -> Explanation:
        """Return why a deployment is as it is."""

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield what a replica's server prints."""


@contextmanager
def source(screen: Screen, located: Located | None = None) -> Iterator[Source]:
    """Yield the daemon of the fleet, or, saying so, a look of our own that changes nothing."""
    here = located or locate(screen.settings.file)
    if here.client.alive():
        yield here.client
        return
    # The client libraries of every cluster, which a question to the daemon does not need.
    from roadstead.cli.direct import Direct  # noqa: PLC0415

    with Direct.opened(here) as direct:
        # Only whoever got the state knows that no daemon has it.
        screen.say("no daemon runs for this fleet: this is what the clusters say now, and nobody heals")
        yield direct


def say_stale(screen: Screen, asked: Source) -> None:
    """Say beside an answer of the daemon what does not work in it; a look of our own is never stale."""
    if not isinstance(asked, Client):
        return
    service = asked.status().service
    if said := [*filter(None, (stale_text(service),)), *service.problems]:
        screen.say("\n".join(said))


def must_follow(located: Located) -> None:
    """Make sure that the daemon follows the file of ``located``; raises :class:`OtherFile`."""
    followed = Path(located.client.status().service.file)
    if followed.resolve() != located.file.resolve():
        raise OtherFile(
            f"the daemon follows {followed}, not {located.file.absolute()}",
            hint="save the change there, or stop the daemon and start it with this file",
        )
