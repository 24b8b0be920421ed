"""What can be wrong with a machine: each check looks at one thing and says what it found.

A check changes nothing, asks no cluster and imports no engine. What a cluster of the fleet file can do is the business
of its backend, whose own words are added by ``roadstead check``.
"""

from __future__ import annotations

import enum
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import attrs

from roadstead.act.state import SOCKET_PATH_LIMIT, StateDirectory
from roadstead.spi.host import PluginHost

__all__ = ["Finding", "Level", "machine", "plugins", "state"]

_ENOUGH_DISK = 1024**3
_LEAST_DISK = 32 * 1024**2
_LOOPBACK = "127.83.17.5"
"""Any address but 127.0.0.1: replicas get addresses of their own in 127.0.0.0/8."""


@enum.unique
class Level(enum.Enum):
    """How bad a finding is: fine, worth knowing, or in the way."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@attrs.frozen(kw_only=True)
class Finding:
    """What a check found; ``hint`` is the next step, empty where none is needed."""

    level: Level
    about: str
    text: str
    hint: str = ""


def machine() -> Iterator[Finding]:
    """Yield what is found about this machine."""
    yield _python()
    yield from _cgroups(Path("/proc/self/cgroup"), Path("/proc/self/mountinfo"))
    yield _addresses()
    yield from _gpus()
    yield _embedded_engine()
    yield _model_server()


def plugins(host: PluginHost) -> Iterator[Finding]:
    """Yield what is wrong with the installed plugins."""
    for problem in host.problems:
        yield Finding(
            level=Level.WRONG, about="plugins", text=str(problem), hint="uninstall or upgrade that distribution"
        )
    if not host.problems:
        yield Finding(level=Level.OK, about="plugins", text="all of them load")


def state(directory: StateDirectory) -> Iterator[Finding]:
    """Yield what is found about a fleet's state directory."""
    length = len(os.fsencode(directory.socket))
    if length > SOCKET_PATH_LIMIT:
        yield Finding(
            level=Level.WRONG,
            about="state",
            text=f"the path of the control socket has {length} bytes, the system allows {SOCKET_PATH_LIMIT}",
            hint="set daemon.state to a shorter path",
        )
    there = next(path for path in (directory.path, *directory.path.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            level=Level.WRONG,
            about="state",
            text=f"{there} cannot be written",
            hint="set daemon.state to a folder of yours",
        )
        return
    yield _room(directory.path, shutil.disk_usage(there).free)


def _room(path: Path, free: int) -> Finding:
    if free < _LEAST_DISK:
        hint = "make room on its disk: where nothing can be remembered, nothing is started, moved or stopped"
        return Finding(level=Level.WRONG, about="state", text=f"{path}, {free // 1024**2}Mi free", hint=hint)
    text = f"{path}, {free / 1024**3:.1f}Gi free"
    if free < _ENOUGH_DISK:
        hint = "logs and the journal are bounded, but little is left for them"
        return Finding(level=Level.NOTE, about="state", text=text, hint=hint)
    return Finding(level=Level.OK, about="state", text=text)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.platform != "linux":
        return Finding(
            level=Level.NOTE, about="python", text=f"{version} on {sys.platform}", hint="the local backend needs Linux"
        )
    return Finding(level=Level.OK, about="python", text=f"{version} on Linux")


def _cgroups(memberships: Path, mounts: Path) -> Iterator[Finding]:
    """Yield whether limits can be enforced by cgroups: the controllers, where they are mounted, and if we may write."""
    found = dict(_controllers(memberships.read_text(), mounts.read_text()))
    for controller in ("cpu", "memory"):
        folder = found.get(controller)
        if folder is None:
            yield Finding(
                level=Level.NOTE,
                about="cgroups",
                text=f"no {controller} controller is mounted",
                hint="limits fall back to CPU affinity and a watchdog; `roadstead status -v` says what is in force",
            )
        elif not os.access(folder, os.W_OK):
            yield Finding(
                level=Level.NOTE,
                about="cgroups",
                text=f"the {controller} controller at {folder} is not writable for this user",
                hint="start the daemon from a systemd unit with Delegate=yes; else limits fall back to a watchdog",
            )
        else:
            yield Finding(level=Level.OK, about="cgroups", text=f"{controller} at {folder}")


def _controllers(memberships: str, mounts: str) -> Iterator[tuple[str, Path]]:
    """Yield the folder of our own group for each controller; version 1 hides version 2 where a machine has both."""
    ours = {}
    for line in memberships.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(",") if names else ["unified"]:
            ours[name] = path
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" and "unified" in ours:
            folder = _inside(point, root, ours["unified"])
            listed = folder / "cgroup.controllers"
            for name in listed.read_text().split() if listed.exists() else ():
                if name not in ours:
                    yield name, folder
        elif kind == "cgroup":
            for name in options.split(","):
                if name in ours:
                    yield name, _inside(point, root, ours[name])


def _inside(point: str, root: str, path: str) -> Path:
    """Return the folder of group ``path`` under a mount that shows the hierarchy from ``root`` on."""
    below = path.removeprefix(root.rstrip("/")) if root != "/" else path
    return Path(point + "/" + below.strip("/")) if below.strip("/") else Path(point)


def _addresses() -> Finding:
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, 0))
        except OSError as error:
            return Finding(
                level=Level.WRONG,
                about="ports",
                text=f"{_LOOPBACK} cannot be bound: {error.strerror}",
                hint="replicas on this machine get addresses of their own in 127.0.0.0/8",
            )
    return Finding(level=Level.OK, about="ports", text="addresses in 127.0.0.0/8 can be bound")


def _gpus() -> Iterator[Finding]:
    if find_spec("pynvml") is None:
        yield Finding(level=Level.OK, about="gpus", text="not looked for: the extra `gpu` is not installed")
        return
    import pynvml  # noqa: PLC0415  # a client library, where it is installed

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        yield Finding(level=Level.OK, about="gpus", text=f"none: {error}")
        return
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            free, total = memory.free / 1024**3, memory.total / 1024**3
            text = f"{pynvml.nvmlDeviceGetName(device)}, {free:.1f} of {total:.1f}Gi free"
            yield Finding(level=Level.OK, about="gpus", text=text)
    finally:
        pynvml.nvmlShutdown()


def _embedded_engine() -> Finding:
    missing = [name for name in ("tensorflow", "tensorflow_serving", "grpc") if find_spec(name) is None]
    if missing:
        return Finding(
            level=Level.NOTE,
            about="engine",
            text=f"embedded: {', '.join(missing)} not installed",
            hint="`pip install roadstead[tf-serving]`, unless replicas run elsewhere or in another engine",
        )
    return Finding(level=Level.OK, about="engine", text="embedded: TensorFlow and its serving API are installed")


def _model_server() -> Finding:
    path = shutil.which("tensorflow_model_server")
    if path is None:
        text = "tensorflow_model_server is not on the PATH; needed only for runtime.engine: tensorflow_model_server"
        return Finding(level=Level.OK, about="engine", text=text)
    return Finding(level=Level.OK, about="engine", text=f"tensorflow_model_server at {path}")
