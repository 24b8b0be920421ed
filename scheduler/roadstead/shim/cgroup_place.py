"""Where control groups are made, and how their limits are set: version 2, version 1, or a hybrid of both.

For whoever starts what a shim, or something like it, then holds: no shim loads this. A place is a folder per controller
below the group that we run in ourselves, so that nothing of ours ever leaves the limits that we were given. It can be
written down, and who comes next goes on using it, wherever that one runs.

Reading where we are is pure (`parse_mounts`, `parse_membership`, `folder_of`); `find_place` and `make_group` write.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roadstead.shim.cgroup import UNLIMITED, ReplicaCgroup, write_control

__all__ = [
    "DAEMON_LEAF",
    "CgroupError",
    "CgroupPlace",
    "Mount",
    "find_place",
    "folder_of",
    "is_usable",
    "make_group",
    "parse_membership",
    "parse_mounts",
    "remove_place",
    "replica_group",
]

DAEMON_LEAF = "roadstead-daemon"
"""The group below ours that we move into, because in version 2 only leaves may hold processes."""

_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000
_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")


class CgroupError(Exception):
    """A control group cannot be made or limited; the text says which and why."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One mounted hierarchy; ``root`` is the group that its mount point shows."""

    version: int
    point: str
    root: str
    controllers: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class CgroupPlace:
    """The folder per controller below which replicas' groups are made; ``None`` where a controller is not to be had.

    ``notes`` say why, a sentence each.
    """

    version: int
    cpu: str | None = None
    cpuacct: str | None = None
    memory: str | None = None
    pids: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder once, in a fixed order."""
        return tuple(sorted({path for path in (self.cpu, self.cpuacct, self.memory, self.pids) if path is not None}))


# ---- where we are ----


def parse_mounts(mountinfo: str) -> tuple[Mount, ...]:
    """Return the hierarchies that the text of ``/proc/self/mountinfo`` (proc(5)) names."""
    mounts = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        options = frozenset(kind[2].split(",")) & frozenset(_CONTROLLERS)
        mounts.append(
            Mount(
                version=2 if kind[0] == "cgroup2" else 1,
                point=_unescaped(fields[4]),
                root=_unescaped(fields[3]),
                controllers=options,
            )
        )
    return tuple(mounts)


def parse_membership(text: str) -> Mapping[str, str]:
    """Return our group per controller (version 2: under ``""``) from the text of ``/proc/self/cgroup``."""
    groups = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def folder_of(mount: Mount, group: str) -> str | None:
    """Return the folder of a group, or ``None`` when the mount does not show it (we are outside what it shows)."""
    if mount.root == "/":
        return mount.point if group == "/" else f"{mount.point}{group}"
    if group == mount.root:
        return mount.point
    if group.startswith(f"{mount.root}/"):
        return f"{mount.point}{group[len(mount.root) :]}"
    return None


def _unescaped(path: str) -> str:
    """Return a path with the octal escapes of mountinfo (blank, tab, newline, backslash) undone."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path


# ---- the place ----


def find_place(name: str, proc: Path = Path("/proc/self")) -> CgroupPlace:
    """Make and return the place called ``name`` below our own groups; what cannot be had is said in its notes."""
    mounts = parse_mounts((proc / "mountinfo").read_text())
    groups = parse_membership((proc / "cgroup").read_text())
    unified = next((mount for mount in mounts if mount.version == 2), None)
    notes: list[str] = []
    if unified is not None and "" in groups:
        own = folder_of(unified, groups[""])
        if own is not None and {"cpu", "memory"} <= _words(f"{own}/cgroup.controllers"):
            try:
                return _unified_place(own, name)
            except OSError as error:
                notes.append(_refused(own, error))
    return _legacy_place(mounts, groups, name, notes)


def is_usable(place: CgroupPlace) -> bool:
    """Tell whether a recorded place is still there and writable; a reboot takes it away."""
    return bool(place.folders) and all(os.access(f"{folder}/cgroup.procs", os.W_OK) for folder in place.folders)


def _unified_place(own: str, name: str) -> CgroupPlace:
    # Who was started again finds itself in the leaf that it moved to before, or that systemd put it in.
    base = os.path.dirname(own) if os.path.basename(own) == DAEMON_LEAF else own
    wanted = sorted({"cpu", "memory", "pids"} & _words(f"{base}/cgroup.controllers"))
    _enable(base, wanted)
    place = f"{base}/{name}"
    _make_folder(place)
    _enable(place, wanted)
    return CgroupPlace(version=2, cpu=place, cpuacct=place, memory=place, pids=place if "pids" in wanted else None)


def _enable(folder: str, controllers: list[str]) -> None:
    """Hand controllers down; a group that holds nothing but us is left for its leaf first."""
    missing = sorted(set(controllers) - _words(f"{folder}/cgroup.subtree_control"))
    if not missing:
        return
    order = " ".join(f"+{controller}" for controller in missing)
    try:
        write_control(f"{folder}/cgroup.subtree_control", order)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _make_folder(f"{folder}/{DAEMON_LEAF}")
        write_control(f"{folder}/{DAEMON_LEAF}/cgroup.procs", "0")
        write_control(f"{folder}/cgroup.subtree_control", order)


def _legacy_place(mounts: tuple[Mount, ...], groups: Mapping[str, str], name: str, notes: list[str]) -> CgroupPlace:
    found: dict[str, str] = {}
    for controller in _CONTROLLERS:
        mount = next((mount for mount in mounts if mount.version == 1 and controller in mount.controllers), None)
        own = folder_of(mount, groups[controller]) if mount is not None and controller in groups else None
        if own is None:
            notes.append(f"the {controller} controller is not mounted for us")
            continue
        try:
            _make_folder(f"{own}/{name}")
        except OSError as error:
            notes.append(_refused(own, error))
        else:
            found[controller] = f"{own}/{name}"
    return CgroupPlace(
        version=1,
        cpu=found.get("cpu"),
        cpuacct=found.get("cpuacct"),
        memory=found.get("memory"),
        pids=found.get("pids"),
        notes=tuple(notes),
    )


def _refused(folder: str, error: OSError) -> str:
    return f"control groups below {folder} cannot be made: {os.strerror(error.errno or 0).lower()}"


def remove_place(place: CgroupPlace) -> None:
    """Remove a place in which there is nothing any more; one with groups in it stays."""
    for folder in place.folders:
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


# ---- one replica ----


def replica_group(place: CgroupPlace, replica: str, pids_limit: int | None = None) -> ReplicaCgroup | None:
    """Return the group of a replica, made or not, or ``None`` where there are no control groups."""
    if not place.folders:
        return None
    return ReplicaCgroup(
        version=place.version,
        cpu=place.cpu and f"{place.cpu}/{replica}",
        cpuacct=place.cpuacct and f"{place.cpuacct}/{replica}",
        memory=place.memory and f"{place.memory}/{replica}",
        pids=place.pids and f"{place.pids}/{replica}",
        pids_limit=pids_limit,
    )


def make_group(group: ReplicaCgroup, *, cpu_milli: int | None, memory: int | None) -> None:
    """Make a replica's group and set its limits; repeating is fine.

    The processor limit is in thousandths of a core, memory in bytes; what is ``None`` stays as it is, which in a new
    group is without a limit. Raises :class:`CgroupError`.
    """
    try:
        for folder in group.folders:
            # The group's own parent is made too: a reboot may have taken the place away since it was recorded.
            _make_folder(folder)
        if group.version == 2:
            _limit_unified(group, cpu_milli, memory)
        else:
            _limit_legacy(group, cpu_milli, memory)
    except OSError as error:
        where = error.filename or group.folders[0]
        raise CgroupError(
            f"control group cannot be set up: {where}: {os.strerror(error.errno or 0).lower()}; "
            "is a limit of a group above it lower?"
        ) from error


def _limit_unified(group: ReplicaCgroup, cpu_milli: int | None, memory: int | None) -> None:
    if group.cpu is not None and cpu_milli is not None:
        write_control(f"{group.cpu}/cpu.max", f"{_quota(cpu_milli)} {_PERIOD_US}")
    if group.memory is not None and memory is not None:
        write_control(f"{group.memory}/memory.max", str(memory))
        # What is killed for want of memory is the server, whole: half a server answers nothing.
        _write_if_there(f"{group.memory}/memory.oom.group", "1")
        _write_if_there(f"{group.memory}/memory.swap.max", "0")
    _limit_pids(group)


def _limit_legacy(group: ReplicaCgroup, cpu_milli: int | None, memory: int | None) -> None:
    if group.cpu is not None and cpu_milli is not None:
        write_control(f"{group.cpu}/cpu.cfs_period_us", str(_PERIOD_US))
        write_control(f"{group.cpu}/cpu.cfs_quota_us", str(_quota(cpu_milli)))
    if group.memory is not None and memory is not None:
        # Memory and memory with swap: the second may never be lower than the first, so it comes last.
        write_control(f"{group.memory}/memory.limit_in_bytes", str(memory))
        _write_if_there(f"{group.memory}/memory.memsw.limit_in_bytes", str(memory))
    _limit_pids(group)


def _limit_pids(group: ReplicaCgroup) -> None:
    if group.pids is not None:
        write_control(f"{group.pids}/pids.max", UNLIMITED if group.pids_limit is None else str(group.pids_limit))


def _quota(cpu_milli: int) -> int:
    """Return microseconds of processor time per period; the kernel takes no less than a millisecond."""
    return max(_LEAST_QUOTA_US, cpu_milli * _PERIOD_US // 1000)


# ---- the kernel's files ----


def _make_folder(path: str) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)


def _words(path: str) -> frozenset[str]:
    try:
        return frozenset(Path(path).read_text().split())
    except OSError:
        return frozenset()


def _write_if_there(path: str, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        write_control(path, text)
