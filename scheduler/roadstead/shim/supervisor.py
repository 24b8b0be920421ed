"""The shim's loop: keep one server running until told to stop, and write down what happened.

Level-triggered: every turn looks at the facts (is the process there, is there a request, what time is it) and takes at
most one step, so that a shim that was started again at any point goes on from there. One thread; nothing here waits
except `Supervisor._wait`.
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import contextlib
import os
import select
import signal
import time
from typing import Any, NamedTuple

from roadstead.shim import state as phases
from roadstead.shim.backoff import crashes_in_a_row, wait_before
from roadstead.shim.cgroup import allow_processes, missing, oom_kills, remove
from roadstead.shim.children import Child, Ended, age, hold, let_go, reap
from roadstead.shim.files import write_json
from roadstead.shim.hold import Hold
from roadstead.shim.identity import identity_of
from roadstead.shim.listeners import explain_taken, listener_at
from roadstead.shim.log import BoundedLog
from roadstead.shim.requests import WAKE, notify, restart_request, stop_request
from roadstead.shim.secret import SecretError, look_up
from roadstead.shim.signals import listen_for_signals
from roadstead.shim.spawn import Program, fork_held
from roadstead.shim.spec import ShimSpec
from roadstead.shim.state import (
    STATE_FILE,
    Exit,
    ShimState,
    describe_status,
    state_to_json,
    with_exit,
)
from roadstead.shim.tree import MARK, resident_bytes, signal_all, tree_of

_SWEEP_EVERY = 0.01
_KILL_AGAIN_EVERY = 0.5
_WATCH_MEMORY_EVERY = 0.25
_LOOK_AGAIN_EVERY = 1.0

_STOP = "stop"
_RESTART = "restart"
_HALT = "halt"
_OVER_MEMORY = "memory"


class _Ending(NamedTuple):
    """Why the running process is being ended, and when SIGKILL is due (monotonic seconds)."""

    kind: str
    reason: str
    grace: float
    deadline: float
    restart: str | None = None


class Supervisor:
    """Runs one replica's server. ``directory`` is the replica's folder; the state is that of the last shim, if any."""

    def __init__(self, directory: str, spec: ShimSpec, state: ShimState, hold: Hold) -> None:
        self._directory = directory
        self._hold = hold
        self._spec = spec
        self._group = spec.limits.cgroup
        self._tree = tree_of(spec.replica, self._group)
        self._log = BoundedLog(directory, spec.log)
        self._child: Child | None = None
        self._ending: _Ending | None = None
        self._start_error: str | None = None
        self._swept = False
        self._halt = False
        self._next_watch = 0.0
        self._saved: ShimState | None = None
        self._save_trouble: str | None = None
        self._state = state._replace(replica=spec.replica, shim=identity_of(os.getpid()), trouble=None)
        self._next_start = time.monotonic() + self._rest_of_wait()
        self._signals = listen_for_signals()
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)
        self._poll.register(self._log.pipe, select.POLLIN)

    def run(self) -> None:
        """Work until the server is stopped for good, or the shim is told to go."""
        self._adopt()
        self._save()
        while self._state.phase not in (phases.STOPPED, phases.HALTED):
            self._advance(time.monotonic())
            self._save()
            if self._state.phase not in (phases.STOPPED, phases.HALTED):
                self._wait()
        self._log.pump()
        self._log.close()

    def _adopt(self) -> None:
        """Take over the process that the last shim ran, if it still runs."""
        if self._state.server is not None:
            self._child = hold(self._state.server, ours=False)
        if self._child is not None:
            self._poll.register(self._child.pidfd, select.POLLIN)
            self._say(f"took over the server, process {self._child.identity.pid}")
        elif self._state.server is not None:
            self._record_end(Ended(None, 0.0), time.monotonic())
        elif self._state.phase == phases.HALTED:
            self._change(phase=phases.STARTING, crashes=0)

    def _rest_of_wait(self) -> float:
        """Return what is left of a wait that the last shim began; a clock that was set back must not lengthen it."""
        if self._state.next_start is None:
            return 0.0
        return min(max(0.0, self._state.next_start - time.time()), self._spec.backoff.maximum)

    # What happens in a turn.

    def _advance(self, now: float) -> None:
        ended = reap(self._child)
        if ended is not None:
            self._record_end(ended, now)
        if self._child is not None:
            self._forget_crashes(self._child)
            self._mind_child(now)
        elif not self._swept:
            self._sweep()
        if self._child is None and self._swept:
            self._go_on(now)

    def _forget_crashes(self, child: Child) -> None:
        """After a good run the crashes before are history."""
        if self._state.phase == phases.RUNNING and self._state.crashes and self._left_of_good_run(child) <= 0:
            self._change(crashes=0)

    def _left_of_good_run(self, child: Child) -> float:
        return self._spec.backoff.reset_after - age(child)

    def _mind_child(self, now: float) -> None:
        assert self._child is not None
        wanted = self._wanted_ending(now)
        if wanted is not None:
            begin = self._ending is None
            self._ending = wanted
            self._change(phase=phases.STOPPING)
            if begin and wanted.deadline > now:
                self._say(f"asked to {wanted.kind}: {wanted.reason}")
                self._signal_child(signal.SIGTERM)
                signal_all(self._tree, signal.SIGTERM)
        if self._ending is not None and now >= self._ending.deadline:
            self._ending = self._ending._replace(deadline=now + _KILL_AGAIN_EVERY)
            self._signal_child(signal.SIGKILL)
            self._tree.kill()

    def _wanted_ending(self, now: float) -> _Ending | None:
        """Return a new ending, or None when nothing changes: stopping comes before going before restarting."""
        current = self._ending
        stop = stop_request(self._directory)
        if stop is not None:
            if current is not None and current.kind == _STOP and stop.grace >= current.grace:
                return None
            began = now if current is None else current.deadline - current.grace
            return _Ending(_STOP, stop.reason, stop.grace, began + stop.grace)
        if current is not None:
            return None
        if self._halt:
            return _Ending(_HALT, "the shim was told to go", self._spec.kill_after, now + self._spec.kill_after)
        restart = restart_request(self._directory)
        if restart is not None and restart.id != self._state.restarted:
            return _Ending(_RESTART, restart.reason, restart.grace, now + restart.grace, restart.id)
        return self._memory_ending(now)

    def _memory_ending(self, now: float) -> _Ending | None:
        limit = self._spec.limits.watched_memory
        if limit is None or now < self._next_watch:
            return None
        self._next_watch = now + _WATCH_MEMORY_EVERY
        used = resident_bytes(self._tree)
        if used <= limit:
            return None
        return _Ending(_OVER_MEMORY, f"out of memory: used {used} bytes, limit {limit} bytes (watched)", 0.0, now)

    def _signal_child(self, number: signal.Signals) -> None:
        assert self._child is not None
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile; the next turn sees it
            signal.pidfd_send_signal(self._child.pidfd, number)

    def _sweep(self) -> None:
        """End what the last run left behind; nothing is started before it is gone."""
        self._swept = not self._tree.members()
        if not self._swept:
            self._tree.kill()

    def _go_on(self, now: float) -> None:
        """Without a process: stop, go, or start one when its time has come."""
        if stop_request(self._directory) is not None:
            if self._group is not None:
                remove(self._group)
            self._change(phase=phases.STOPPED, next_start=None)
            return
        if self._halt:
            self._change(phase=phases.HALTED, next_start=None)
            return
        restart = restart_request(self._directory)
        if restart is not None and restart.id != self._state.restarted:
            self._change(restarted=restart.id, crashes=0)
            self._next_start = now
        if now >= self._next_start:
            self._start(now)

    # Starting.

    def _start(self, now: float) -> None:
        steps = (*self._spec.prepare, self._spec.argv)
        step = self._state.step if self._state.step < len(steps) else 0
        is_server = step == len(steps) - 1
        obstacle = self._without_limits() or (self._address_taken() if is_server else None)
        if obstacle is not None:
            self._fail_to_start(obstacle, now)
            return
        try:
            environment = {**dict(self._spec.env), MARK: self._spec.replica}
            if is_server:
                environment.update((name, look_up(name, reference)) for name, reference in self._spec.secrets)
            self._run(steps[step], step, environment, is_server=is_server)
        except SecretError as error:
            self._fail_to_start(str(error), now)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            self._fail_to_start(f"cannot start {steps[step][0]}: {os.strerror(error.errno or 0).lower()}{where}", now)

    def _without_limits(self) -> str | None:
        """Return why a process could not be held to its limits now, or None; making the group is the daemon's part."""
        gone = missing(self._group) if self._group is not None else None
        return f"control group {gone} is gone, and nothing is started without its limits" if gone is not None else None

    def _address_taken(self) -> str | None:
        """Return why the server could not listen now, or None."""
        for address in self._spec.addresses:
            try:
                listener = listener_at(address)
            except OSError as error:
                return f"address {address.host}:{address.port} cannot be used: {os.strerror(error.errno or 0).lower()}"
            if listener is not None:
                return explain_taken(address, listener)
        return None

    def _run(self, argv: tuple[str, ...], step: int, environment: dict[str, str], *, is_server: bool) -> None:
        baseline = None
        if self._group is not None:
            allow_processes(self._group)
            baseline = oom_kills(self._group)
        output = self._log.open_for_server()
        try:
            held = fork_held(Program(argv, environment, self._spec.cwd, output), self._spec.limits)
        finally:
            os.close(output)
        self._child = hold(held.identity, ours=True)
        assert self._child is not None
        self._poll.register(self._child.pidfd, select.POLLIN)
        self._swept = False
        self._change(
            phase=phases.RUNNING if is_server else phases.PREPARING,
            server=held.identity,
            step=step,
            started=time.time(),
            starts=self._state.starts + is_server,
            next_start=None,
            oom_kills=baseline,
        )
        self._save()  # the process runs only once it is known; a full disk must not keep it from running
        self._start_error = held.release()

    def _fail_to_start(self, why: str, now: float) -> None:
        self._say(why)
        failed = Exit(
            at=time.time(),
            what="start",
            code=None,
            signal=None,
            out_of_memory=False,
            ran_for=0.0,
            asked=None,
            detail=why,
        )
        self._state = with_exit(self._state, failed)
        self._wait_for_next(0.0, now)

    # Ending.

    def _record_end(self, ended: Ended, now: float) -> None:
        """Write down how the process ended and decide when the next one starts."""
        is_server = self._state.step >= len(self._spec.prepare)
        ending, self._ending = self._ending, None
        error, self._start_error = self._start_error, None
        if self._child is not None:
            self._poll.unregister(self._child.pidfd)
            let_go(self._child)
            self._child = None
        self._change(server=None, started=None)
        if not is_server and ended.status == 0 and ending is None:
            self._change(step=self._state.step + 1)
            self._next_start = now
            return
        ended_as = self._exit_of(ended, ending, error, "start" if error else "server" if is_server else "prepare")
        self._log.pump()  # its last words come before ours, and are there for whoever reads of its end
        self._say(ended_as.detail)
        self._state = with_exit(self._state, ended_as)
        self._change(step=0)
        if ending is not None and ending.kind in (_STOP, _HALT):
            self._change(phase=phases.STOPPING)
        elif ending is not None and ending.kind == _RESTART:
            self._change(restarted=ending.restart, crashes=0)
            self._next_start = now
        else:
            self._wait_for_next(ended.ran_for, now)

    def _exit_of(self, ended: Ended, ending: _Ending | None, error: str | None, what: str) -> Exit:
        code, number, detail = describe_status(ended.status)
        kills = oom_kills(self._group) if self._group is not None else None
        killed_for_memory = (
            kills is not None and self._state.oom_kills is not None and kills > self._state.oom_kills and code != 0
        )
        if ending is not None and ending.kind == _OVER_MEMORY:
            killed_for_memory, detail = True, ending.reason
        elif killed_for_memory:
            how = detail if number is not None or code is not None else "killed"
            detail = f"out of memory: {how} at the limit of its control group"
        if error is not None:
            detail = error
        elif what == "prepare":
            detail = f"preparation {detail}"
        asked = ending.reason if ending is not None and ending.kind != _OVER_MEMORY else None
        return Exit(time.time(), what, code, number, killed_for_memory, ended.ran_for, asked, detail)

    def _wait_for_next(self, ran_for: float, now: float) -> None:
        crashes = crashes_in_a_row(self._spec.backoff, self._state.crashes, ran_for)
        wait = wait_before(self._spec.backoff, crashes)
        self._next_start = now + wait
        self._change(phase=phases.WAITING, crashes=crashes, next_start=time.time() + wait)

    # The state file, the log, and waiting.

    def _change(self, **fields: Any) -> None:
        if fields.get("phase", self._state.phase) != self._state.phase:
            fields["since"] = time.time()
        self._state = self._state._replace(**fields)

    def _save(self) -> None:
        self._change(trouble=self._save_trouble or self._log.trouble)
        if self._state == self._saved:
            return
        # Not worth a write by itself: with a flood of lines it changes all the time.
        self._change(log_lost=self._log.lost)
        try:
            write_json(os.path.join(self._directory, STATE_FILE), state_to_json(self._state), durable=False)
        except OSError as error:
            self._save_trouble = f"state could not be written: {os.strerror(error.errno or 0).lower()}"
            return
        self._saved = self._state
        self._save_trouble = None
        notify(self._spec.wake, self._spec.replica)

    def _say(self, what: str) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._log.write(f"[shim] {moment} {what}\n".encode())

    def _wait(self) -> None:
        """Sleep until something happens or is due, then move the log along."""
        due = self._next_due()
        timeout = None if due is None else max(0, round((due - time.monotonic()) * 1000) + 1)
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self._log.pipe:
                self._log.pump()
            elif descriptor == self._signals:
                self._heard(os.read(self._signals, 4096))
        self._log.look_again()

    def _heard(self, signals: bytes) -> None:
        """Take in signals; who wakes us may have made our folder anew, so that nothing in it is what we last wrote."""
        self._halt |= signal.SIGTERM in signals
        if WAKE in signals:
            self._hold.renew()
            self._log.find_files_again()
            self._saved = None

    def _next_due(self) -> float | None:
        now = time.monotonic()
        due = []
        if self._child is None:
            due.append(self._next_start if self._swept else now + _SWEEP_EVERY)
        if self._ending is not None:
            due.append(self._ending.deadline)
        if self._child is not None and self._spec.limits.watched_memory is not None:
            due.append(self._next_watch)
        if self._child is not None and self._state.phase == phases.RUNNING and self._state.crashes:
            due.append(now + max(0.0, self._left_of_good_run(self._child)))
        if self._state != self._saved or self._log.trouble is not None:
            due.append(now + _LOOK_AGAIN_EVERY)
        return min(due) if due else None
