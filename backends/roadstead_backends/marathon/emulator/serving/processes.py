"""An executor of real processes: each task's command on this machine, in a session and a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

from roadstead_backends.marathon.emulator.cluster.tasks import Measured, Report, Task
from roadstead_backends.marathon.emulator.scheduling.probing import Target
from roadstead_backends.marathon.emulator.serving.clock import Clock
from roadstead_backends.marathon.emulator.serving.limits import Isolation, IsolationError, TaskGroup
from roadstead_backends.marathon.emulator.serving.probes import ask

__all__ = ["Processes"]

_GRACE: Final = 3.0
_CLEAR_EVERY: Final = 0.02
#: Writes the shell's own id to each file that is named before ``--`` and becomes what stands behind.
_ENTER: Final = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'
_INHERITED: Final = ("LANG", "LC_ALL", "HOME", "TMPDIR")


class Processes:
    """Runs tasks below ``folder``, one sandbox each with ``stdout`` and ``stderr``; agents are loopback addresses.

    ``isolation`` holds each to its resources. Without it, whoever starts the emulator lends its own machine to what it
    is asked to run, as a Mesos agent does that was not told of any isolation.
    """

    def __init__(self, clock: Clock, folder: Path, isolation: Isolation | None = None) -> None:
        self._clock = clock
        self._folder = folder
        self._isolation = isolation
        self._lives: dict[str, _Life] = {}

    def start(self, task: Task, report: Report) -> None:
        """Begin to run a task and report what becomes of it."""
        life = _Life(task, report, self._clock, self.sandbox(task), self._isolation)
        self._lives[task.id] = life
        life.run(lambda: self._lives.pop(task.id, None))

    def stop(self, task: Task, report: Report) -> None:
        """Ask a task to end, by force if it does not in time."""
        life = self._lives.get(task.id)
        if life is not None:
            life.stop()
        else:
            report(task, "TASK_KILLED", "", None)

    def abandon(self, task: Task) -> None:
        """End a task at once, without a word: its agent is gone."""
        life = self._lives.get(task.id)
        if life is not None:
            life.kill()

    def measured(self, task: Task) -> Measured | None:
        """Return what the processes of a task use; None for one that does not run."""
        life = self._lives.get(task.id)
        return life.measured() if life is not None else None

    def sandbox(self, task: Task) -> Path:
        """Return the folder of a task."""
        return self._folder / task.id

    def sweep(self, task: Task) -> None:
        """Remove the folder of a task that has ended."""
        shutil.rmtree(self.sandbox(task), ignore_errors=True)

    def close(self) -> None:
        """End everything that still runs, by force."""
        for life in tuple(self._lives.values()):
            life.kill()

    async def ended(self) -> None:
        """Wait until nothing runs any more."""
        works = [life.work for life in self._lives.values() if life.work is not None]
        await asyncio.gather(*works, return_exceptions=True)
        if self._isolation is not None:
            self._isolation.close()


class _Life:
    """One task while it runs."""

    def __init__(self, task: Task, report: Report, clock: Clock, sandbox: Path, isolation: Isolation | None) -> None:
        self._task = task
        self._report_to = report
        self._clock = clock
        self._sandbox = sandbox
        self._isolation = isolation
        self._group: TaskGroup | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self.work: asyncio.Task[None] | None = None

    def run(self, forget: Any) -> None:
        """Begin."""
        self.work = asyncio.get_running_loop().create_task(self._live())
        self.work.add_done_callback(lambda _: forget())

    def _report(self, state: str, message: str = "", *, healthy: bool | None = None) -> None:
        with self._clock.moment():
            self._report_to(self._task, state, message, healthy)

    async def _live(self) -> None:
        self._report("TASK_STARTING")
        try:
            self._process = await self._spawned()
        except (OSError, ValueError, IsolationError) as error:
            self._report("TASK_FAILED", f"Failed to launch: {error}")
            return
        if self._stopping:
            self._signal(signal.SIGKILL)
        else:
            self._report("TASK_RUNNING")
        checks = [asyncio.ensure_future(self._check(check)) for check in self._task.health_checks]
        code = await self._process.wait()
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)
        self._signal(signal.SIGKILL)
        beyond = await self._left_group()
        words = f"terminated with signal {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        state = "TASK_KILLED" if self._stopping else "TASK_FINISHED" if code == 0 else "TASK_FAILED"
        if beyond is not None and state == "TASK_FAILED":
            self._report(state, beyond)
        else:
            self._report(state, f"Command {words}")

    async def _left_group(self) -> str | None:
        """Remove the control group, and return what is to be said if the task went beyond its memory."""
        if self._group is None:
            return None
        beyond = self._group.out_of_memory()
        while not self._group.clear():  # noqa: ASYNC110  # nothing tells when a killed process has left its group
            await asyncio.sleep(_CLEAR_EVERY)
        return beyond

    async def _spawned(self) -> asyncio.subprocess.Process:
        task = self._task
        argv = ["/bin/sh", "-c", task.command] if task.command is not None else list(task.arguments)
        if not argv:
            raise ValueError("there is neither a command nor arguments, and no image is run")
        if self._isolation is not None:
            self._group = self._isolation.group(task.id, task.resources, dict(task.limits))
            argv = ["/bin/sh", "-c", _ENTER, "sh", *self._group.entrances, "--", *argv]
        await asyncio.to_thread(self._sandbox.mkdir, parents=True, exist_ok=True)
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment["PATH"] = _path()
        environment |= {**task.environment, "MESOS_SANDBOX": str(self._sandbox), "MESOS_DIRECTORY": str(self._sandbox)}
        with (self._sandbox / "stdout").open("wb") as out, (self._sandbox / "stderr").open("wb") as errors:
            return await asyncio.create_subprocess_exec(
                *argv,
                cwd=self._sandbox,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask it to end."""
        if self._stopping:
            return
        self._stopping = True
        self._report_to(self._task, "TASK_KILLING", "", None)
        self._signal(signal.SIGTERM)
        grace = self._task.grace if self._task.grace is not None else _GRACE
        asyncio.get_running_loop().call_later(grace, self.kill)

    def kill(self) -> None:
        """End it by force."""
        self._stopping = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)

    def measured(self) -> Measured | None:
        """Return what its processes used until now; of those that ended, their parent knows."""
        if self._process is None:
            return None
        seconds, memory = 0.0, 0
        try:
            first = psutil.Process(self._process.pid)
            for one in (first, *first.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    seconds += times.user + times.system + times.children_user + times.children_system
                    memory += one.memory_info().rss
        except psutil.NoSuchProcess:
            return None
        return Measured(at=self._clock.timeline.now, cpu_seconds=seconds, memory=memory)

    async def _check(self, check: Mapping[str, Any]) -> None:
        """Make one of the task's own checks, and report each change of what it finds."""
        await asyncio.sleep(check.get("delaySeconds", 15))
        loop, interval = asyncio.get_running_loop(), check.get("intervalSeconds", 60)
        begun, failures, known = loop.time(), 0, None
        while True:
            well = await self._passes(check)
            in_grace = known is None and loop.time() - begun < check.get("gracePeriodSeconds", 300)
            failures = 0 if well else failures + (not in_grace)
            if (well or not in_grace) and well != known:
                known = well
                self._report("TASK_RUNNING", healthy=well)
            most = check.get("maxConsecutiveFailures", 3)
            if not well and 0 < most <= failures:
                self._signal(signal.SIGTERM)
            await asyncio.sleep(interval)

    async def _passes(self, check: Mapping[str, Any]) -> bool:
        timeout = check.get("timeoutSeconds", 20)
        command = (check.get("command") or (check.get("exec") or {}).get("command") or {}).get("value")
        if command is None:
            return await self._answers(check)
        process = await asyncio.create_subprocess_shell(
            command,
            cwd=self._sandbox,
            env={**os.environ, "PATH": _path(), **self._task.environment},
            start_new_session=True,
        )
        try:
            return await asyncio.wait_for(process.wait(), timeout) == 0
        except TimeoutError:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _answers(self, check: Mapping[str, Any]) -> bool:
        ports, index = self._task.ports, check.get("portIndex", 0)
        port = check.get("port") or (ports[index] if index < len(ports) else None)
        if port is None:
            return False
        scheme = {"MESOS_HTTP": "http", "MESOS_HTTPS": "https"}.get(check.get("protocol", ""), "tcp")
        target = Target(
            scheme=scheme,
            host=self._task.agent.hostname,
            port=port,
            path=check.get("path", "/"),
            timeout=check.get("timeoutSeconds", 20),
        )
        outcome = await ask(target)
        return outcome.connected and (outcome.answer is None or 200 <= outcome.answer.status <= 399)


def _path() -> str:
    """Return where programs are looked for: first beside our own Python, as if its environment were the agent's."""
    own = str(Path(sys.executable).parent)
    return f"{own}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
