"""The sandbox of a task on its agent, as the pages of a Mesos agent show it: ``/state`` and ``/files``. Pure.

What a task prints is in two files there, ``stdout`` and ``stderr``. The pages are those of Mesos 1.0 and later, and are
not in its version 1 API only: every agent has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

import attrs
import msgspec

__all__ = ["Printed", "browse", "directory_of", "page_in", "printed_in", "read"]

_NAMES: Final = ("stdout", "stderr")


# ---- where it is ----


class _Task(msgspec.Struct, frozen=True, gc=False):
    id: str = ""


class _Executor(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who runs a task; that of a command has the task's id, and another one names its tasks."""

    id: str = ""
    directory: str = ""
    tasks: tuple[_Task, ...] = ()
    queued_tasks: tuple[_Task, ...] = ()
    completed_tasks: tuple[_Task, ...] = ()

    def ran(self, task: str) -> bool:
        named = (*self.tasks, *self.queued_tasks, *self.completed_tasks)
        return self.id == task or any(one.id == task for one in named)


class _Framework(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    executors: tuple[_Executor, ...] = ()
    completed_executors: tuple[_Executor, ...] = ()


class _State(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    frameworks: tuple[_Framework, ...] = ()
    completed_frameworks: tuple[_Framework, ...] = ()


_STATE: Final = msgspec.json.Decoder(_State)


def directory_of(body: bytes, task: str) -> str | None:
    """Return where a task's sandbox is, from an agent's answer to ``/state``; ``None`` where it knows no such task.

    It knows those that ended as well, the last 150 of each framework. Raises :class:`ValueError` for another answer.
    """
    try:
        state = _STATE.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"no state of a Mesos agent: {error}") from error
    return next((one.directory for one in _executors(state) if one.directory and one.ran(task)), None)


def _executors(state: _State) -> Iterator[_Executor]:
    for framework in (*state.frameworks, *state.completed_frameworks):
        yield from framework.executors
        yield from framework.completed_executors


# ---- what is in it ----


class _Entry(msgspec.Struct, frozen=True, gc=False):
    path: str
    size: int = 0
    mtime: float = 0.0


@attrs.frozen(kw_only=True)
class Printed:
    """A file that a task prints to: how many bytes are in it, and when it was written last (s since the epoch)."""

    path: str
    size: int
    written: float


def browse(directory: str) -> str:
    """Return the page that lists a directory."""
    return f"/files/browse?{urlencode({'path': directory})}"


def printed_in(body: bytes, directory: str) -> tuple[Printed, ...]:
    """Return the files that a task prints to, the one that was written last as the last one.

    ``body`` lists its sandbox. Raises :class:`ValueError` for anything else.
    """
    try:
        entries = msgspec.json.decode(body, type=list[_Entry])
    except msgspec.DecodeError as error:
        raise ValueError(f"no list of files of a Mesos agent: {error}") from error
    found = {one.path: one for one in entries}
    paths = [path for name in _NAMES if (path := f"{directory}/{name}") in found]
    there = (Printed(path=path, size=found[path].size, written=found[path].mtime) for path in paths)
    return tuple(sorted(there, key=lambda one: one.written))


def read(path: str, offset: int, length: int) -> str:
    """Return the page that has these bytes of a file; an agent gives 16 of its memory pages at most."""
    return f"/files/read?{urlencode({'path': path, 'offset': offset, 'length': length})}"


def page_in(body: bytes) -> bytes:
    r"""Return what stands in a file from an answer to :func:`read`; nothing where it ends before.

    An agent puts the file's bytes between the quotes as they are, whether they are text or not: a page may even end in
    the middle of a character. Raises :class:`ValueError` for what is no such answer.

    >>> page_in(b'{"data":"caf\xc3","offset":0}')
    b'caf\xc3'
    """
    try:
        data: str = json.loads(body.decode(errors="surrogateescape"))["data"]
        return data.encode(errors="surrogateescape")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no page of a file of a Mesos agent: {error!r}") from error
