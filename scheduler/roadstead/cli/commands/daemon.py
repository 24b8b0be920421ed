"""``roadstead daemon``."""

from __future__ import annotations

import time

import attrs
import click
import psutil

from roadstead.cli.client import Client
from roadstead.cli.entry import interrupted_means
from roadstead.cli.errors import Refused, TimedOut
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
        _print_started(screen, located, located.client.pid(), already=True)
        return
    # A web server and every backend's client, which no other command needs.
    from roadstead.daemon.process import log_to, run, start  # noqa: PLC0415
    from roadstead.spi.host import PluginHost  # noqa: PLC0415

    if background:
        pid = start(located.file, located.state)
        screen.say(f"the daemon of fleet {located.fleet} runs: process {pid}, log {located.state.log}")
        _say_problems(screen, located.client)
        _print_started(screen, located, pid, already=False)
        return
    interrupted_means("replicas run on, and nobody heals")
    log_to(None)
    run(located.file, PluginHost.installed())


def _say_problems(screen: Screen, client: Client) -> None:
    """Say what does not work in a daemon that has just started."""
    try:
        problems = client.status().service.problems
    except Refused as error:
        problems = (str(error),)
    if problems:
        screen.say("\n".join(problems))


def _print_started(screen: Screen, located: Located, pid: int | None, *, already: bool) -> None:
    if not screen.text:
        screen.data(
            _Started(
                fleet=located.fleet,
                pid=pid,
                state=str(located.state.path),
                log=str(located.state.log),
                already=already,
            )
        )


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
        _print_stopped(screen, located, None)
        return
    if stop_replicas and not screen.ask(f"take down every replica of fleet {located.fleet}?"):
        screen.say("nothing was stopped")
        raise click.exceptions.Exit(Exit.ERROR)
    interrupted_means("the daemon goes on stopping")
    pid = client.pid()
    client.stop(stop_replicas=stop_replicas)
    _until_gone(located, pid, timeout)
    screen.say("the daemon is gone" + ("" if stop_replicas else "; its replicas run on, and nobody heals"))
    _print_stopped(screen, located, pid)


def _print_stopped(screen: Screen, located: Located, pid: int | None) -> None:
    if not screen.text:
        screen.data(_Stopped(fleet=located.fleet, pid=pid))


def _until_gone(located: Located, pid: int | None, timeout: int) -> None:
    """Wait until the control socket and the process are gone, so that another may start; raises :class:`TimedOut`."""
    deadline = time.monotonic() + timeout / 1000
    while located.state.socket.exists() or (pid is not None and _runs(pid)):
        if time.monotonic() >= deadline:
            raise TimedOut(
                "the daemon has not stopped yet, and the time given is over",
                hint=f"it goes on; {located.state.log} says what it waits for",
            )
        time.sleep(_EVERY)


def _runs(pid: int) -> bool:
    """Return whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@attrs.frozen(kw_only=True)
class _Started:
    """The daemon that runs now, and whether it did ``already``."""

    fleet: str
    pid: int | None
    state: str
    log: str
    already: bool


@attrs.frozen(kw_only=True)
class _Stopped:
    """Which process has ended, ``None`` where none ran."""

    fleet: str
    pid: int | None


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
