"""``roadstead apply``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import click

from roadstead.cli.direct import Direct
from roadstead.cli.errors import NotUnderstood
from roadstead.cli.exits import Exit
from roadstead.cli.follow import Within, follow, waiting
from roadstead.cli.locate import Located, locate
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import Source, must_follow
from roadstead.cli.text.plan import plan_view_text
from roadstead.cli.text.status import status_view
from roadstead.cli.text.words import plural
from roadstead.config import read_fleet
from roadstead.decide.report import FleetStatus, endpoints
from roadstead.model import Fleet
from roadstead.spi.host import PluginHost

__all__ = ["command"]


@click.command("apply", cls=Command)
@common()
@waiting()
def command(*, detach: bool, timeout: int) -> None:
    """Make the fleet what its file says, and follow it.

    The file is checked, the plan shown, and after a yes handed to the daemon. What has vanished from the file is asked
    for and then removed. Without a daemon this command does the same work itself until it is done; nobody heals
    afterwards.

    The exit code tells how it ended: 0 done, 3 cannot be placed or over a quota, 4 not done in time, 5 rolled back, 65
    the file is wrong.
    """
    screen = Screen()
    located = locate(screen.settings.file)
    fleet = read_fleet(located.file, PluginHost.installed())
    if located.client.alive():
        _through_daemon(screen, located, fleet, detach=detach, timeout=timeout)
    elif detach:
        raise NotUnderstood(
            "--detach needs a daemon that goes on", hint="`roadstead daemon start --background` starts one"
        )
    else:
        _without_daemon(screen, located, fleet, timeout)


def _through_daemon(screen: Screen, located: Located, fleet: Fleet, *, detach: bool, timeout: int) -> None:
    client = located.client
    must_follow(located)
    located.let_settle()
    going = _confirmed(screen, client, fleet)
    turn = client.apply(confirm_removals=going.some)
    if detach:
        screen.say("handed to the daemon; `roadstead status --watch` shows how far it is")
        return
    _done(
        screen,
        follow(screen, client, (*fleet.deployments, *going.deployments), Within(timeout_ms=timeout, from_turn=turn)),
    )


def _without_daemon(screen: Screen, located: Located, fleet: Fleet, timeout: int) -> None:
    with Direct.opened(located, "roadstead apply") as direct:
        going = _confirmed(screen, direct, fleet)
        direct.apply(going.deployments, clusters=going.clusters, confirm_removals=going.some)
        screen.say("no daemon runs for this fleet: this command does the work itself until it is done")
        within = Within(timeout_ms=timeout, goes_on="replicas that run stay; nobody goes on until the next `apply`")
        _done(screen, follow(screen, _Acting(direct.turn), (*direct.fleet.deployments, *going.deployments), within))
    screen.say("nobody heals now: `roadstead daemon start --background` starts a daemon that does")


@attrs.frozen
class _Acting:
    """Someone whose every answer is a turn."""

    turn: Callable[[], FleetStatus]

    def status(self) -> FleetStatus:
        """Run a turn and return how the fleet is by it."""
        return self.turn()


@attrs.frozen
class _Going:
    """What is no longer in the file, and was confirmed to go."""

    deployments: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()

    @property
    def some(self) -> bool:
        """Whether it is anything at all."""
        return bool(self.deployments or self.gateways or self.clusters)


def _confirmed(screen: Screen, asked: Source, fleet: Fleet) -> _Going:
    """Show the plan, ask, and return what was confirmed to go, of all that ``fleet`` does not declare any more."""
    plan, status = asked.plan(), asked.status()
    orphans = [one for one in status.orphans if not one.removing]
    gateways = [one for one in status.gateways if one.vanished]
    away = [one for one in status.clusters if one.name not in fleet.clusters and one.unreachable_since is not None]
    if screen.text:
        screen.show(plan_view_text(plan, verbose=bool(screen.settings.verbose)))
    if not plan.empty and not screen.ask("do this?"):
        screen.say("nothing was changed")
        raise click.exceptions.Exit(Exit.ERROR)
    if not orphans and not gateways and not away:
        return _Going()
    told = [f"{one.deployment} ({plural(one.replicas, 'replica')})" for one in orphans]
    told += [f"gateway {one.name} ({plural(len(one.deployments), 'deployment')})" for one in gateways]
    told += [f"cluster {one.name} (it does not answer: what may run there is left there)" for one in away]
    if not screen.ask(f"no longer in the fleet file: {', '.join(told)}. remove?"):
        return _Going()
    screen.say(f"no longer in the fleet file, and removed: {', '.join(told)}")
    return _Going(
        tuple(one.deployment for one in orphans), tuple(one.name for one in gateways), tuple(one.name for one in away)
    )


def _done(screen: Screen, status: FleetStatus) -> None:
    if not screen.text:
        screen.data(status)
        return
    screen.show(status_view(status))
    for asked in list(_questions(status))[:1]:
        screen.say(f"it answers: curl {asked}")
    screen.say("next: roadstead status --watch; roadstead predict NAME; roadstead logs -f NAME; roadstead why NAME")


def _questions(status: FleetStatus) -> Iterator[str]:
    """Yield how a client on this machine can ask about a model over REST, the arguments of curl each."""
    for one, replicas in ((one, endpoints(status)[one.name]) for one in status.deployments):
        if one.address is not None and replicas:
            trusting = "--cacert CA.pem " if one.address.tls else ""
            yield f"{trusting}{one.address.from_here.url}/v1/models/{one.model}"
        elif one.address is None:
            for replica in replicas:
                if replica.rest is not None:
                    yield f"http://{replica.host}:{replica.rest}/v1/models/{one.model}"
