"""What a replica prints, read from the sandboxes of its tasks through the agents that they are on.

A replica is an instance of Marathon, whose tasks follow each other, each with a sandbox of its own, perhaps on another
agent. Of one that ended Mesos keeps the sandbox for a while, so a server that crashes again and again can be read, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Final, TypeVar

import attrs

from roadstead.errors import Rejected, Unreachable
from roadstead.spi.lines import WholeLines
from roadstead.units import Duration
from roadstead_backends.marathon import sandbox
from roadstead_backends.marathon.master import Master
from roadstead_backends.marathon.mesos import Agent
from roadstead_backends.marathon.messages import Task
from roadstead_backends.marathon.reading import is_active

__all__ = ["Log", "start_of_last"]

T = TypeVar("T")

_PAUSE: Final = Duration(1_000)
_LOOK_EVERY: Final = 5
"""After how many pauses in which nothing was printed it is asked whether the task and its files are still those."""

_PAGE: Final = 64 << 10
"""As much as an agent gives at once, in bytes, where its memory pages have 4 KiB."""


@attrs.define
class _File:
    """One file of a sandbox on the agent at ``pid``, how long it was when it was found, and how far it was read."""

    pid: str
    path: str
    size: int
    offset: int = 0
    lines: WholeLines = attrs.field(factory=WholeLines)

    def rest(self) -> Iterator[bytes]:
        """Yield the line that nothing will ever end."""
        if self.lines.rest:
            yield self.lines.rest + b"\n"
            self.lines.rest = b""


class _Gone(Exception):
    """A sandbox, or a file of it, is not there any more."""


class Log:
    """The output of one replica; ``read`` it once.

    ``task`` returns the task that the replica is now, or that ended last, or ``None`` where there is no such replica.
    ``agents`` are those that the master names, by id. ``master`` is this log's own, and closed with it.
    """

    def __init__(
        self,
        replica: str,
        *,
        cluster: str,
        task: Callable[[], Task | None],
        agents: Callable[[], Mapping[str, Agent]],
        master: Master,
        pause: Duration = _PAUSE,
    ) -> None:
        self._replica = replica
        self._cluster = cluster
        self._task = task
        self._agents = agents
        self._master = master
        self._pause = pause

    def read(self, *, tail: int | None, follow: bool) -> Generator[bytes, None, None]:
        """Yield whole lines, those of the file that was written last at the end; with ``follow``, what comes, too.

        ``tail`` limits those from before now. It ends when there is no such replica any more. Raises
        :class:`Rejected` where there is none at the beginning, or its sandbox is gone, and :class:`Unreachable` where
        its agent does not answer then.
        """
        try:
            task = self._task()
            if task is None:
                raise Rejected(
                    "there is no such replica, or it was never started",
                    cluster=self._cluster,
                    subject=self._replica,
                    hint="see `roadstead status`; `roadstead why` says why one waits",
                )
            try:
                files = list(self._opened(task))
                if tail is not None:
                    self._skip_all_but(tail, files)
                for file in files:
                    yield from self._before(file)
                    if not follow:
                        yield from file.rest()
            except _Gone as error:
                raise self._swept(task) from error
            except Unreachable as error:
                raise self._away(error) from error
            if follow:
                yield from self._follow(task, files)
        finally:
            self._master.close()

    # ---- what was printed ----

    def _skip_all_but(self, lines: int, files: list[_File]) -> None:
        """Have reading begin with the last lines of all files together."""
        for file in reversed(files):
            file.offset, lines = start_of_last(lines, file.size, partial(self._page, file), page=_PAGE)

    def _before(self, file: _File) -> Iterator[bytes]:
        """Yield what was in it when it was found."""
        while file.offset < file.size and (data := self._next(file, file.size - file.offset)):
            yield from file.lines.ended_by(data)

    # ---- what comes ----

    def _follow(self, task: Task, files: list[_File]) -> Iterator[bytes]:
        """Yield what is printed from now on, by this task and by those that take its place, until there is none.

        Nothing at all, now and then, where nothing is printed. Who does not answer meanwhile is asked again.
        """
        quiet = 0
        while True:
            came = False
            for file in files:
                while data := self._if_there(partial(self._next, file, _PAGE), bytes):
                    came = True
                    yield from file.lines.ended_by(data)
            quiet = 0 if came else quiet + 1
            if quiet % _LOOK_EVERY == _LOOK_EVERY - 1:
                yield b""  # whoever reads no more is found out by that
                try:
                    now = self._task()
                except Unreachable:
                    now = task
                if now is None or now.id != task.id:
                    for file in files:
                        yield from file.rest()
                    files.clear()
                if now is None:
                    return
                task = now
                _renew(files, self._if_there(partial(self._opened, now), tuple))
            if quiet:
                time.sleep(self._pause.seconds)

    def _if_there(self, ask: Callable[[], T], otherwise: Callable[[], T]) -> T:
        try:
            return ask()
        except (Unreachable, _Gone):
            return otherwise()

    # ---- asking ----

    def _opened(self, task: Task) -> tuple[_File, ...]:
        """Return the files of a task's sandbox, none where it has not begun; raises :class:`_Gone`."""
        if not task.slave_id:
            return ()
        pid = self._pid_of(task)
        directory = self._understood(partial(sandbox.directory_of, self._master.read_agent(pid, "/state"), task.id))
        if directory is None:
            if is_active(task):
                return ()
            raise _Gone
        listed = self._files(pid, sandbox.browse(directory))
        found = self._understood(partial(sandbox.printed_in, listed, directory))
        return tuple(_File(pid=pid, path=one.path, size=one.size) for one in found)

    def _pid_of(self, task: Task) -> str:
        agent = self._agents().get(task.slave_id or "")
        if agent is None or not agent.pid:
            raise Unreachable(
                f"Mesos' master names no agent {task.slave_id}, on which {task.id} ran",
                cluster=self._cluster,
            )
        return agent.pid

    def _next(self, file: _File, most: int) -> bytes:
        """Read on, and return what there is."""
        data = self._page(file, file.offset, min(most, _PAGE))
        file.offset += len(data)
        return data

    def _page(self, file: _File, offset: int, length: int) -> bytes:
        return self._understood(
            partial(sandbox.page_in, self._files(file.pid, sandbox.read(file.path, offset, length)))
        )

    def _files(self, pid: str, page: str) -> bytes:
        found = self._master.read_files(pid, page)
        if found is None:
            raise _Gone
        return found

    def _understood(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except ValueError as error:
            raise Unreachable(str(error), cluster=self._cluster) from error

    def _away(self, error: Unreachable) -> Unreachable:
        return Unreachable(
            str(error.args[0]),
            cluster=self._cluster,
            subject=self._replica,
            hint="only its agent has what a task prints, and is asked from here: is it up, and may we connect to it?",
        )

    def _swept(self, task: Task) -> Rejected:
        return Rejected(
            f"the sandbox of task {task.id} on {task.host} is gone",
            cluster=self._cluster,
            subject=self._replica,
            hint="Mesos removes it a while after a task has ended, sooner where its disk is full: see --gc_delay",
        )


def _renew(files: list[_File], found: tuple[_File, ...]) -> None:
    """Take up files that came and agents that moved, and begin again what is shorter than was read: it was rotated."""
    known = {file.path: file for file in files}
    for one in found:
        file = known.get(one.path)
        if file is None:
            files.append(one)
        else:
            file.pid = one.pid
            file.offset = file.offset if file.offset <= one.size else 0


def start_of_last(lines: int, size: int, read: Callable[[int, int], bytes], *, page: int) -> tuple[int, int]:
    r"""Return where the last lines of a file of ``size`` bytes begin, and how many of them it does not have.

    ``read`` returns bytes of it, from an offset on and so many; it is asked for a ``page`` at a time, from the end on.
    What has no newline at the end is a line, too.

    >>> text = b"one\ntwo\nthree"
    >>> start_of_last(2, len(text), lambda offset, length: text[offset : offset + length], page=4)
    (4, 0)
    """
    end, missing = size, lines
    while end > 0 and missing > 0:
        begin = max(0, end - page)
        data = read(begin, end - begin)
        # What ends the file ends its last line, and begins none.
        found = len(data) - (end == size and data.endswith(b"\n"))
        while missing > 0 and (found := data.rfind(b"\n", 0, found)) >= 0:
            missing -= 1
            if missing == 0:
                return begin + found + 1, 0
        end = begin
    return (0, missing - 1) if size > 0 and missing > 0 else (size, missing)
