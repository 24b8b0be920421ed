"""The sandboxes of tasks as agents of Mesos show them: ``/files/browse``, ``/files/read`` and ``/files/download``.

As in its version 1.11. Agents that are in one process share these pages, whose paths say whose a sandbox is.
"""

from __future__ import annotations

import contextlib
import grp
import json
import mmap
import os
import pwd
import re
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.cluster.agents import Agent
from roadstead_backends.marathon.emulator.cluster.simulated import SimCluster
from roadstead_backends.marathon.emulator.cluster.tasks import Task
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, json_answer
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.serving import mesos_pages

__all__ = ["Files"]

_MOST: Final = 16 * mmap.PAGESIZE
_SANDBOX: Final = re.compile(
    r"/var/lib/mesos/slaves/(?P<agent>[^/]+)/frameworks/(?P<framework>[^/]+)/executors/(?P<task>[^/]+)"
    r"/runs/(?P<run>[^/]+)(?:/(?P<inside>.*))?"
)
_PRETENDED_MODE: Final = stat.S_IFREG | 0o644


class _Refusal(Exception):
    """What cannot be answered."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.answer = Answer(status=status, body=text.encode(), content_type="text/plain; charset=utf-8")


@attrs.frozen(kw_only=True)
class _File:
    """Something in a sandbox; ``real`` is where it is, if its task is more than pretended, or ``content`` is all."""

    path: str
    status: os.stat_result | None = None
    real: Path | None = None
    content: bytes = b""
    mtime: float = 0.0

    def listed(self) -> Document:
        """Return it as a list shows it; of the time only whole seconds are told."""
        found = self.status
        return {
            "gid": _named(lambda: grp.getgrgid(found.st_gid).gr_name, found.st_gid) if found is not None else "root",
            "mode": stat.filemode(found.st_mode if found is not None else _PRETENDED_MODE),
            "mtime": float(int(found.st_mtime if found is not None else self.mtime)),
            "nlink": found.st_nlink if found is not None else 1,
            "path": self.path,
            "size": found.st_size if found is not None else len(self.content),
            "uid": _named(lambda: pwd.getpwuid(found.st_uid).pw_name, found.st_uid) if found is not None else "root",
        }

    def read(self, offset: int, length: int | None) -> tuple[int, bytes]:
        """Return how long it is, and some of it: all of the rest without ``length``, and never more than 16 pages."""
        if self.real is None:
            size, data = len(self.content), self.content[offset:]
            return size, data[: min(_MOST, len(data) if length is None else length)]
        with self.real.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if offset >= size or length == 0:
                return size, b""
            file.seek(offset)
            return size, file.read(min(_MOST, size - offset if length is None else length))


class Files:
    """Answers for the sandboxes on the agents of a cluster that are there."""

    def __init__(self, cluster: SimCluster, framework: str) -> None:
        self._cluster = cluster
        self._framework = framework
        self._pages: Mapping[str, Callable[[Request], Answer]] = {
            "browse": self._browse,
            "read": self._read,
            "download": self._download,
        }

    def answer(self, request: Request) -> Answer:
        """Answer a request below ``/files/``."""
        page = self._pages.get(request.path.removeprefix("/files/").removesuffix(".json"))
        if page is None:
            return Answer(status=404, content_type=None)
        try:
            return page(request)
        except _Refusal as refusal:
            return refusal.answer

    def executors(self, agent: Agent) -> Document:
        """Return who runs and ran tasks on an agent, as its ``/state`` shows it."""
        now = [task for task in self._cluster.tasks.values() if task.agent is agent]
        return {
            "executors": [self._executor(task, "tasks") for task in now],
            "completed_executors": [
                self._executor(task, "completed_tasks") for task in self._cluster.past.get(agent.id, ())
            ],
        }

    def _executor(self, task: Task, among: str) -> Document:
        tasks: Document = {"tasks": [], "queued_tasks": [], "completed_tasks": []}
        return {
            "id": task.id,
            "name": f"Command Executor (Task: {task.id})",
            "source": task.id,
            "container": _run_of(task.id),
            "directory": self._directory(task),
            "resources": mesos_pages.resources(task.resources, [(port, port) for port in task.ports]),
            **tasks,
            among: [mesos_pages.task_of(task, self._framework)],
        }

    def _directory(self, task: Task) -> str:
        place = f"/var/lib/mesos/slaves/{task.agent.id}/frameworks/{self._framework}/executors/{task.id}"
        return f"{place}/runs/{_run_of(task.id)}"

    # ---- the pages ----

    def _browse(self, request: Request) -> Answer:
        return json_answer([one.listed() for one in self._below(_path_in(request))])

    def _read(self, request: Request) -> Answer:
        path = _path_in(request)
        offset, length = _number(request, "offset"), _number(request, "length")
        size, data = self._file(path).read(*((0, 0) if offset < 0 else (offset, length if length >= 0 else None)))
        # A file's bytes go out as they are, whatever they are.
        text = data.decode(errors="surrogateescape")
        page = {"data": text, "offset": size if offset < 0 else offset}
        body = json.dumps(page, ensure_ascii=False, separators=(",", ":"))
        return Answer(body=body.encode(errors="surrogateescape"))

    def _download(self, request: Request) -> Answer:
        path = _path_in(request)
        found = self._file(path, "Cannot download a directory.\n")
        name = {"Content-Disposition": f"attachment; filename={Path(path).name}"}
        body = found.content if found.real is None else found.real.read_bytes()
        return Answer(body=body, headers=name, content_type="application/octet-stream")

    # ---- what is there ----

    def _file(self, path: str, otherwise: str = "Cannot read a directory.\n") -> _File:
        task, inside = self._place(path)
        real = _inside(self._cluster.sandbox(task), inside)
        if real is not None:
            if real.is_dir():
                raise _Refusal(400, otherwise)
            return _File(path=path, real=real)
        if not inside:
            raise _Refusal(400, otherwise)
        content = _pretended(task).get(inside)
        if content is None:
            raise _Refusal(404)
        return _File(path=path, content=content)

    def _below(self, path: str) -> Iterator[_File]:
        task, inside = self._place(path)
        real = _inside(self._cluster.sandbox(task), inside)
        if real is not None:
            for entry in sorted(real.iterdir()) if real.is_dir() else ():
                with contextlib.suppress(FileNotFoundError):
                    yield _File(path=f"{path}/{entry.name}", real=entry, status=entry.stat())
        elif not inside:
            for name, content in sorted(_pretended(task).items()):
                yield _File(path=f"{path}/{name}", content=content, mtime=task.since / 1000)

    def _place(self, path: str) -> tuple[Task, str]:
        """Return whose sandbox a path is in, and where in it."""
        found = _SANDBOX.fullmatch(path)
        agent = self._cluster.agents.get(found["agent"]) if found is not None else None
        if found is None or agent is None or not agent.connected or found["framework"] != self._framework:
            raise _Refusal(404)
        for task in (self._cluster.tasks.get(found["task"]), *self._cluster.past.get(agent.id, ())):
            is_meant = task is not None and (task.id, task.agent) == (found["task"], agent)
            if task is not None and is_meant and not task.swept and found["run"] == _run_of(task.id):
                return task, found["inside"] or ""
        raise _Refusal(404)


def _path_in(request: Request) -> str:
    paths = [path for path in request.values("path") if path]
    if not paths:
        raise _Refusal(400, "Expecting 'path=value' in query.\n")
    return paths[0].removeprefix("file://").rstrip("/")


def _number(request: Request, name: str) -> int:
    """Return a parameter; -1, which is also what one may say who has none, where there is none."""
    values = request.values(name)
    if not values:
        return -1
    try:
        found = int(values[0])
    except ValueError:
        raise _Refusal(400, f"Failed to parse {name}: Failed to convert '{values[0]}' to number.\n") from None
    if found < -1:
        raise _Refusal(400, f"Negative {name} provided: {found}.\n")
    return found


def _inside(folder: Path | None, inside: str) -> Path | None:
    """Return a place in a folder that is real; whoever points out of it is refused."""
    if folder is None:
        return None
    try:
        found = (folder / inside).resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError):
        raise _Refusal(404) from None
    if not found.is_relative_to(folder.resolve()):
        raise _Refusal(400, f"'{folder / inside}' is inaccessible.\n")
    return found


def _pretended(task: Task) -> Mapping[str, bytes]:
    """Return what a task has printed that nobody runs: the words of the executor that would start it."""
    return {"stderr": b"", "stdout": f"Starting task {task.id}\n".encode()}


def _run_of(task_id: str) -> str:
    """Return the container of a task: the same each time, as long as the task is."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, task_id))


def _named(name: Callable[[], str], number: int) -> str:
    try:
        return name()
    except KeyError:
        return str(number)
