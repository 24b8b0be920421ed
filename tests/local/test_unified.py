"""Control groups of version 2: against a folder that looks like it, and against the kernel where it is mounted.

On a machine whose controllers are all bound to version 1 the kernel part can only show what needs no such controller:
killing, counting, and moving out of the way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.shim.cgroup import (
    ReplicaCgroup,
    cpu_seconds,
    kill_everything,
    memory_bytes,
    oom_kills,
    peak_memory_bytes,
    processes,
    remove,
    throttled_seconds,
)
from roadstead.shim.cgroup_place import DAEMON_LEAF, find_place, is_usable, make_group, parse_mounts, replica_group
from tests.local.conftest import in_group, until

FILES = {
    "cpu.max": "max 100000",
    "cpu.stat": "usage_usec 2500000\nthrottled_usec 500000\n",
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.oom.group": "0",
    "memory.current": "1000\n",
    "memory.peak": "1500\n",
    "memory.stat": "anon 600\ninactive_file 300\n",
    "memory.events": "low 0\noom 2\noom_kill 3\n",
    "pids.max": "max",
}


def _imitate(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine with version 2 only, and us in a unit's group there."""
    folder = tmp_path / "proc"
    mount = tmp_path / "cgroup"
    _imitate(
        folder,
        {
            "mountinfo": f"30 23 0:26 / {mount} rw - cgroup2 cgroup2 rw\n",
            "cgroup": "0::/system.slice/roadstead.service\n",
        },
    )
    handed_down = {"cgroup.controllers": "cpu io memory pids\n", "cgroup.subtree_control": "cpu memory pids\n"}
    unit = mount / "system.slice" / "roadstead.service"
    for place in (unit, unit / "roadstead-1"):
        _imitate(place, {**handed_down, "cgroup.procs": ""})
    return folder


class TestTheFiles:
    """What is read and written, by the kernel's documentation."""

    def test_the_place_is_below_our_own_group(self, proc: Path, tmp_path: Path) -> None:
        """One folder for all controllers."""
        place = find_place("roadstead-1", proc)
        expected = f"{tmp_path}/cgroup/system.slice/roadstead.service/roadstead-1"
        assert (2, expected, expected, expected) == (place.version, place.cpu, place.memory, place.pids)
        assert is_usable(place)

    def test_a_daemon_in_its_leaf_finds_the_same_place(self, proc: Path) -> None:
        """Started again, it may find itself where it moved to, or where systemd put it."""
        before = find_place("roadstead-1", proc)
        (proc / "cgroup").write_text(f"0::/system.slice/roadstead.service/{DAEMON_LEAF}\n")
        unit = Path(str(before.cpu)).parent
        _imitate(unit / DAEMON_LEAF, {"cgroup.controllers": "cpu memory pids\n"})
        assert before == find_place("roadstead-1", proc)

    def test_limits_are_written_as_the_kernel_wants_them(self, proc: Path) -> None:
        """Quota and period, bytes, no swap, and the whole server killed at once."""
        group = replica_group(find_place("roadstead-1", proc), "r1", pids_limit=50)
        assert group is not None
        folder = Path(str(group.cpu))
        _imitate(folder, dict.fromkeys(FILES, ""))
        make_group(group, cpu_milli=400, memory=1 << 30)
        written = {name: (folder / name).read_text() for name in FILES if (folder / name).read_text()}
        assert written == {
            "cpu.max": "40000 100000",
            "memory.max": str(1 << 30),
            "memory.oom.group": "1",
            "memory.swap.max": "0",
            "pids.max": "50",
        }

    def test_use_is_read(self, tmp_path: Path) -> None:
        """Seconds and bytes; the page cache that can be dropped is not use."""
        _imitate(tmp_path, FILES)
        here = str(tmp_path)
        group = ReplicaCgroup(version=2, cpu=here, cpuacct=here, memory=here, pids=here)
        assert (2.5, 0.5, 700, 1500, 3) == (
            cpu_seconds(group),
            throttled_seconds(group),
            memory_bytes(group),
            peak_memory_bytes(group),
            oom_kills(group),
        )

    def test_a_group_that_is_not_delegated_is_said(self, proc: Path) -> None:
        """Without write access there is no place, and the notes say which folder refused."""
        unit = Path(str(find_place("roadstead-1", proc).cpu)).parent
        (unit / "cgroup.subtree_control").unlink()
        place = find_place("roadstead-1", proc)
        assert () == place.folders
        assert f"control groups below {unit} cannot be made: no such file or directory" in place.notes


@pytest.fixture
def unified() -> Iterator[Path]:
    """A real group of version 2."""
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text())
    point = next((mount.point for mount in mounts if mount.version == 2), None)
    folder = Path(point or "/nonexistent", f"roadstead-test-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"NO WRITABLE CONTROL GROUPS OF VERSION 2 HERE, the kernel's are not tested: {error}")
    yield folder
    group = ReplicaCgroup(version=2, cpu=str(folder))
    kill_everything(group)
    assert until(lambda: remove(group))


class TestTheKernel:
    """Version 2 as it is."""

    def test_everything_in_a_group_is_killed_in_one_step(self, unified: Path) -> None:
        """Those in groups below it, too."""
        (unified / "below").mkdir()
        outer, inner = ReplicaCgroup(version=2, cpu=str(unified)), ReplicaCgroup(version=2, cpu=str(unified / "below"))
        pids = [in_group(group) for group in (outer, inner)]
        assert sorted(pids) == processes(outer)
        kill_everything(outer)
        assert [signal.SIGKILL] * 2 == [os.WTERMSIG(os.waitpid(pid, 0)[1]) for pid in pids]
        assert [] == processes(outer)

    def test_a_daemon_moves_out_of_the_way(self, unified: Path) -> None:
        """Controllers cannot be handed down while the group holds processes; the daemon goes into its leaf first."""
        root = unified.parent
        (controller, *_) = (*(root / "cgroup.controllers").read_text().split(), "")
        if not controller:
            pytest.skip("NO CONTROLLER OF VERSION 2 IS FREE HERE, handing one down is not tested")
        was_on = controller in (root / "cgroup.subtree_control").read_text().split()
        _order(root, f"+{controller}")
        try:
            done = subprocess.run(
                [sys.executable, "-c", _HAND_DOWN, str(unified), controller], capture_output=True, text=True, check=True
            )
            assert f"{controller} {DAEMON_LEAF}" == done.stdout.strip()
        finally:
            with contextlib.suppress(OSError):
                _order(unified, f"-{controller}")
            if not was_on:
                _order(root, f"-{controller}")


_HAND_DOWN = """
import os, sys
from pathlib import Path
from roadstead.shim.cgroup_place import _enable
folder, controller = sys.argv[1:]
Path(folder, "cgroup.procs").write_text("0")
_enable(folder, [controller])
own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
print(Path(folder, "cgroup.subtree_control").read_text().strip(), own.rsplit("/", 1)[1])
"""


def _order(folder: Path, text: str) -> None:
    (folder / "cgroup.subtree_control").write_text(text)
