"""The daemon as a process: in the foreground, or started in the background and waited for until it answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from roadstead.act.clock import Clock, SystemClock
from roadstead.act.events import Turn
from roadstead.act.pacing import Bell
from roadstead.act.running import Running, recorded, records_folder
from roadstead.act.session import Session
from roadstead.act.state import StateDirectory, default_directory
from roadstead.config import read_fleet
from roadstead.daemon.api import Api
from roadstead.daemon.controls import Controls
from roadstead.daemon.errors import DidNotStart, StartFailed
from roadstead.daemon.metrics import Metrics
from roadstead.daemon.service import Service
from roadstead.daemon.serving import Server, bind_control, bind_monitoring
from roadstead.daemon.view import View
from roadstead.errors import RoadsteadError, StateError
from roadstead.model import Fleet
from roadstead.spi.host import PluginHost
from roadstead.units import Duration

__all__ = ["log_to", "run", "start", "state_of", "tell_ready", "tell_refused"]

_LOG = logging.getLogger(__name__)

START_WITHIN = Duration(60_000)
_READY = b"ready\n"
_READY_FD = 3
_LOG_BYTES = 4 * 1024**2
_TAIL = 2000


def state_of(fleet: Fleet, file: Path) -> Path:
    """Return the state directory of ``fleet``: what the file says, relative to itself, or the user's default."""
    if fleet.daemon.state is not None:
        return file.absolute().parent / fleet.daemon.state
    return default_directory(fleet.name, os.environ, Path.home())


def log_to(path: Path | None) -> None:
    """Send what this process has to say to the file at ``path``, bounded to two of 4 MiB, or to standard error."""
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler()
    else:
        handler = _LogFile(path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class _LogFile(logging.handlers.RotatingFileHandler):
    """A bounded file that is begun again where somebody removed it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if self.stream is not None and not Path(self.baseFilename).exists():
            self.stream.close()
            self.stream = None  # as its base class has it opened again
        super().emit(record)


def run(file: Path, host: PluginHost, *, ready: Callable[[], None] = lambda: None, clock: Clock | None = None) -> None:
    """Run the daemon for the fleet in ``file`` until it is told to stop; call in the main thread.

    ``ready`` is called once, when it answers and has tried its first turn. SIGTERM and SIGINT end it and leave replicas
    as they are, SIGHUP reads the file. Raises :class:`RoadsteadError` where it cannot start, with nothing left behind.
    """
    os.umask(0o077)
    file = file.absolute()
    clock = clock or SystemClock()
    fleet = read_fleet(file, host)
    bell = Bell()
    with (
        Session.open(fleet, host, state_of(fleet, file), "daemon", wake=bell.ring, clock=clock) as session,
        # What cannot be listened on is known before the first replica is touched.
        bind_monitoring(fleet.daemon.http) as monitoring,
        bind_control(session.state) as control,
        recorded(_here(fleet, file, session.state), records_folder(os.environ)),
    ):
        session.take_lead()
        session.measure()
        service = Service(session, file, lambda path: read_fleet(path, host), bell, clock)
        metrics = Metrics(lambda: service.view, session.journal.counts, session.gateways.newest)
        service.listen(_Counting(metrics).heard)
        api = Api(service, metrics, clock)
        _LOG.info("fleet %s, state in %s, monitoring on %s", fleet.name, session.state.path, fleet.daemon.http)
        try:
            asyncio.run(_serve(service, api, control, monitoring, ready))
        finally:
            with contextlib.suppress(OSError):  # its folder may be gone
                session.state.socket.unlink(missing_ok=True)


def _here(fleet: Fleet, file: Path, state: StateDirectory) -> Running:
    return Running(file=str(file), fleet=fleet.name, state=str(state.path))


class _Counting:
    """Counts each turn once, however often its view is told."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last: Turn | None = None

    def heard(self, view: View) -> None:
        """Take in a new view."""
        if view.turn is not None and view.turn is not self._last:
            self._last = view.turn
            self._metrics.turned(view.turn)


async def _serve(
    service: Service, api: Api, control: socket.socket, monitoring: socket.socket, ready: Callable[[], None]
) -> None:
    """Answer requests while the service runs on a thread of its own, and end with it."""
    loop = asyncio.get_running_loop()
    controls = Controls(api, service.session.state, control)
    monitor = Server(api.monitoring(), monitoring)
    tried = asyncio.Event()

    def seen(_: View) -> None:
        loop.call_soon_threadsafe(tried.set)

    service.listen(seen)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    ended: asyncio.Future[None] = loop.create_future()
    thread = threading.Thread(target=_loop, args=(service, loop, ended), name="turns")
    serving = [asyncio.ensure_future(one) for one in (controls.run(), monitor.run_until_ended())]
    thread.start()
    try:
        trying = asyncio.ensure_future(_until(tried, ready))
        await ended
        trying.cancel()
    finally:
        service.stop()
        api.streams.end()
        controls.end()
        monitor.end()
        await asyncio.gather(*serving)
        thread.join()


async def _until(event: asyncio.Event, then: Callable[[], None]) -> None:
    await event.wait()
    then()


def _loop(service: Service, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
    """Run the service, and tell the event loop how that ended."""
    try:
        service.run()
    except BaseException as error:  # noqa: BLE001  # the main thread raises it again
        loop.call_soon_threadsafe(ended.set_exception, error)
    else:
        loop.call_soon_threadsafe(ended.set_result, None)


# ---- in the background ----


def start(file: Path, state: StateDirectory) -> int:
    """Start a daemon that outlives this process, and return its process id once it answers.

    Its log is ``daemon.log`` in ``state``. Raises :class:`StartFailed` with the words of a daemon that refused to
    start, and :class:`DidNotStart` for one that said nothing.
    """
    StateDirectory.open(state.path)
    _must_take_lines(state.log)
    reading, writing = os.pipe()
    try:
        try:
            pid = _spawn(file.absolute(), state.log, writing)
        finally:
            os.close(writing)
        said, is_over = _heard(reading)
    finally:
        os.close(reading)
    if said == _READY:
        return pid
    raise _why(said, pid, state.log, is_over=is_over)


def _must_take_lines(log: Path) -> None:
    """Make sure that the log can be written: whoever starts could tell nobody why it does not."""
    try:
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StateError(
            f"{log} cannot be written: {error.strerror or error}",
            hint="make room on its disk, or make it writable for this user",
        ) from error


def _spawn(file: Path, log: Path, writing: int) -> int:
    """Start the daemon in a session of its own, and return its process id.

    Not a :class:`subprocess.Popen`: that expects to be waited for, and this one is to outlive us.
    """
    command = (sys.executable, "-m", "roadstead.daemon", str(file), "--log", str(log), "--ready-fd", str(_READY_FD))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        command,
        os.environ,
        file_actions=(
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writing, _READY_FD),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ),
        setsid=True,
    )


def _heard(descriptor: int) -> tuple[bytes, bool]:
    """Return all that a starting daemon says, and whether that is all that it will ever say."""
    said = b""
    deadline = time.monotonic() + START_WITHIN.seconds
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return said, True
        said += chunk
    return said, False


def _why(said: bytes, pid: int, log: Path, *, is_over: bool) -> RoadsteadError:
    if not is_over:
        text = f"the daemon (process {pid}) does not answer within {START_WITHIN}"
        return DidNotStart(text, hint=f"it goes on trying: look into {log}")
    # Whoever says nothing more has ended, or is just about to.
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if said:
        try:
            told = json.loads(said)
            return StartFailed(told["message"], told=told["code"], exits=told["exit_code"], hint=told["hint"])
        except (ValueError, KeyError, TypeError):
            _LOG.debug("a starting daemon said %r", said)
    tail = log.read_bytes()[-_TAIL:].decode("utf-8", errors="replace").strip()
    return DidNotStart(f"the daemon ended with status {status} before it answered:\n{tail}", hint=f"look into {log}")


def tell_ready(descriptor: int) -> None:
    """Say to whoever started this process that the daemon answers."""
    _say(descriptor, _READY)


def tell_refused(descriptor: int, error: RoadsteadError) -> None:
    """Say to whoever started this process why there is no daemon."""
    told = {"code": error.code, "message": str(error), "hint": error.hint, "exit_code": int(error.exit_code)}
    _say(descriptor, json.dumps(told).encode("ascii"))


def _say(descriptor: int, text: bytes) -> None:
    """Write to the pipe of whoever waits; if nobody waits any more, that changes nothing here."""
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, text)
    os.close(descriptor)
