"""``roadstead daemon``."""

from __future__ import annotations

import time

import attrs
import click
import psutil

from roadstead.cli.entry import interrupted_means
from roadstead.cli.errors import TimedOut
from roadstead.cli.exits import Exit
from roadstead.cli.follow import timeout_option
from roadstead.cli.locate import Located, locate
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.text.status import headline

__all__ = ["command"]

_EVERY = 0.1


@click.group("daemon")
def command() -> None:
    """Start, stop or ask for the daemon.

    The daemon follows the fleet file, keeps the fleet as it says, and heals what breaks. Replicas run on without it.
    """


@command.command("start", cls=Command)
@common()
@click.option("--background", is_flag=True, help="Return when it answers. [default: stay in the foreground]")
def _start(*, background: bool) -> None:
    """Start the daemon.

    In the foreground it logs to stderr, and Ctrl-C ends it and leaves replicas as they are. In the background it logs
    to daemon.log in its state directory.
    """
    screen = Screen()
    located = locate(screen.settings.file)
    if located.client.alive():
        screen.say(f"the daemon of fleet {located.fleet} runs already")
        return
    # A web server and every backend's client, which no other command needs.
    from roadstead.daemon.process import log_to, run, start  # noqa: PLC0415
    from roadstead.spi.host import PluginHost  # noqa: PLC0415

    if background:
        pid = start(located.file, located.state)
        screen.say(f"the daemon of fleet {located.fleet} runs: process {pid}, log {located.state.log}")
        return
    interrupted_means("replicas run on, and nobody heals")
    log_to(None)
    run(located.file, PluginHost.installed())


@command.command("stop", cls=Command)
@common()
@click.option("--stop-replicas", is_flag=True, help="Take every replica down first. [default: they run on]")
@timeout_option
def _stop(*, stop_replicas: bool, timeout: int) -> None:
    """Stop the daemon; replicas run on, unless --stop-replicas is given."""
    screen = Screen()
    located = locate(screen.settings.file)
    client = located.client
    if not client.alive():
        screen.say(f"no daemon runs for fleet {located.fleet}")
        return
    if stop_replicas and not screen.ask(f"take down every replica of fleet {located.fleet}?"):
        screen.say("nothing was stopped")
        raise click.exceptions.Exit(Exit.ERROR)
    interrupted_means("the daemon goes on stopping")
    pid = client.pid()
    client.stop(stop_replicas=stop_replicas)
    _until_gone(located, pid, timeout)
    screen.say("the daemon is gone" + ("" if stop_replicas else "; its replicas run on, and nobody heals"))


def _until_gone(located: Located, pid: int | None, timeout: int) -> None:
    """Wait until the control socket and the process are gone, so that another may start; raises :class:`TimedOut`."""
    deadline = time.monotonic() + timeout / 1000
    while located.state.socket.exists() or (pid is not None and psutil.pid_exists(pid)):
        if time.monotonic() >= deadline:
            raise TimedOut(
                "the daemon has not stopped yet, and the time given is over",
                hint=f"it goes on; {located.state.log} says what it waits for",
            )
        time.sleep(_EVERY)


@attrs.frozen(kw_only=True)
class _Running:
    fleet: str
    pid: int | None
    started_at: int | None
    turn: int
    file: str
    staged: bool
    bad_file: tuple[str, ...]


@command.command("status", cls=Command)
@common()
def _status() -> None:
    """Say whether the daemon runs; the exit code is 69 where it does not."""
    screen = Screen()
    located = locate(screen.settings.file)
    status = located.client.status()
    service = status.service
    if screen.text:
        screen.show(headline(status))
        click.echo(f"file   {service.file}" + (" (changed, and wrong)" if service.bad_file else ""))
        click.echo(f"state  {located.state.path}")
        return
    screen.data(
        _Running(
            fleet=status.fleet,
            pid=service.daemon,
            started_at=service.started_at,
            turn=service.turn,
            file=service.file,
            staged=service.staged,
            bad_file=service.bad_file,
        )
    )
