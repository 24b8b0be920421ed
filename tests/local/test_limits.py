"""Limits that hold: memory and processor by control group, memory by the watchdog, each with what is said about it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roadstead.shim.backoff import Backoff
from roadstead.shim.cgroup import (
    cpu_seconds,
    kill_everything,
    memory_bytes,
    oom_kills,
    peak_memory_bytes,
    processes,
    remove,
    throttled_seconds,
)
from roadstead.shim.cgroup_place import CgroupError, CgroupPlace, make_group, replica_group
from roadstead.shim.children import hold, reap
from roadstead.shim.identity import identity_of, wait_status_of
from roadstead.shim.spec import Limits
from tests.local.conftest import Shimmed, answers, ask, in_group, until

MIB = 1 << 20
MakeLimits = Callable[[int, int], Limits]
LAZY = Backoff(initial=3600.0, maximum=3600.0, reset_after=0.0)


def _hog(host: str, mebibytes: int) -> None:
    """Ask for more memory than there is; the answer never comes."""
    with pytest.raises(ConnectionError):
        ask(host, f"hog/{mebibytes}")


class TestMemory:
    """A server that takes more memory than it may."""

    def test_it_is_killed_said_to_be_out_of_memory_and_started_again(
        self, shimmed: Shimmed, limited: MakeLimits
    ) -> None:
        """The kernel holds the limit; the exit record tells this kill from any other."""
        limits = limited(1000, 48 * MIB)
        server = shimmed(limits=limits)
        server.start()
        first = server.serving()
        _hog(server.host, 200)
        server.serving(other_than=first)
        state = server.state()
        assert (True, signal.SIGKILL) == (state.exits[-1].out_of_memory, state.exits[-1].signal)
        assert "out of memory: killed by SIGKILL at the limit of its control group" == state.exits[-1].detail
        assert limits.cgroup is not None
        assert 40 * MIB < (peak_memory_bytes(limits.cgroup) or 0) <= 48 * MIB

    def test_a_plain_kill_is_not_taken_for_it(self, shimmed: Shimmed, limited: MakeLimits) -> None:
        """SIGKILL alone is a crash, even after an earlier run was out of memory."""
        server = shimmed(limits=limited(1000, 48 * MIB), backoff=Backoff(initial=0.0, maximum=0.0))
        server.start()
        first = server.serving()
        _hog(server.host, 200)
        second = server.serving(other_than=first)
        os.kill(second, signal.SIGKILL)
        server.serving(other_than=second)
        assert [True, False] == [ended.out_of_memory for ended in server.state().exits]

    def test_it_is_known_though_nobody_watched(self, shimmed: Shimmed, limited: MakeLimits) -> None:
        """Neither daemon nor shim lived when it happened: the kernel's counter still tells the next shim."""
        server = shimmed(limits=limited(1000, 48 * MIB))
        server.start()
        first = server.serving()
        server.kill_shim()
        _hog(server.host, 200)
        until(lambda: not answers(server.host))
        server.start()
        server.serving(other_than=first)
        assert server.state().exits[-1].out_of_memory

    def test_an_unlimited_neighbour_is_not_blamed(self, shimmed: Shimmed, limited: MakeLimits) -> None:
        """A server that exits by itself with code 0 was not killed, whatever the counter says."""
        server = shimmed(limits=limited(1000, 256 * MIB), backoff=LAZY)
        server.start()
        server.serving()
        with pytest.raises(ConnectionError):
            ask(server.host, "exit/0")
        state = server.until(lambda state: bool(state.exits))
        assert (False, 0) == (state.exits[-1].out_of_memory, state.exits[-1].code)

    def test_the_watchdog_does_it_where_there_is_no_control_group(self, shimmed: Shimmed) -> None:
        """The shim itself sees the use and ends the server, with both numbers in the record."""
        server = shimmed(limits=Limits(watched_memory=64 * MIB))
        server.start()
        first = server.serving()
        with contextlib.suppress(ConnectionError):  # it may be ended before it has answered
            ask(server.host, "hog/100")
        server.serving(other_than=first)
        ended = server.state().exits[-1]
        assert ended.out_of_memory
        assert ended.detail.endswith(f"limit {64 * MIB} bytes (watched)")


class TestProcessor:
    """A server that computes without end."""

    def test_it_gets_what_it_may_and_no_more(self, shimmed: Shimmed, limited: MakeLimits) -> None:
        """A server that is held to 200m uses a fifth of a processor, as the kernel counts it, and waits."""
        limits = limited(200, 256 * MIB)
        assert limits.cgroup is not None
        server = shimmed(limits=limits)
        server.start()
        server.serving()
        used, began = cpu_seconds(limits.cgroup), time.monotonic()
        ask(server.host, "spin/2")
        took = time.monotonic() - began
        assert used is not None
        share = ((cpu_seconds(limits.cgroup) or 0.0) - used) / took
        # A period may be begun with a full quota at either end; a starved machine gives less.
        assert share <= 0.2 * (1 + 2 * 0.1 / took) + 0.01
        group = limits.cgroup
        until(lambda: (throttled_seconds(group) or 0.0) > 0.5 or (ask(server.host, "spin/0.5"), False)[1])

    def test_the_shim_is_not_limited_by_it(self, shimmed: Shimmed, limited: MakeLimits) -> None:
        """The server is in the group and its shim is not: whoever restarts must not be starved."""
        limits = limited(100, 256 * MIB)
        assert limits.cgroup is not None
        server = shimmed(limits=limits)
        server.start()
        pid = server.serving()
        assert [pid] == processes(limits.cgroup)


class TestGroups:
    """The control groups themselves."""

    def test_the_limits_are_what_was_asked(self, limited: MakeLimits) -> None:
        """The kernel shows the quota and the limit as they were set."""
        group = limited(400, 300 * MIB).cgroup
        assert group is not None
        assert group.memory is not None
        if group.version == 1:
            quota = Path(f"{group.cpu}/cpu.cfs_quota_us").read_text()
            memory = Path(f"{group.memory}/memory.limit_in_bytes").read_text()
        else:
            quota = Path(f"{group.cpu}/cpu.max").read_text().split()[0]
            memory = Path(f"{group.memory}/memory.max").read_text()
        assert (40_000, 300 * MIB) == (int(quota), int(memory))

    def test_making_a_group_again_does_no_harm(self, limited: MakeLimits) -> None:
        """What a new daemon does for every replica it finds."""
        group = limited(400, 300 * MIB).cgroup
        assert group is not None
        make_group(group, cpu_milli=400, memory=300 * MIB)
        assert 0 == oom_kills(group)

    def test_a_limit_that_the_kernel_refuses_is_said(self, place: CgroupPlace) -> None:
        """The message names the file and asks the right question."""
        group = replica_group(place, "refused")
        assert group is not None
        with pytest.raises(CgroupError, match="is a limit of a group above it lower"):
            make_group(group, cpu_milli=400, memory=-5)
        assert remove(group)

    def test_nothing_is_measured_of_a_group_that_is_gone(self, limited: MakeLimits) -> None:
        """Unknown is unknown, not 0."""
        group = limited(400, 300 * MIB).cgroup
        assert group is not None
        assert memory_bytes(group) is not None
        assert remove(group)
        assert [None] * 4 == [question(group) for question in (memory_bytes, cpu_seconds, oom_kills, peak_memory_bytes)]

    def test_a_group_with_a_process_stays(self, limited: MakeLimits) -> None:
        """Removing says so instead of pretending; killing everything makes it possible."""
        group = limited(400, 300 * MIB).cgroup
        assert group is not None
        pid = in_group(group)
        assert not remove(group)
        assert all(Path(folder).is_dir() for folder in group.folders)
        kill_everything(group)
        os.waitpid(pid, 0)
        assert until(lambda: remove(group))


class TestEndOfAProcess:
    """How a process ended, told by whoever may know."""

    def test_the_kernel_tells_a_stranger_after_the_parent_has_collected_it(self) -> None:
        """Linux 6.15 keeps the exit status for those who hold a pidfd; before that it is unknown, never guessed."""
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        pidfd = os.pidfd_open(pid)
        os.waitpid(pid, 0)
        assert wait_status_of(pidfd) in (7 << 8, None)
        os.close(pidfd)

    def test_collecting_tells_our_child_from_others(self) -> None:
        """Every ended child is collected, and only the one that was asked for is reported."""
        other = os.fork()
        if other == 0:
            os._exit(1)
        ours = os.fork()
        if ours == 0:
            os._exit(5)
        identity = identity_of(ours)
        assert identity is not None
        child = hold(identity, ours=True)
        ended = until(lambda: reap(child))
        assert 5 << 8 == ended.status
        until(lambda: not Path(f"/proc/{other}").exists() or (reap(None), False)[1])
