"""The local backend with real shims and servers: adopted, healed, explained, measured, confined."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest

from roadstead.capabilities import Limit
from roadstead.errors import Conflict, OutOfCapacity, Rejected, StateError, Unreachable
from roadstead.model import GpuPart, ModelSpec, Resources, Scheduling, StopSpec, Template, Variable, WholeGpus
from roadstead.reasons import ReasonCode
from roadstead.shim.cgroup_place import CgroupPlace
from roadstead.spi.backend import ABSENT, BackendContext, Expect, GroupOrder
from roadstead.spi.digest import version_digest
from roadstead.spi.runtime import ConfigFile, Launch, Program
from roadstead.template import revision
from roadstead.testing.subject import OWNER_ID
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.world import Group, GroupKey, Phase, Replica
from roadstead_backends.local.connect import open_backend
from roadstead_backends.local.devices import GpuDevice, NoDevices
from roadstead_backends.local.options import LocalOptions
from roadstead_backends.local.store import lock_file
from tests.local.conftest import NO_PLACE, PORT, WAIT_S, LocalSubject, OpenCluster, answers, ask, marked, until

MIB = 1 << 20
NOBODYS = "192.0.2.1"
"""An address that is set aside for documents: no server can listen there, and nobody needs to be asked for it."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder with one version in it."""
    folder = tmp_path / "models" / "minilm"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "saved_model.pb").write_bytes(b"weights")
    return folder


@pytest.fixture
def template(model: Path) -> Template:
    """A small template."""
    return Template(
        model=ModelSpec(name="minilm", source=str(model)),
        resources=Resources(cpu=Cpus(300), memory=Memory(64 * MIB)),
        stop=StopSpec(kill_after=Duration(2_000)),
    )


def order_of(template: Template, *, owner_id: str = OWNER_ID) -> GroupOrder:
    """Return an order whose servers answer over HTTP."""
    return GroupOrder(
        key=GroupKey("minilm", revision(template)),
        fleet="tests",
        owner="search",
        owner_id=owner_id,
        generation=1,
        template=template,
        launch=Launch(
            program=Program(executable="server"),
            args=("$(HOST)", str(PORT)),
            env=(("MODELS", "$(MODEL_DIR)"), ("CONFIG", "$(CONFIG_DIR)")),
            files=(ConfigFile("models.config", "base_path: $(MODEL_DIR) $(other)"),),
            rest_port=PORT,
        ),
    )


def group_of(cluster: LocalSubject) -> Group:
    """Return the only group."""
    (group,) = cluster.backend.observe().groups
    return group


def serve(
    cluster: LocalSubject, order: GroupOrder, count: int = 1, devices: tuple[str, ...] = ()
) -> tuple[Replica, ...]:
    """Create a group, place its replicas, and return them once all of them answer."""
    cluster.backend.apply(order, count, expect=ABSENT)
    seen = cluster.backend.observe()
    for replica in group_of(cluster).replicas:
        cluster.backend.bind(replica.id, seen.nodes[0].name, devices)
    cluster.until(lambda now: all(one.phase is Phase.RUNNING for one in now.groups[0].replicas))
    replicas = group_of(cluster).replicas
    for replica in replicas:
        until(partial(answers, host_of(replica)))
    return group_of(cluster).replicas


def host_of(replica: Replica) -> str:
    """Return a replica's address."""
    assert replica.endpoint is not None
    return replica.endpoint.host


def pid_of(replica: Replica) -> int:
    """Return the process id that a replica's server tells of itself."""
    return int(ask(host_of(replica), "pid"))


class TestOutlivingTheDaemon:
    """Replicas belong to the machine, not to the daemon."""

    def test_the_next_daemon_adopts_them(self, open_cluster: OpenCluster, template: Template) -> None:
        """Same processes, same addresses, no restart; the very same observation."""
        cluster = open_cluster()
        serve(cluster, order_of(template), 2)
        before = group_of(cluster)
        pids = [pid_of(replica) for replica in before.replicas]
        cluster.reopen()
        assert before == group_of(cluster)
        assert pids == [pid_of(replica) for replica in group_of(cluster).replicas]

    def test_a_crash_is_healed_while_no_daemon_runs(self, open_cluster: OpenCluster, template: Template) -> None:
        """The shim restarts the server, and the next daemon can tell what happened."""
        cluster = open_cluster()
        (replica,) = serve(cluster, order_of(template))
        cluster.backend.close()
        first = pid_of(replica)
        os.kill(first, signal.SIGKILL)
        second = until(lambda: (pid := answers(host_of(replica))) if pid_changed(replica, first) else None)
        cluster.backend = cluster.open()
        (after,) = group_of(cluster).replicas
        assert (second, 1, signal.SIGKILL) == (
            str(pid_of(after)),
            after.restarts,
            after.last_exit and after.last_exit.signal,
        )
        assert replica.incarnation != after.incarnation

    def test_a_server_that_is_lost_on_purpose_is_healed_like_any(
        self, open_cluster: OpenCluster, template: Template
    ) -> None:
        """It ends without notice, its shim starts another, and one that is not there cannot be lost."""
        cluster = open_cluster()
        (before,) = serve(cluster, order_of(template))
        first = pid_of(before)
        cluster.backend.lose(before.id)
        cluster.until(lambda now: now.groups[0].replicas[0].restarts == 1)
        until(lambda: pid_changed(before, first))
        (after,) = group_of(cluster).replicas
        assert before.id == after.id
        assert before.incarnation != after.incarnation
        with pytest.raises(Conflict, match="does not run here"):
            cluster.backend.lose("nobody")

    def test_killing_the_daemon_changes_nothing(self, open_cluster: OpenCluster, template: Template) -> None:
        """A process that holds the cluster is killed with SIGKILL; its replicas serve on and the lock is free."""
        cluster = open_cluster()
        (replica,) = serve(cluster, order_of(template))
        pid = pid_of(replica)
        cluster.backend.close()
        daemon = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(cluster.root), OWNER_ID], stdout=subprocess.PIPE, text=True
        )
        with daemon:
            assert daemon.stdout is not None
            assert "running\n" == daemon.stdout.readline()
            with pytest.raises(StateError, match=rf"is in use by process {daemon.pid} \("):
                cluster.open()
            daemon.kill()
        cluster.backend = cluster.open()
        assert (pid, 0) == (pid_of(replica), group_of(cluster).replicas[0].restarts)

    def test_a_lost_shim_is_replaced(self, open_cluster: OpenCluster, template: Template) -> None:
        """The server keeps its process, and its next death is answered again."""
        cluster = open_cluster()
        (replica,) = serve(cluster, order_of(template))
        pid = pid_of(replica)
        lost = kill_shim(cluster, replica)
        cluster.until(lambda _: shim_of(cluster, replica) not in (None, lost))
        assert (pid, 0) == (pid_of(replica), group_of(cluster).replicas[0].restarts)
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: pid_changed(replica, pid))

    def test_shims_do_not_stay_as_zombies(self, open_cluster: OpenCluster, template: Template) -> None:
        """The daemon collects the shims that it started."""
        cluster = open_cluster()
        (replica,) = serve(cluster, order_of(template))
        shim = shim_of(cluster, replica)
        group = group_of(cluster)
        cluster.backend.delete(group.key, grace=Duration(0), expect=Expect(group.version))
        cluster.until(lambda now: not now.groups)
        cluster.until(lambda _: not Path(f"/proc/{shim}").exists())


_HOLD = """
import sys, signal
from pathlib import Path
from roadstead.model import Scheduling
from roadstead.spi.backend import BackendContext
from roadstead.shim.cgroup_place import CgroupPlace
from roadstead_backends.local.connect import open_backend
from roadstead_backends.local.devices import NoDevices
from roadstead_backends.local.options import LocalOptions
options = LocalOptions(model_roots=(Path("/"),))
context = BackendContext(cluster="here", fleet="tests", owner_id=sys.argv[2], options=options,
                         scheduling=Scheduling.DIRECTED, root=Path(sys.argv[1]))
backend = open_backend(context, devices=NoDevices(""), place=CgroupPlace(version=2))
(group,) = backend.observe().groups
print(group.replicas[0].phase.value, flush=True)
signal.pause()
"""


def pid_changed(replica: Replica, before: int) -> bool:
    """Tell whether another process answers now."""
    pid = answers(host_of(replica))
    return pid is not None and pid != str(before)


def shim_of(cluster: LocalSubject, replica: Replica) -> int | None:
    """Return the process id of a replica's shim, if it runs."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if str(cluster.root / "replicas" / replica.id).encode() in words:
                    return int(folder.name)
    return None


def kill_shim(cluster: LocalSubject, replica: Replica) -> int:
    """Kill a replica's shim as nobody should, and return which process it was."""
    pid = shim_of(cluster, replica)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


class TestReasons:
    """What is said of a replica that is not well."""

    def test_out_of_memory_is_explained_afterwards(
        self, open_cluster: OpenCluster, template: Template, place: CgroupPlace
    ) -> None:
        """It happened while no daemon ran: the reason is the right one all the same."""
        cluster = open_cluster(place=place)
        (replica,) = serve(cluster, order_of(template))
        cluster.backend.close()
        first = pid_of(replica)
        with pytest.raises(ConnectionError):
            ask(host_of(replica), "hog/200")
        until(lambda: pid_changed(replica, first))
        cluster.backend = cluster.open()
        (after,) = group_of(cluster).replicas
        assert after.last_exit is not None
        assert after.reason is not None
        assert (True, ReasonCode.OUT_OF_MEMORY) == (after.last_exit.out_of_memory, after.reason.code)
        assert "out of memory: killed by SIGKILL at the limit of its control group" in after.reason.detail

    def test_back_off_is_shown_with_the_server_s_own_words(self, open_cluster: OpenCluster, template: Template) -> None:
        """A server that cannot start is waited for; the reason has the next start, the count and the end of the log."""
        cluster = open_cluster()
        order = order_of(template)
        launch = attrs.evolve(order.launch, args=(NOBODYS, "8501"))
        cluster.backend.apply(attrs.evolve(order, launch=launch), 1, expect=ABSENT)
        cluster.backend.bind(group_of(cluster).replicas[0].id, cluster.backend.observe().nodes[0].name, ())

        def waits(replica: Replica) -> bool:
            return replica.phase is Phase.STARTING and replica.reason is not None and replica.reason.count >= 2

        seen = cluster.until(lambda now: waits(now.groups[0].replicas[0]))
        (replica,) = seen.groups[0].replicas
        assert replica.reason is not None
        assert ReasonCode.CRASH is replica.reason.code
        assert f"{replica.reason.count} times in a row; next start at 2" in replica.reason.detail
        assert "Cannot assign requested address" in replica.reason.raw

    def test_a_wrong_digest_keeps_the_server_from_running(self, open_cluster: OpenCluster, template: Template) -> None:
        """Not one start, and the reason is the model's."""
        cluster = open_cluster()
        wrong = attrs.evolve(template, model=attrs.evolve(template.model, digest="0" * 64))
        cluster.backend.apply(order_of(wrong), 1, expect=ABSENT)
        cluster.backend.bind(group_of(cluster).replicas[0].id, cluster.backend.observe().nodes[0].name, ())
        seen = cluster.until(lambda now: bool(now.groups[0].replicas[0].last_exit))
        (replica,) = seen.groups[0].replicas
        assert replica.reason is not None
        assert (ReasonCode.MODEL, 0, None) == (replica.reason.code, replica.restarts, answers(host_of(replica)))
        folder = f"{template.model.source}/1"
        digest = version_digest(Path(folder))
        assert replica.reason.detail.startswith(
            f"model in {folder} has digest {digest}, the fleet file says {'0' * 64}; checked at 2"
        )

    def test_the_right_digest_lets_it_run(self, open_cluster: OpenCluster, template: Template, model: Path) -> None:
        """The definition is the one that `roadstead model digest` prints."""
        digest = version_digest(model / "1")
        right = attrs.evolve(template, model=attrs.evolve(template.model, digest=digest))
        (replica,) = serve(open_cluster(), order_of(right))
        assert (Phase.RUNNING, None) == (replica.phase, replica.reason)

    def test_a_missing_model_is_named(self, open_cluster: OpenCluster, template: Template, tmp_path: Path) -> None:
        """When the server gives up and its version's folder is not there, that is the reason."""
        cluster = open_cluster()
        missing = str(tmp_path / "models" / "none")
        nowhere = attrs.evolve(template, model=attrs.evolve(template.model, source=missing))
        order = order_of(nowhere)
        launch = attrs.evolve(order.launch, args=(NOBODYS, "8501"))
        cluster.backend.apply(attrs.evolve(order, launch=launch), 1, expect=ABSENT)
        cluster.backend.bind(group_of(cluster).replicas[0].id, cluster.backend.observe().nodes[0].name, ())
        seen = cluster.until(lambda now: now.groups[0].replicas[0].reason is not None)
        reason = seen.groups[0].replicas[0].reason
        assert reason is not None
        assert ReasonCode.MODEL is reason.code
        assert reason.detail.startswith(f"{missing}/1 is not there; ")


class TestUnseen:
    """When the root is lost, or cannot be looked at."""

    def test_a_root_that_is_gone_is_written_again(self, open_cluster: OpenCluster, template: Template) -> None:
        """Not an empty cluster: what runs there still runs, and the next daemon finds it in the new root."""
        cluster = open_cluster()
        (replica,) = serve(cluster, order_of(template))
        pid = pid_of(replica)
        cluster.root.rename(cluster.root.with_name("aside"))

        assert [replica.id] == [one.id for one in group_of(cluster).replicas]
        until((cluster.root / "replicas" / replica.id / "state.json").exists)
        cluster.backend.close()
        cluster.backend = cluster.open()
        assert [(replica.id, Phase.RUNNING)] == [(one.id, one.phase) for one in group_of(cluster).replicas]
        assert pid == pid_of(replica)

    def test_a_root_that_comes_back_is_used_again(self, open_cluster: OpenCluster, template: Template) -> None:
        """As when its disk was away for a while; what was done meanwhile is written there too."""
        cluster = open_cluster()
        cluster.backend.apply(order_of(template), 1, expect=ABSENT)
        aside = cluster.root.with_name("aside")
        cluster.root.rename(aside)
        version = group_of(cluster).version
        cluster.backend.apply(order_of(template), 2, expect=Expect(version))
        shutil.rmtree(cluster.root)
        aside.rename(cluster.root)

        assert 2 == len(group_of(cluster).replicas)
        cluster.backend.close()
        cluster.backend = cluster.open()
        assert 2 == len(group_of(cluster).replicas)

    def test_a_root_that_cannot_be_made_again_is_unreachable(
        self, open_cluster: OpenCluster, template: Template
    ) -> None:
        """Half of the truth is none."""
        cluster = open_cluster()
        cluster.backend.apply(order_of(template), 1, expect=ABSENT)
        aside = cluster.root.with_name("aside")
        cluster.root.rename(aside)
        cluster.root.write_text("not a folder")
        with pytest.raises(Unreachable, match="Not a directory"):
            cluster.backend.observe()
        cluster.root.unlink()
        aside.rename(cluster.root)
        assert 1 == len(group_of(cluster).replicas)

    def test_somebody_else_s_root_in_its_place_is_left_alone(
        self, open_cluster: OpenCluster, template: Template
    ) -> None:
        """A folder with another cluster's records is not written into, whoever put it there."""
        cluster = open_cluster()
        cluster.backend.apply(order_of(template), 1, expect=ABSENT)
        aside = cluster.root.with_name("aside")
        cluster.root.rename(aside)
        cluster.root.mkdir()
        other = {**json.loads((aside / "cluster.json").read_text()), "id": "0badcafe"}
        (cluster.root / "cluster.json").write_text(json.dumps(other))

        with pytest.raises(Unreachable, match="was replaced by another cluster's records"):
            cluster.backend.observe()
        assert other == json.loads((cluster.root / "cluster.json").read_text())
        assert [] == [*(cluster.root / "groups").iterdir(), *(cluster.root / "replicas").iterdir()]
        shutil.rmtree(cluster.root)
        aside.rename(cluster.root)


class TestSafety:
    """What must not happen on a machine that others use, too."""

    def test_folders_and_files_are_private(self, open_cluster: OpenCluster, template: Template) -> None:
        """Only this user can read what lies in the root: 0700 and 0600."""
        cluster = open_cluster()
        serve(cluster, order_of(template))
        modes = {
            (stat.S_ISDIR(path.lstat().st_mode), path.lstat().st_mode & 0o777)
            for path in (cluster.root, *cluster.root.rglob("*"))
        }
        assert {(True, 0o700), (False, 0o600)} == modes

    def test_a_second_daemon_on_the_same_state_is_refused(self, open_cluster: OpenCluster) -> None:
        """The message names the holder's process and its command."""
        cluster = open_cluster()
        with pytest.raises(StateError, match=rf"state of cluster 'here' .* is in use by process {os.getpid()} \(.*py"):
            cluster.open()

    def test_a_second_daemon_on_the_same_control_groups_is_refused(
        self, open_cluster: OpenCluster, place: CgroupPlace
    ) -> None:
        """A copied state directory does not make two daemons fight over one replica's limits."""
        open_cluster(place=place)
        with pytest.raises(StateError, match=rf"control group .* is in use by process {os.getpid()} "):
            open_cluster(place=place, name="copy")

    def test_a_lock_is_free_once_it_was_let_go_of_though_a_shim_has_it_still(self, tmp_path: Path) -> None:
        """A shim that was just started closes what it inherits a moment after the daemon goes on."""
        lock = lock_file(tmp_path / "lock", "a lock")
        inherited = os.dup(lock._descriptor)
        lock.release()
        lock_file(tmp_path / "lock", "a lock").release()
        os.close(inherited)

    def test_a_refused_daemon_holds_nothing(self, open_cluster: OpenCluster, place: CgroupPlace) -> None:
        """The lock of the state is given back when the control groups are another's."""
        open_cluster(place=place)
        with pytest.raises(StateError):
            open_cluster(place=place, name="copy")
        assert not open_cluster(name="copy").backend.observe().groups

    def test_a_model_outside_the_roots_is_refused(self, open_cluster: OpenCluster, template: Template) -> None:
        """The message names where the path leads and what is allowed."""
        cluster = open_cluster()
        outside = attrs.evolve(template, model=attrs.evolve(template.model, source="/etc"))
        cluster.backend.apply(order_of(outside), 1, expect=ABSENT)
        slot = group_of(cluster).replicas[0]
        with pytest.raises(Rejected, match=r"/etc leads to /etc, outside of the model roots"):
            cluster.backend.bind(slot.id, cluster.backend.observe().nodes[0].name, ())
        assert Phase.SLOT is group_of(cluster).replicas[0].phase

    def test_a_link_out_of_the_roots_is_refused(
        self, open_cluster: OpenCluster, template: Template, model: Path
    ) -> None:
        """A link inside the version's folder is followed before it is believed."""
        (model / "1" / "assets").symlink_to("/etc")
        cluster = open_cluster()
        cluster.backend.apply(order_of(template), 1, expect=ABSENT)
        with pytest.raises(Rejected, match=r"assets leads to /etc"):
            cluster.backend.bind(group_of(cluster).replicas[0].id, cluster.backend.observe().nodes[0].name, ())

    def test_what_another_fleet_owns_is_not_touched(self, open_cluster: OpenCluster, template: Template) -> None:
        """Another owner id on our names is reported, not shown as ours, and refused."""
        first = open_cluster(owner_id="someone-else")
        (replica,) = serve(first, order_of(template, owner_id="someone-else"))
        pid = pid_of(replica)
        first.backend.close()
        second = open_cluster()
        seen = second.backend.observe()
        assert ((), frozenset({"someone-else"})) == (seen.groups, seen.foreign_owners)
        with pytest.raises(Conflict, match="it belongs to 'someone-else'"):
            second.backend.apply(order_of(template), 1, expect=ABSENT)
        assert pid == pid_of(replica)
        second.backend.close()
        first.backend = first.open()
        second.backend = first.backend

    def test_a_full_disk_is_survived_and_said(
        self, full_disk: Path, open_cluster: OpenCluster, template: Template
    ) -> None:
        """Nothing can be written: orders are refused for now, and what runs goes on."""
        cluster = open_cluster(root=full_disk / "cluster")
        (replica,) = serve(cluster, order_of(template))
        fill(full_disk)
        ask(host_of(replica), "print/1000000")
        pid = pid_of(replica)
        with pytest.raises(Exception, match="No space left on device") as caught:
            cluster.backend.apply(order_of(template), 3, expect=Expect(group_of(cluster).version))
        assert "RS101" == getattr(caught.value, "code", None)
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid_changed(replica, pid))
        (full_disk / "filler").unlink()
        seen = cluster.until(lambda now: now.groups[0].replicas[0].restarts == 1)
        assert Phase.RUNNING is seen.groups[0].replicas[0].phase
        ask(host_of(replica), "print/100")
        log = cluster.root / "replicas" / replica.id / "server.log"
        until(lambda: b"bytes of log lost here: log cannot be written: disk is full" in log.read_bytes())


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; making one needs to be root."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"NO FULL DISK HERE, surviving it is not tested: {made.stderr.strip()}")
    yield folder
    subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no room in a file system."""
    with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        for size in (65_536, 4_096, 1):
            with contextlib.suppress(OSError):
                while True:
                    filler.write(b"\0" * size)


class TestTheMachine:
    """What the node has, and what it says it can do."""

    def test_the_capabilities_tell_how_limits_are_enforced(self, open_cluster: OpenCluster, place: CgroupPlace) -> None:
        """Quota and control group where those are to be had."""
        able = open_cluster(place=place).backend.capabilities
        assert (Limit.CFS, Limit.CGROUP, frozenset({Scheduling.DIRECTED})) == (
            able.cpu_limit,
            able.memory_limit,
            able.scheduling,
        )

    def test_without_control_groups_the_fallback_is_said(self, open_cluster: OpenCluster) -> None:
        """Affinity and watchdog, each with a sentence about what they cannot do."""
        able = open_cluster(place=NO_PLACE).backend.capabilities
        assert (Limit.AFFINITY, Limit.WATCHDOG) == (able.cpu_limit, able.memory_limit)
        assert "the processor limit is whole processors by affinity: less than one is not enforced" in able.notes

    def test_the_options_say_how_much_there_is(self, open_cluster: OpenCluster, tmp_path: Path) -> None:
        """What the fleet file grants is what the node has."""
        options = LocalOptions(cpu=Cpus(700), memory=Memory(256 * MIB), model_roots=(tmp_path,))
        (node,) = open_cluster(options=options).backend.observe().nodes
        assert (Cpus(700), Memory(256 * MIB)) == (node.cpu, node.memory)

    def test_a_full_machine_refuses_with_the_numbers(
        self, open_cluster: OpenCluster, template: Template, tmp_path: Path
    ) -> None:
        """Two replicas of 300m leave 100m of 700m."""
        options = LocalOptions(cpu=Cpus(700), model_roots=(tmp_path,))
        cluster = open_cluster(options=options)
        serve(cluster, order_of(template), 2)
        cluster.backend.apply(order_of(template), 3, expect=Expect(group_of(cluster).version))
        slot = next(one for one in group_of(cluster).replicas if one.phase is Phase.SLOT)
        with pytest.raises(OutOfCapacity, match="cpu: 300m wanted, 100m free of 700m"):
            cluster.backend.bind(slot.id, cluster.backend.observe().nodes[0].name, ())

    def test_use_is_measured(self, open_cluster: OpenCluster, template: Template, place: CgroupPlace) -> None:
        """Memory at once; the processor from the second look on, unknown before, and not over the limit."""
        cluster = open_cluster(place=place)
        (replica,) = serve(cluster, order_of(template))
        first = cluster.backend.usage()[replica.id]
        ask(host_of(replica), "spin/1")
        second = cluster.backend.usage()[replica.id]
        assert None is first.cpu
        assert first.memory is not None
        assert 0 < first.memory.bytes < 64 * MIB
        assert second.cpu is not None
        assert 0 < second.cpu.milli <= 300 * 1.3

    def test_use_is_measured_without_control_groups_too(self, open_cluster: OpenCluster, template: Template) -> None:
        """From the processes' own counters."""
        cluster = open_cluster()
        (replica,) = serve(cluster, order_of(template))
        cluster.backend.usage()
        ask(host_of(replica), "spin/0.3")
        use = cluster.backend.usage()[replica.id]
        assert use.cpu is not None
        assert use.memory is not None
        assert use.cpu.milli > 0
        assert use.memory.bytes > MIB

    def test_a_change_wakes_the_loop(self, open_cluster: OpenCluster, template: Template) -> None:
        """A server's death and a shim's death each wake without anybody asking."""
        cluster = open_cluster()
        woken = threading.Event()
        cluster.backend.watch(woken.set)
        (replica,) = serve(cluster, order_of(template))
        pid = pid_of(replica)
        settle(cluster, woken)
        os.kill(pid, signal.SIGKILL)
        assert woken.wait(WAIT_S)
        until(lambda: pid_changed(replica, pid))
        settle(cluster, woken)
        kill_shim(cluster, replica)
        assert woken.wait(WAIT_S)

    def test_nothing_wakes_the_loop_while_nothing_happens(self, open_cluster: OpenCluster, template: Template) -> None:
        """No polling: a fleet at rest costs nothing."""
        cluster = open_cluster()
        woken = threading.Event()
        cluster.backend.watch(woken.set)
        serve(cluster, order_of(template))
        settle(cluster, woken, quiet=0.5)


def settle(cluster: LocalSubject, woken: threading.Event, *, quiet: float = 0.2) -> None:
    """Wait until wakes of the past are over, and none came for so many seconds."""

    def is_quiet() -> bool:
        woken.clear()
        cluster.backend.observe()
        return not woken.wait(quiet)

    until(is_quiet)


class TestBinding:
    """What is bound is seen as bound at once."""

    def test_a_bound_slot_is_no_slot_any_more(self, open_cluster: OpenCluster, template: Template) -> None:
        """The observation right after a bind shows the replica on its node, before its shim has said anything."""
        cluster = open_cluster()
        cluster.backend.apply(order_of(template), 1, expect=ABSENT)
        seen = cluster.backend.observe()
        (slot,) = seen.groups[0].replicas

        cluster.backend.bind(slot.id, seen.nodes[0].name, ())

        (bound,) = group_of(cluster).replicas
        assert (seen.nodes[0].name, False) == (bound.node, bound.phase is Phase.SLOT)


class TestServers:
    """What a server gets."""

    def test_variables_are_expanded_and_the_rest_of_the_daemon_s_environment_stays_behind(
        self, open_cluster: OpenCluster, template: Template, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Host, model and configuration folders, the fleet file's variables; nothing of the daemon's own."""
        monkeypatch.setenv("DAEMONS_OWN", "secret")
        own = attrs.evolve(template, env=(Variable("GREETING", "hello"),))
        cluster = open_cluster()
        (replica,) = serve(cluster, order_of(own))
        host = host_of(replica)
        config = cluster.root / "replicas" / replica.id / "config"
        assert (str(model), str(config), "hello", "", "") == tuple(
            ask(host, f"environ/{name}")
            for name in ("MODELS", "CONFIG", "GREETING", "DAEMONS_OWN", "CUDA_VISIBLE_DEVICES")
        )
        assert f"base_path: {model} $(other)" == (config / "models.config").read_text()

    def test_logs_can_be_read_and_followed(self, open_cluster: OpenCluster, template: Template) -> None:
        """What was printed, and what is printed while somebody reads, in whole lines."""
        cluster = open_cluster()
        (replica,) = serve(cluster, order_of(template))
        pid = pid_of(replica)
        begun = [f"serving as {pid}\n".encode()]
        until(lambda: begun == list(cluster.backend.logs(replica.id, tail=1, follow=False)))
        follower = cluster.backend.logs(replica.id, tail=0, follow=True)
        chunks: list[bytes] = []
        reader = threading.Thread(target=lambda: chunks.extend(follower))
        reader.start()
        until(lambda: (ask(host_of(replica), "print/100"), len(chunks) > 0)[1])
        group = group_of(cluster)
        cluster.backend.delete(group.key, grace=Duration(0), expect=Expect(group.version))
        cluster.until(lambda now: not now.groups)
        reader.join(WAIT_S)
        assert not reader.is_alive()
        assert {b"x" * 99} <= set(b"".join(chunks).splitlines())

    def test_logs_of_nobody_are_refused(self, open_cluster: OpenCluster) -> None:
        """A misspelt replica is an error, not silence."""
        with pytest.raises(Rejected, match="there is no such replica"):
            open_cluster().backend.logs("nobody", tail=None, follow=False)

    def test_a_missing_program_is_named(self, open_cluster: OpenCluster, template: Template) -> None:
        """With what to do about it."""
        cluster = open_cluster()
        order = order_of(template)
        program = Program(executable="tensorflow_model_server")
        order = attrs.evolve(order, launch=attrs.evolve(order.launch, program=program))
        cluster.backend.apply(order, 1, expect=ABSENT)
        with pytest.raises(
            Rejected, match="program tensorflow_model_server is not on this machine; install it, or set"
        ):
            cluster.backend.bind(group_of(cluster).replicas[0].id, cluster.backend.observe().nodes[0].name, ())

    def test_nothing_is_left_of_a_deleted_group(self, open_cluster: OpenCluster, template: Template) -> None:
        """No process, no file."""
        cluster = open_cluster()
        replicas = serve(cluster, order_of(template), 2)
        group = group_of(cluster)
        cluster.backend.delete(group.key, grace=Duration(1_000), expect=Expect(group.version))
        cluster.until(lambda now: not now.groups)
        assert [[], []] == [marked(replica.id) for replica in replicas]
        assert [] == [*(cluster.root / "groups").iterdir(), *(cluster.root / "replicas").iterdir()]


@attrs.frozen
class TwoDevices:
    """Two GPUs that are not there; on the second a stranger holds 10 GiB."""

    note: str = "pretended"

    def devices(self) -> tuple[GpuDevice, ...]:
        """Return both."""
        return (
            GpuDevice(id="GPU-a", model="A100", memory=40 << 30, used=0, processes={}),
            GpuDevice(id="GPU-b", model="A100", memory=40 << 30, used=10 << 30, processes={1: 10 << 30}),
        )

    def close(self) -> None:
        """Nothing is held."""


class TestDevices:
    """GPUs, with a provider that pretends them."""

    def test_devices_and_foreign_memory_are_seen(self, open_cluster: OpenCluster) -> None:
        """What a stranger holds is not ours to give."""
        (node,) = open_cluster(devices=TwoDevices()).backend.observe().nodes
        assert [("GPU-a", 0), ("GPU-b", 10 << 30)] == [(device.id, device.foreign.bytes) for device in node.devices]

    def test_a_server_sees_its_devices_only(self, open_cluster: OpenCluster, template: Template) -> None:
        """By UUID, in the variable that every CUDA program heeds."""
        whole = attrs.evolve(template, resources=attrs.evolve(template.resources, gpu=WholeGpus(count=1)))
        (replica,) = serve(open_cluster(devices=TwoDevices()), order_of(whole), devices=("GPU-b",))
        assert "GPU-b" == ask(host_of(replica), "environ/CUDA_VISIBLE_DEVICES")
        assert ("GPU-b",) == replica.devices

    def test_a_share_is_told_as_a_fraction(self, open_cluster: OpenCluster, template: Template) -> None:
        """10 of 40 GiB are a quarter; the capabilities say that nothing enforces it."""
        part = GpuPart(share=GpuShare(500), memory=Memory(10 << 30))
        shared = attrs.evolve(template, resources=attrs.evolve(template.resources, gpu=part))
        cluster = open_cluster(devices=TwoDevices())
        (replica,) = serve(cluster, order_of(shared), devices=("GPU-a",))
        assert "0.2500" == ask(host_of(replica), "environ/ROADSTEAD_GPU_MEMORY_FRACTION")
        assert Limit.FRACTION is cluster.backend.capabilities.gpu_limit

    def test_a_device_is_not_given_twice(self, open_cluster: OpenCluster, template: Template) -> None:
        """A whole device has no room for another."""
        whole = attrs.evolve(template, resources=attrs.evolve(template.resources, gpu=WholeGpus(count=1)))
        cluster = open_cluster(devices=TwoDevices())
        serve(cluster, order_of(whole), devices=("GPU-a",))
        cluster.backend.apply(order_of(whole), 2, expect=Expect(group_of(cluster).version))
        slot = next(one for one in group_of(cluster).replicas if one.phase is Phase.SLOT)
        with pytest.raises(OutOfCapacity, match="device GPU-a: 1000m wanted, 0m free"):
            cluster.backend.bind(slot.id, cluster.backend.observe().nodes[0].name, ("GPU-a",))


def test_options_of_another_backend_are_an_error(tmp_path: Path) -> None:
    """A programmer's mistake is named."""
    context = BackendContext(
        cluster="here", fleet="tests", owner_id=OWNER_ID, options=object(), scheduling=None, root=tmp_path / "root"
    )
    with pytest.raises(StateError, match="options of cluster 'here' are object, not those of `local`"):
        open_backend(context, devices=NoDevices(""))
