"""What can be decided without touching the machine."""

from __future__ import annotations

import ipaddress
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.model import GpuPart, ModelSpec, Resources, Secret, Template, WholeGpus
from roadstead.reasons import ReasonCode
from roadstead.shim.backoff import Backoff, crashes_in_a_row, wait_before
from roadstead.shim.cgroup import ReplicaCgroup
from roadstead.shim.cgroup_place import CgroupPlace, folder_of, parse_membership, parse_mounts
from roadstead.shim.identity import ProcessIdentity
from roadstead.shim.spec import Address, Limits, LogBounds, ShimSpec, spec_from_json, spec_to_json
from roadstead.shim.state import (
    EXITS_KEPT,
    PREPARING,
    RUNNING,
    WAITING,
    Exit,
    ShimState,
    describe_status,
    state_from_json,
    state_to_json,
    with_exit,
)
from roadstead.spi.expansion import expand
from roadstead.spi.runtime import Launch, Program
from roadstead.units import Cpus, GpuShare, Memory
from roadstead.wire import from_wire, to_wire
from roadstead.world import Device, GroupKey, Node, Phase
from roadstead_backends.local.addresses import choose_address
from roadstead_backends.local.machine import Machine, foreign_memory, grantable_memory
from roadstead_backends.local.records import GroupRecord, ReplicaRecord
from roadstead_backends.local.room import Bound, lacks
from roadstead_backends.local.translate import Place, Programs, choose_cpus, shim_spec
from roadstead_backends.local.view import Seen, replica_view

TEXTS = st.text(max_size=20)
PATHS = st.one_of(st.none(), TEXTS)
SECONDS = st.floats(min_value=0, max_value=1e6, allow_nan=False)
BACKOFFS = st.builds(
    Backoff,
    initial=SECONDS,
    factor=st.floats(min_value=1, max_value=10),
    maximum=SECONDS,
    reset_after=SECONDS,
)
GROUPS = st.builds(ReplicaCgroup, version=st.sampled_from([1, 2]), cpu=PATHS, cpuacct=PATHS, memory=PATHS, pids=PATHS)
SPECS = st.builds(
    ShimSpec,
    replica=TEXTS,
    argv=st.lists(TEXTS, min_size=1).map(tuple),
    env=st.dictionaries(TEXTS, TEXTS).map(lambda pairs: tuple(sorted(pairs.items()))),
    secrets=st.dictionaries(TEXTS, TEXTS).map(lambda pairs: tuple(sorted(pairs.items()))),
    prepare=st.lists(st.lists(TEXTS, min_size=1).map(tuple)).map(tuple),
    addresses=st.lists(st.builds(Address, TEXTS, st.integers(1, 65535))).map(tuple),
    limits=st.builds(
        Limits,
        cgroup=st.one_of(st.none(), GROUPS),
        affinity=st.lists(st.integers(0, 500)).map(tuple),
        watched_memory=st.one_of(st.none(), st.integers(0)),
    ),
    log=st.builds(LogBounds, size=st.integers(1), files=st.integers(1, 99)),
    backoff=BACKOFFS,
    kill_after=SECONDS,
    wake=PATHS,
)
IDENTITIES = st.one_of(st.none(), st.builds(ProcessIdentity, pid=st.integers(1), started=st.integers(0), boot=TEXTS))
NUMBERS = st.one_of(st.none(), st.integers(0, 255))
EXITS = st.builds(
    Exit,
    at=SECONDS,
    what=st.sampled_from(["server", "prepare", "start"]),
    code=NUMBERS,
    signal=NUMBERS,
    out_of_memory=st.booleans(),
    ran_for=SECONDS,
    asked=PATHS,
    detail=TEXTS,
)
STATES = st.builds(
    ShimState,
    replica=TEXTS,
    phase=st.sampled_from([RUNNING, WAITING, PREPARING]),
    since=SECONDS,
    shim=IDENTITIES,
    server=IDENTITIES,
    started=st.one_of(st.none(), SECONDS),
    starts=st.integers(0, 1000),
    crashes=st.integers(0, 1000),
    next_start=st.one_of(st.none(), SECONDS),
    exits=st.lists(EXITS, max_size=EXITS_KEPT).map(tuple),
    trouble=PATHS,
)


class TestFiles:
    """What daemon and shim write for each other."""

    @given(SPECS)
    def test_a_spec_survives_the_disk(self, spec: ShimSpec) -> None:
        """Written as JSON and read back it is the same."""
        assert spec == spec_from_json(json.loads(json.dumps(spec_to_json(spec))))

    @given(STATES)
    def test_a_state_survives_the_disk(self, state: ShimState) -> None:
        """Written as JSON and read back it is the same."""
        assert state == state_from_json(json.loads(json.dumps(state_to_json(state))))

    @given(STATES)
    def test_a_newer_shim_s_state_can_be_read(self, state: ShimState) -> None:
        """A field that this version does not know is left out: shims outlive upgrades of the daemon, and downgrades."""
        assert state == state_from_json({**state_to_json(state), "invented_later": 1})

    def test_a_spec_of_another_format_is_refused(self) -> None:
        """A shim does not guess."""
        value = {**spec_to_json(ShimSpec("r", ("x",))), "format": 2}
        with pytest.raises(ValueError, match="spec has format 2, not 1"):
            spec_from_json(value)

    def test_records_survive_the_disk(self) -> None:
        """Groups with their rendering, and replicas."""
        launch = Launch(program=Program(module="a.b"), args=("x",), env=(("A", "b"),), grpc_port=8500)
        key = GroupKey("minilm", "abc")
        group = GroupRecord(
            key=key, fleet="f", owner="o", owner_id="i", generation=3, target=2, template="{}", launch=launch, birth="b"
        )
        replica = ReplicaRecord(id="r", group=key, node="n", devices=("GPU-a",), host="127.16.1.1", cpus=(0, 1))
        assert (group, replica) == (
            from_wire(json.loads(json.dumps(to_wire(group))), GroupRecord),
            from_wire(json.loads(json.dumps(to_wire(replica))), ReplicaRecord),
        )

    @given(st.lists(EXITS, max_size=30))
    def test_exits_are_the_last_ones_in_order(self, exits: list[Exit]) -> None:
        """However many there were."""
        state = ShimState("r")
        for ended in exits:
            state = with_exit(state, ended)
        assert tuple(exits[-EXITS_KEPT:]) == state.exits

    @given(st.integers(0, 255))
    def test_an_exit_code_is_told_from_a_signal(self, code: int) -> None:
        """As wait(2) encodes them."""
        assert (code, None) == describe_status(code << 8)[:2]

    def test_an_unknown_end_stays_unknown(self) -> None:
        """Neither code nor signal is made up."""
        assert (None, None) == describe_status(None)[:2]


class TestBackoff:
    """The waits of a server that keeps crashing."""

    @given(BACKOFFS, st.integers(1, 500))
    def test_it_never_waits_longer_than_the_maximum(self, backoff: Backoff, crashes: int) -> None:
        """Nor less than nothing."""
        assert 0 <= wait_before(backoff, crashes) <= backoff.maximum

    @given(BACKOFFS)
    def test_it_never_waits_less_than_the_time_before(self, backoff: Backoff) -> None:
        """Waits do not shrink while a server keeps crashing."""
        waits = [wait_before(backoff, crashes) for crashes in range(1, 30)]
        assert all(before <= after for before, after in itertools.pairwise(waits))

    @given(BACKOFFS, st.integers(0, 100), SECONDS)
    def test_only_a_good_run_ends_the_row(self, backoff: Backoff, before: int, ran_for: float) -> None:
        """The first crash after it is answered at once."""
        after = crashes_in_a_row(backoff, before, ran_for)
        assert (1 if ran_for >= backoff.reset_after else before + 1) == after


class TestAddresses:
    """A loopback address for each replica."""

    @given(TEXTS, TEXTS, st.integers(0, 20))
    def test_it_is_a_loopback_address_of_its_own(self, fleet: str, replica: str, others: int) -> None:
        """Within 127.0.0.0/8, not taken, and no network's or broadcast's number."""
        taken: set[str] = set()
        for _ in range(others + 1):
            host = choose_address(fleet, replica, taken)
            assert host not in taken
            assert ipaddress.ip_address(host).is_loopback
            assert not host.endswith((".0", ".255"))
            taken.add(host)

    @given(TEXTS, TEXTS)
    def test_the_same_replica_gets_the_same_address(self, fleet: str, replica: str) -> None:
        """Clients that remember it are right."""
        assert choose_address(fleet, replica, ()) == choose_address(fleet, replica, ())


class TestTranslating:
    """From template and place to a shim's spec."""

    PROGRAMS = Programs(python="/py", checker="/check.py", core_root="/core", server="/bin/tms", base={"PATH": "/bin"})

    def _spec(self, template: Template, launch: Launch, **place: object) -> ShimSpec:
        where = Place(
            replica="r1",
            host="127.16.0.9",
            folder=Path("/state/r1"),
            model_folder=Path("/models/m"),
            **place,  # type: ignore[arg-type]  # fields of it
        )
        return shim_spec(template, launch, where, self.PROGRAMS)

    def test_a_module_is_run_by_the_daemon_s_interpreter(self) -> None:
        """Isolated, unbuffered, with every variable expanded."""
        launch = Launch(program=Program(module="a.server"), args=("--host=$(HOST)", "$(MODEL_DIR)", "$(CONFIG_DIR)/x"))
        spec = self._spec(Template(model=ModelSpec(name="m", source="/models/m")), launch)
        assert (
            "/py",
            "-I",
            "-u",
            "-m",
            "a.server",
            "--host=127.16.0.9",
            "/models/m",
            "/state/r1/config/x",
        ) == spec.argv

    def test_a_digest_is_checked_before_the_server(self) -> None:
        """One command, with the version's folder and what it must be."""
        template = Template(model=ModelSpec(name="m", source="/models/m", version=7, digest="ab"))
        spec = self._spec(template, Launch(program=Program(executable="x"), args=()))
        assert (("/py", "-I", "-S", "/check.py", "/core", "/models/m/7", "ab"),) == spec.prepare

    def test_both_ports_are_checked_to_be_free(self) -> None:
        """On the replica's own address."""
        launch = Launch(program=Program(executable="x"), args=(), grpc_port=8500, rest_port=8501)
        spec = self._spec(Template(model=ModelSpec(name="m", source="/m")), launch)
        assert (Address("127.16.0.9", 8500), Address("127.16.0.9", 8501)) == spec.addresses

    def test_secrets_are_passed_by_reference(self) -> None:
        """The spec lies on a disk."""
        template = Template(model=ModelSpec(name="m", source="/m"), secrets=(Secret(name="T", ref="file:/run/t"),))
        assert (("T", "file:/run/t"),) == self._spec(template, Launch(program=Program(executable="x"), args=())).secrets

    def test_memory_is_watched_only_where_nothing_else_limits_it(self) -> None:
        """The bytes of the template, or nothing."""
        template = Template(model=ModelSpec(name="m", source="/m"), resources=Resources(memory=Memory(1000)))
        launch = Launch(program=Program(executable="x"), args=())
        watched = [self._spec(template, launch, watched=flag).limits.watched_memory for flag in (True, False)]
        assert [1000, None] == watched

    @given(st.text())
    def test_text_without_variables_is_left_alone(self, text: str) -> None:
        """Whatever else a command line holds."""
        assert text == expand(text, {})

    @given(
        st.sets(st.integers(0, 63), min_size=1), st.lists(st.lists(st.integers(0, 63)).map(tuple)), st.integers(1, 8000)
    )
    def test_processors_are_enough_whole_ones_of_those_we_have(
        self, available: set[int], taken: list[tuple[int, ...]], milli: int
    ) -> None:
        """As many as the request rounds up to, or all."""
        chosen = choose_cpus(available, taken, milli)
        assert min(len(available), -(-milli // 1000)) == len(set(chosen))
        assert set(chosen) <= available


class TestViewing:
    """From a shim's state to a snapshot's replica."""

    RECORD = ReplicaRecord(id="r", group=GroupKey("m", "rev"), node="here", host="127.16.0.9")
    LAUNCH = Launch(program=Program(executable="x"), args=(), grpc_port=8500)

    @given(STATES, st.booleans(), PATHS)
    def test_every_state_can_be_shown(self, state: ShimState, stopping: bool, trouble: str | None) -> None:
        """Stopping wins, and a replica runs only if its shim says so."""
        seen = Seen(state=state, stopping=stopping, node="here", trouble=trouble)
        replica = replica_view(self.RECORD, self.LAUNCH, seen)
        running = Phase.RUNNING if state.phase == RUNNING else Phase.STARTING
        assert (Phase.STOPPING if stopping else running) is replica.phase

    def test_a_slot_has_nothing(self) -> None:
        """No node, no endpoint, no incarnation."""
        slot = ReplicaRecord(id="r", group=GroupKey("m", "rev"))
        replica = replica_view(slot, self.LAUNCH, Seen(state=None, stopping=False, node="here"))
        assert (Phase.SLOT, None, None, "") == (replica.phase, replica.node, replica.endpoint, replica.incarnation)

    def test_what_we_asked_for_is_no_crash(self) -> None:
        """A restart on request leaves no reason behind."""
        asked = _exit("server", 15, asked="over its limit")
        state = ShimState("r", phase=RUNNING, crashes=0, exits=(asked,))
        assert None is replica_view(self.RECORD, self.LAUNCH, Seen(state=state, stopping=False, node="here")).reason

    @pytest.mark.parametrize(
        ("what", "code"),
        [("server", ReasonCode.CRASH), ("prepare", ReasonCode.MODEL), ("start", ReasonCode.CONFIG)],
    )
    def test_each_kind_of_end_has_its_reason(self, what: str, code: ReasonCode) -> None:
        """One closed list for every backend."""
        ended = _exit(what)
        state = ShimState("r", phase=WAITING, crashes=2, exits=(ended,), next_start=60.0)
        reason = replica_view(self.RECORD, self.LAUNCH, Seen(state=state, stopping=False, node="here")).reason
        assert reason is not None
        assert (
            code,
            "exited with code 1 at 1970-01-01T00:00:01Z; 2 times in a row; next start at 1970-01-01T00:01:00Z",
        ) == (reason.code, reason.detail)

    @pytest.mark.parametrize(
        ("what", "told"),
        [
            ("prepare", "the digest is wrong; checked at 1970-01-01T00:00:01Z"),
            ("server", "exited with code 1 at 1970-01-01T00:00:01Z; it said last: the digest is wrong"),
            ("start", "exited with code 1 at 1970-01-01T00:00:01Z"),
        ],
    )
    def test_the_last_words_that_were_printed_are_told(self, what: str, told: str) -> None:
        """Of a check they are what is wrong; a shim's own lines are none."""
        state = ShimState("r", phase=WAITING, crashes=1, exits=(_exit(what),), next_start=60.0)
        raw = "begins\nthe digest is wrong\n[shim] exited with code 1\n"
        seen = Seen(state=state, stopping=False, node="here", raw=raw)
        reason = replica_view(self.RECORD, self.LAUNCH, seen).reason
        assert reason is not None
        assert f"{told}; next start at 1970-01-01T00:01:00Z" == reason.detail


def _exit(what: str, number: int | None = None, *, asked: str | None = None) -> Exit:
    return Exit(
        at=1.0,
        what=what,
        code=1 if number is None else None,
        signal=number,
        out_of_memory=False,
        ran_for=9.0,
        asked=asked,
        detail="exited with code 1",
    )


class TestRoom:
    """Whether one more fits."""

    NODE = Node(name="n", cpu=Cpus(1000), memory=Memory(1000), devices=(Device(id="g", model="A", memory=Memory(100)),))

    @given(st.lists(st.integers(1, 600), max_size=8))
    def test_what_was_let_in_never_exceeds_the_node(self, requests: list[int]) -> None:
        """In whatever order and size."""
        bound: list[Bound] = []
        for milli in requests:
            wanted = Bound(Resources(cpu=Cpus(milli), memory=Memory(0)), ())
            if lacks(self.NODE, bound, wanted) is None:
                bound.append(wanted)
        assert sum(one.resources.cpu.milli for one in bound) <= 1000

    @given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 100)), max_size=8))
    def test_what_was_let_in_never_exceeds_a_device(self, shares: list[tuple[int, int]]) -> None:
        """Neither its thousandths nor its memory."""
        bound: list[Bound] = []
        for milli, memory in shares:
            gpu = GpuPart(share=GpuShare(milli), memory=Memory(memory))
            wanted = Bound(Resources(cpu=Cpus(0), memory=Memory(0), gpu=gpu), ("g",))
            if lacks(self.NODE, bound, wanted) is None:
                bound.append(wanted)
        parts = [one.resources.gpu for one in bound if isinstance(one.resources.gpu, GpuPart)]
        assert sum(part.share.milli for part in parts) <= 1000
        assert sum(part.memory.bytes for part in parts) <= 100

    def test_an_unknown_device_is_named(self) -> None:
        """Devices come and go with drivers."""
        wanted = Bound(Resources(cpu=Cpus(0), memory=Memory(0), gpu=WholeGpus(count=1)), ("gone",))
        assert "device gone: not on this machine" == lacks(self.NODE, (), wanted)

    def test_foreign_memory_counts(self) -> None:
        """What others hold is not free."""
        node = Node(name="n", cpu=Cpus(1000), memory=Memory(1000), foreign_memory=Memory(600))
        wanted = Bound(Resources(cpu=Cpus(1), memory=Memory(500)), ())
        assert "memory: 500 wanted, 400 bytes free of 1k" == lacks(node, (), wanted)


class TestMachine:
    """What is granted and what others hold."""

    @given(st.integers(0, 1 << 45))
    def test_something_is_always_kept_back(self, total: int) -> None:
        """A tenth, at least 512 MiB, never more than there is."""
        assert 0 <= grantable_memory(total) <= max(0, total - (512 << 20))

    @given(*[st.integers(0, 1 << 40)] * 4)
    def test_foreign_memory_stays_within_the_grant(self, total: int, free: int, granted: int, ours: int) -> None:
        """Never negative, never more than was ours to give."""
        machine = Machine(
            name="", architecture="", kernel="", cpus=(), memory_total=total, memory_available=min(free, total)
        )
        assert 0 <= foreign_memory(machine, granted, ours) <= granted


HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/ab /sys/fs/cgroup/my\\040memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw
"""


class TestFindingOurGroup:
    """Where we are in the hierarchies."""

    def test_a_hybrid_machine_has_both_versions(self) -> None:
        """Each mount with its controllers; blanks in paths come back."""
        cpu, memory, unified = parse_mounts(HYBRID)
        assert (1, frozenset({"cpu", "cpuacct"})) == (cpu.version, cpu.controllers)
        assert ("/sys/fs/cgroup/my memory", "/docker/ab") == (memory.point, memory.root)
        assert 2 == unified.version

    def test_each_controller_has_its_own_group(self) -> None:
        """Version 2 stands under the empty name; a colon in a path is part of it."""
        groups = parse_membership("4:memory:/docker/ab/x:y\n2:cpu,cpuacct:/\n0::/user.slice\n")
        assert ("/docker/ab/x:y", "/", "/", "/user.slice") == (
            groups["memory"],
            groups["cpu"],
            groups["cpuacct"],
            groups[""],
        )

    def test_a_mount_that_shows_a_part_shifts_the_paths(self) -> None:
        """As inside a container: what lies outside of the part is out of reach."""
        cpu, memory, _ = parse_mounts(HYBRID)
        assert ("/sys/fs/cgroup/my memory/x", "/sys/fs/cgroup/my memory", None, "/sys/fs/cgroup/cpu,cpuacct") == (
            folder_of(memory, "/docker/ab/x"),
            folder_of(memory, "/docker/ab"),
            folder_of(memory, "/docker/abc"),
            folder_of(cpu, "/"),
        )

    def test_a_place_survives_the_disk(self) -> None:
        """The next daemon reads where the groups are."""
        place = CgroupPlace(version=1, cpu="/a", memory="/b", notes=("no pids",))
        assert place == from_wire(json.loads(json.dumps(to_wire(place))), CgroupPlace)
