"""``roadstead rollout``."""

from __future__ import annotations

import attrs
import click

from roadstead.cli.errors import NotUnderstood
from roadstead.cli.follow import Within, conclude, follow, timeout_option, waiting
from roadstead.cli.locate import locate
from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import source
from roadstead.cli.text.rollout import rollout_view
from roadstead.decide.report import DeploymentStatus, IntentStatus

__all__ = ["command"]


@attrs.frozen(kw_only=True)
class _Rollout:
    """A deployment's rollout, and what commands asked of the deployment."""

    rollout: DeploymentStatus
    intents: tuple[IntentStatus, ...]


@attrs.frozen(kw_only=True)
class _Asked:
    """What was asked of a rollout, and which turn first knew it."""

    deployment: str
    asked: str
    to: str | None
    turn: int


@click.group("rollout")
def command() -> None:
    """Follow, pause, resume, promote or undo a rollout.

    What is asked for holds through restarts of the daemon, and ends when the deployment's template is changed in the
    fleet file.
    """


@command.command("status", cls=Command)
@common()
@click.argument("name")
@click.option("-w", "--watch", is_flag=True, help="Wait until it has ended, and end as it did.")
@timeout_option
def _status(name: str, *, watch: bool, timeout: int) -> None:
    """Show how far a rollout is: every revision with its replicas, what is proven, and what holds it up."""
    screen = Screen()
    with source(screen) as asked:
        status = asked.status()
        deployment_in(status, name)
        if watch:
            status = follow(screen, asked, (name,), Within(timeout_ms=timeout))
        found = deployment_in(status, name)
        intents = tuple(one for one in status.intents if one.deployment == name)
        if screen.text:
            screen.show(rollout_view(found, intents))
        else:
            screen.data(_Rollout(rollout=found, intents=intents))
        if watch:
            conclude(status, (name,))


@command.command("pause", cls=Command)
@common()
@click.argument("name")
def _pause(name: str) -> None:
    """Have a rollout stand still.

    Nothing more is replaced and no deadline runs. Replicas that are lost are made again as they were, and scaling goes
    on.
    """
    _ask(name, "pause", f"the rollout of {name} stands still; `roadstead rollout resume {name}` lets it go on")


@command.command("resume", cls=Command)
@common()
@click.argument("name")
@waiting()
def _resume(name: str, *, detach: bool, timeout: int) -> None:
    """Have a paused rollout go on."""
    _ask(name, "resume", f"the rollout of {name} goes on", wait=None if detach else timeout)


@command.command("promote", cls=Command)
@common()
@click.argument("name")
@waiting()
def _promote(name: str, *, detach: bool, timeout: int) -> None:
    """Vouch for what the fleet file says: it counts as proven from now on, also where it failed.

    A rollout that is paused stays paused.
    """
    _ask(name, "promote", f"what the fleet file says of {name} counts as proven", wait=None if detach else timeout)


@command.command("undo", cls=Command)
@common()
@click.argument("name")
@click.option("--to", metavar="REVISION", help="Which revision of its history, or which version where it reloads.")
@click.option("--clear", is_flag=True, help="Run again what the fleet file says.")
@waiting()
def _undo(name: str, *, to: str | None, clear: bool, detach: bool, timeout: int) -> None:
    """Go back to the last proven revision before the current one; once more, further back.

    It rolls like any change, from the groups that are kept (`rollout.history`), and ends a pause.
    """
    if clear and to is not None:
        raise NotUnderstood("--to and --clear say different things", hint="--clear goes back to the fleet file")
    if clear:
        _ask(name, "clear", f"{name} runs again what the fleet file says", wait=None if detach else timeout)
    else:
        _ask(name, "undo", f"{name} goes back", to=to, wait=None if detach else timeout)


def _ask(name: str, asked: str, said: str, *, to: str | None = None, wait: int | None = None) -> None:
    """Ask the daemon; with ``wait``, follow what comes of it for as many milliseconds."""
    screen = Screen()
    client = locate(screen.settings.file).client
    deployment_in(client.status(), name)
    turn = client.rollout(name, asked, to)
    screen.say(said)
    if wait is not None:
        follow(screen, client, (name,), Within(timeout_ms=wait, from_turn=turn))
    if not screen.text:
        screen.data(_Asked(deployment=name, asked=asked, to=to, turn=turn))
