"""``roadstead load``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import click

from roadstead.cli.destination import Aim, aim
from roadstead.cli.errors import LoadFailed, NotUnderstood
from roadstead.cli.lengths import Length
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.text.load import progress_text, report_view
from roadstead.cli.text.words import plural
from roadstead.cli.workload import expected_in, requests_in
from roadstead.load.course import Arrivals, Closed, Course, Open
from roadstead.load.engine import MOST_CONNECTIONS, Measured, measure
from roadstead.load.plot import plot
from roadstead.load.record import Record
from roadstead.load.report import Report, report, timeline_csv
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.load import Caller, Destination, Encryption, Loads, Wire, Work
from roadstead.spi.records import RuntimePlugin

__all__ = ["command"]

_CONNECTIONS = 100
_SOURCE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TARGET = click.Path(dir_okay=False, writable=True, path_type=Path)


class _Rate(click.ParamType[float]):
    """Requests a second: ``200`` or ``200/s``."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        try:
            rate = float(str(value).removesuffix("/s"))
        except ValueError:
            rate = 0.0
        if not 0 < rate <= 1e6:
            self.fail(f"{value!r} is no rate; write 200 or 200/s", param, ctx)
        return rate


class _Versions(click.ParamType[frozenset[int]]):
    """Versions of a model: ``1`` or ``1,2``."""

    name = "versions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        """Return the numbers."""
        if isinstance(value, frozenset):
            return value
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() for part in parts):
            self.fail(f"{value!r} is no list of versions; write 1 or 1,2", param, ctx)
        return frozenset(int(part) for part in parts)


@attrs.frozen(kw_only=True)
class _Given:
    """The flags, lengths in milliseconds."""

    requests: Path
    expect: Path | None
    versions: frozenset[int]
    tolerance: float
    rate: float | None
    arrivals: str
    seed: int
    concurrency: int | None
    connections: int | None
    protocol: str
    duration: int
    warmup: int
    deadline: int
    model: str | None
    runtime: str | None
    ca: Path | None
    server_name: str | None
    every: int
    timeline: Path | None
    plot: Path | None


@click.command("load", cls=Command)
@common()
@click.argument("target", metavar="NAME|HOST:PORT")
@click.option("--requests", type=_SOURCE, required=True, metavar="FILE", help="What to send: a request on each line.")
@click.option("--expect", type=_SOURCE, metavar="FILE", help="The right answers: a line for each request, by version.")
@click.option("--versions", type=_Versions(), default=frozenset(), help="Versions that may answer, such as 1,2.")
@click.option("--tolerance", type=click.FloatRange(min=0), default=1e-4, show_default=True, help="Of each number.")
@click.option("--rate", type=_Rate(), metavar="R[/s]", help="Open loop: so many requests a second.")
@click.option("--arrivals", type=click.Choice([one.value for one in Arrivals]), default="poisson", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the times at which requests are due.")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="Closed loop: so many at any time.")
@click.option(
    "--connections",
    type=click.IntRange(1, MOST_CONNECTIONS),
    help=f"[default: {_CONNECTIONS} in an open loop, one for each request at a time in a closed one]",
)
@click.option("--protocol", type=click.Choice([one.value for one in Wire]), default="grpc", show_default=True)
@click.option("--duration", type=Length(), default="30s", show_default=True, help="How long to measure.")
@click.option("--warmup", type=Length(), default="2s", show_default=True, help="How long before that, counted apart.")
@click.option("--deadline", type=Length(), default="5s", show_default=True, help="How long one request may take.")
@click.option("--model", metavar="NAME", help="The model's name. [default: that of the deployment]")
@click.option("--runtime", metavar="NAME", help="Whose protocol is spoken. [default: the only runtime that can]")
@click.option("--ca", type=_SOURCE, help="Trust who signed the gateway's certificate; HOST:PORT then has TLS.")
@click.option("--server-name", metavar="NAME", help="The name in that certificate. [default: the gateway's address]")
@click.option("--every", type=Length(), default="1s", show_default=True, help="How long a row of the timeline is.")
@click.option("--timeline", type=_TARGET, metavar="FILE.csv", help="Write what happened when.")
@click.option("--plot", type=_TARGET, metavar="FILE.svg", help="Draw it.")
def command(target: str, **flags: Any) -> None:
    """Put a served model under load and tell what became of every request.

    NAME is a deployment: requests go to the address of its gateway, or where it has none to the replicas that are
    listed when it begins. HOST:PORT is any server.

    With --rate, requests are sent when they are due, whatever became of those before, and the time of each is counted
    from then on: what waits because something else is slow is slow too. With --concurrency, the next one is sent when
    one is answered. Nothing is sent twice. What gets no answer within its deadline has failed; so has what gets another
    answer than --expect has, or one from a version that --versions has not.

    The exit code is 0 if every request got a right answer, 1 if not, 130 after Ctrl-C, which tells what there is so
    far.

    \b
    roadstead load minilm --rate 100/s --requests requests.jsonl --expect expected.jsonl --duration 1m
    roadstead load 127.0.0.1:8500 --model minilm --concurrency 8 --requests requests.jsonl
    """  # noqa: D301  # the \b is click's: what follows keeps its lines
    screen = Screen()
    given = _Given(**flags)
    course = _course(given)
    aimed = aim(screen, target, Wire(given.protocol), given.model)
    destination, work = _destination(aimed, given), _work(given, aimed.model)
    caller = _runtime(given.runtime).caller(destination, work)
    found = report(_measured(screen, caller, course, work, given), course, destination, work)
    _tell(screen, found, given)
    if found.interrupted:
        raise KeyboardInterrupt
    if found.counts.failed:
        ways = ", ".join(f"{one.code} {one.count}" for one in found.counts.failures)
        raise LoadFailed(
            f"{found.counts.failed} of {plural(found.counts.sent, 'request')} failed: {ways}",
            hint="`roadstead explain RS046` says what the codes mean",
        )


def _course(given: _Given) -> Course:
    if given.concurrency is not None and given.rate is None:
        pace: Open | Closed = Closed(given.concurrency)
    elif given.rate is not None and given.concurrency is None:
        pace = Open(rate=given.rate, arrivals=Arrivals(given.arrivals), seed=given.seed)
    else:
        raise NotUnderstood("how to send is not clear", hint="either --rate 100/s or --concurrency 8")
    lengths = {"--duration": given.duration, "--deadline": given.deadline, "--every": given.every}
    for flag, length in lengths.items():
        if not length:
            raise NotUnderstood(f"{flag} is nothing", hint=f"such as {flag} 10s")
    return Course(
        pace=pace, duration=given.duration / 1000, warm_up=given.warmup / 1000, deadline=given.deadline / 1000
    )


def _work(given: _Given, model: str) -> Work:
    requests = requests_in(given.requests)
    expected = expected_in(given.expect, len(requests)) if given.expect is not None else ()
    if given.versions and not expected and given.protocol == Wire.REST.value:
        raise NotUnderstood("an answer over REST does not say its version", hint="--expect tells versions apart")
    for file in (given.timeline, given.plot):
        if file is not None and not file.absolute().parent.is_dir():
            raise NotUnderstood(f"there is no folder for {file}", hint="make it, or name another")
    return Work(model=model, requests=requests, expected=expected, versions=given.versions, tolerance=given.tolerance)


def _runtime(name: str | None) -> Loads:
    """Return the runtime of that name, or the only one that can put its servers under load."""
    host = PluginHost.installed()
    if name is not None:
        found = [resolve(host.get(RuntimePlugin, name).factory, f"runtime {name!r}")()]
    else:
        found = list(host.runtimes().values())
    able = [one for one in found if isinstance(one, Loads)]
    if len(able) != 1:
        which = f"runtime {name!r} cannot" if name is not None else f"{len(able)} of the installed runtimes can"
        raise NotUnderstood(f"{which} put its servers under load", hint="--runtime names one; `roadstead backend list`")
    return able[0]


def _destination(aimed: Aim, given: _Given) -> Destination:
    authority = given.ca.read_bytes() if given.ca is not None else None
    if authority is not None and b"-----BEGIN CERTIFICATE-----" not in authority:
        raise NotUnderstood(f"{given.ca} holds no certificate", hint="one in PEM begins with BEGIN CERTIFICATE")
    wanted = given.connections or min(given.concurrency or _CONNECTIONS, MOST_CONNECTIONS)
    return Destination(
        wire=Wire(given.protocol),
        addresses=aimed.addresses,
        connections=max(wanted, len(aimed.addresses)),
        encryption=Encryption(authority=authority, server_name=given.server_name) if aimed.tls or authority else None,
    )


def _measured(screen: Screen, caller: Caller, course: Course, work: Work, given: _Given) -> Measured:
    """Measure, showing on a terminal how it goes."""
    every, requests = given.every / 1000, len(work.requests)

    def begins() -> None:
        screen.say(f"{course.warm_up:g}s of warm-up, then {course.duration:g}s; Ctrl-C ends it and tells what there is")

    if not screen.live:
        return measure(caller, course, requests=requests, every=every, begins=begins)
    # Takes as long to import as all the rest: for a terminal only.
    from rich.live import Live  # noqa: PLC0415

    with Live(console=screen.console(), auto_refresh=False, transient=True) as live:

        def watch(record: Record, now: float) -> None:
            live.update(progress_text(record, now, course.duration), refresh=True)

        return measure(caller, course, requests=requests, every=every, begins=begins, watch=watch)


def _tell(screen: Screen, found: Report, given: _Given) -> None:
    if screen.text:
        screen.show(report_view(found))
    else:
        screen.data(found)
    if given.timeline is not None:
        given.timeline.write_text(timeline_csv(found.timeline), encoding="utf-8")
    if given.plot is not None:
        title = f"{found.model} over {found.protocol}: {found.counts.ok} ok, {found.counts.failed} failed"
        given.plot.write_text(plot(found.timeline, every=found.every, title=title), encoding="utf-8")
