"""What is kept on disk: memory may be lost, identity may not, and one process at a time holds them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.documents import read_document, write_document
from roadstead.act.identity import Identity, IdentityStore, KeptGateway
from roadstead.act.lock import StateLock
from roadstead.act.memory import MemoryStore, Remembered
from roadstead.act.state import SOCKET_PATH_LIMIT, StateDirectory, default_directory
from roadstead.errors import StateError
from roadstead.memory import BackOff, Claim, DeploymentMemory, GroupMemory, PlanMemory, Reverted
from roadstead.model import Address, Intents, RemoveIntent, Resources, ScaleIntent, Tls
from roadstead.testing.strategies import names
from roadstead.units import Cpus, Memory

MEMORY = PlanMemory(
    turn=7,
    counted=6,
    deployments={
        "minilm": DeploymentMemory(
            at=5,
            groups={"here/minilm-a": GroupMemory(ready_ms=3, proven=True)},
            leaving={"here/r1": 20},
        )
    },
    back_off={"here/r2": BackOff(failures=2, wait_ms=9, at=1, code="RS106", text="no room")},
)


# ---- memory ----


def _saved(path: Path, *memories: PlanMemory) -> None:
    """Go on from what the file holds, and leave it as a killed process would: with all that was saved in its log."""
    store = MemoryStore(path)
    store.load()
    for memory in memories:
        store.save(memory, acts=False)
    files = {one: one.read_bytes() for one in path.parent.glob(f"{path.name}*") if not one.name.endswith("-shm")}
    store.close()
    for one, content in files.items():
        one.write_bytes(content)


def _loaded(path: Path) -> Remembered:
    store = MemoryStore(path)
    try:
        return store.load()
    finally:
        store.close()


def test_memory_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """What one store saves, the next one loads."""
    _saved(tmp_path / "memory.sqlite", MEMORY)

    assert Remembered(memory=MEMORY) == _loaded(tmp_path / "memory.sqlite")


_memories = st.builds(
    PlanMemory,
    turn=st.integers(0, 2**40),
    counted=st.integers(0, 2**40),
    deployments=st.dictionaries(
        names,
        st.builds(
            DeploymentMemory,
            at=st.integers(0, 2**40),
            groups=st.dictionaries(names, st.builds(GroupMemory, ready_ms=st.none() | st.integers(0, 9)), max_size=2),
            leaving=st.dictionaries(names, st.integers(0, 9), max_size=2),
        ),
        max_size=4,
    ),
    claims=st.dictionaries(
        names,
        st.tuples(
            st.builds(
                Claim,
                replica=names,
                cluster=names,
                node=names,
                devices=st.just(("gpu-0",)),
                resources=st.just(Resources(cpu=Cpus(500), memory=Memory(2**30))),
            )
        ),
        max_size=2,
    ),
    back_off=st.dictionaries(
        st.text(max_size=20),
        st.builds(
            BackOff,
            failures=st.integers(1, 9),
            wait_ms=st.integers(0, 2**40),
            at=st.integers(0, 2**40),
            code=st.just("RS106"),
            text=st.text(max_size=20),
        ),
        max_size=2,
    ),
)


@given(story=st.lists(_memories, min_size=1, max_size=4))
def test_the_last_of_any_memories_comes_back(tmp_path_factory: pytest.TempPathFactory, story: list[PlanMemory]) -> None:
    """Whatever was saved before it, the file holds the last memory: nothing of the old ones stays behind."""
    path = tmp_path_factory.mktemp("memory") / "memory.sqlite"
    _saved(path, *story[:-1])
    store = MemoryStore(path)
    store.load()

    store.save(story[-1], acts=True)
    store.close()

    assert Remembered(memory=story[-1]) == _loaded(path)


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    """One deployment of two hundred that changed, and one that is gone, cost a write of two rows and the numbers."""
    many = {f"d{number}": DeploymentMemory(at=number) for number in range(200)}
    store = MemoryStore(tmp_path / "memory.sqlite")
    store.save(PlanMemory(turn=1, deployments=many), acts=True)
    fewer = {name: one for name, one in many.items() if name != "d7"} | {"d8": DeploymentMemory(at=0)}
    wal = tmp_path / "memory.sqlite-wal"
    before = wal.stat().st_size

    store.save(PlanMemory(turn=2, deployments=fewer), acts=True)

    pages = (wal.stat().st_size - before) // 4096
    store.close()
    assert pages <= 4
    assert fewer == _loaded(tmp_path / "memory.sqlite").memory.deployments


def test_a_turn_at_rest_is_not_worth_a_write(tmp_path: Path) -> None:
    """Only the number of the turn moved on: nothing is written; a plan that acts is written all the same."""
    store = MemoryStore(tmp_path / "memory.sqlite")
    store.save(MEMORY, acts=False)
    later = attrs.evolve(MEMORY, turn=8, counted=7, deployments=dict(MEMORY.deployments))

    assert not store.save(later, acts=False)
    assert store.save(later, acts=True)
    store.close()
    assert later == _loaded(tmp_path / "memory.sqlite").memory


@pytest.mark.parametrize(
    ("minutes", "besides", "written"),
    [
        pytest.param(4, {}, False, id="a while later"),
        pytest.param(5, {}, True, id="so much later that it would be missed"),
        pytest.param(1, {"leaving": {}}, True, id="something else changed, too"),
        pytest.param(1, {"reverts": {}}, True, id="it is forgotten"),
        pytest.param(1, {"reverts": {"here/a": (Reverted("v2", 0),)}}, True, id="put back again"),
        pytest.param(1, {"reverts": {"here/b": (Reverted("v1", 60_000),)}}, True, id="of another group"),
    ],
)
def test_how_long_ago_a_group_was_put_back_is_written_now_and_then_only(
    tmp_path: Path, minutes: int, besides: dict[str, object], written: bool
) -> None:
    """It is counted for an hour, and no more than some minutes of that may be lost: a fleet at rest writes no more."""
    put_back = attrs.evolve(MEMORY.deployments["minilm"], reverts={"here/a": (Reverted("v1", 0),)})
    later = attrs.evolve(put_back, at=60_000 * minutes, reverts={"here/a": (Reverted("v1", 60_000 * minutes),)})
    store = MemoryStore(tmp_path / "memory.sqlite")
    store.save(attrs.evolve(MEMORY, deployments={"minilm": put_back}), acts=False)

    changed = attrs.evolve(MEMORY, deployments={"minilm": attrs.evolve(later, **besides)})  # type: ignore[arg-type]
    assert written == store.save(changed, acts=False)
    store.close()


def test_a_loaded_memory_is_not_written_back(tmp_path: Path) -> None:
    """The first turn of a new process at rest writes nothing either."""
    _saved(tmp_path / "memory.sqlite", MEMORY)
    store = MemoryStore(tmp_path / "memory.sqlite")

    assert not store.save(store.load().memory, acts=False)


def test_memory_is_for_its_owner_only(tmp_path: Path) -> None:
    """Nobody else can read the file, nor what SQLite puts beside it."""
    store = MemoryStore(tmp_path / "memory.sqlite")
    store.save(MEMORY, acts=False)

    assert {0o600} == {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
    store.close()


# ---- memory that is damaged ----


def _tampered(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format_version": 1}', b"\xff\xfe" * 4000, b"SQLite format 3\0"])
def test_a_damaged_memory_is_set_aside_and_said(tmp_path: Path, damage: bytes) -> None:
    """Work goes on with an empty memory; the bad file is kept for whoever wants to know."""
    path = tmp_path / "memory.sqlite"
    path.write_bytes(damage)

    remembered = _loaded(path)

    assert PlanMemory() == remembered.memory
    assert "memory.sqlite.damaged" in remembered.lost
    assert damage == (tmp_path / "memory.sqlite.damaged").read_bytes()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entry WHERE kind = 'numbers'",
        "DROP TABLE entry",
        "PRAGMA user_version=0",
        "UPDATE entry SET content = '{'",
        "UPDATE entry SET content = '{}' WHERE kind = 'deployment'",
        "UPDATE entry SET content = CAST(x'ff' AS TEXT)",
        "INSERT INTO entry VALUES ('riddle', '', '{}')",
    ],
)
def test_a_memory_that_makes_no_sense_is_set_aside_and_said(tmp_path: Path, statement: str) -> None:
    """A whole database whose rows are no memory is a damaged memory."""
    path = tmp_path / "memory.sqlite"
    _saved(path, MEMORY)
    _tampered(path, statement)

    remembered = _loaded(path)

    assert PlanMemory() == remembered.memory
    assert "memory.sqlite.damaged" in remembered.lost


@pytest.mark.parametrize("kept", [100, 4096, 5000, 8192, 40_000])
def test_a_truncated_memory_is_set_aside_and_said(tmp_path: Path, kept: int) -> None:
    """A file whose end is missing is not taken for a smaller memory."""
    path = tmp_path / "memory.sqlite"
    store = MemoryStore(path)
    store.save(PlanMemory(deployments={f"d{n}": DeploymentMemory(at=n) for n in range(2000)}), acts=True)
    store.close()
    os.truncate(path, kept)

    remembered = _loaded(path)

    assert PlanMemory() == remembered.memory
    assert "memory.sqlite.damaged" in remembered.lost


def test_a_memory_that_breaks_while_it_is_in_use_is_made_again(tmp_path: Path) -> None:
    """All of it is at hand: the broken file is set aside, and nothing is lost."""
    path = tmp_path / "memory.sqlite"
    _saved(path, MEMORY)
    store = MemoryStore(path)
    store.load()
    store.close()
    path.write_bytes(b"nonsense" * 1000)
    later = attrs.evolve(MEMORY, turn=9)

    store.save(later, acts=True)
    store.close()

    assert Remembered(memory=later) == _loaded(path)
    assert (tmp_path / "memory.sqlite.damaged").exists()


def test_a_newer_memory_is_refused(tmp_path: Path) -> None:
    """A file of a newer program is not thrown away by an older one."""
    path = tmp_path / "memory.sqlite"
    _saved(path, MEMORY)
    _tampered(path, "PRAGMA user_version=2")

    with pytest.raises(StateError, match="format version 2, this program knows 1"):
        _loaded(path)
    assert path.exists()


# ---- memory and the end of its writer ----


_RECORDER = """
import sys
from pathlib import Path
from roadstead.act.memory import MemoryStore, Remembered
from roadstead.memory import DeploymentMemory, PlanMemory
store = MemoryStore(Path(sys.argv[1]))
turn = store.load().memory.turn
while True:
    turn += 1
    store.save(PlanMemory(turn=turn, deployments={f"d{n}": DeploymentMemory(at=turn) for n in range(50)}), acts=True)
    print(turn, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_memory(tmp_path: Path) -> None:
    """Killed at any moment, the file holds one whole memory, and not an older one than was reported saved."""
    path = tmp_path / "memory.sqlite"
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", _RECORDER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            reported = [writer.stdout.readline() for _ in range(7)][-1]
            writer.send_signal(signal.SIGKILL)
        remembered = _loaded(path)
        assert "" == remembered.lost
        assert {remembered.memory.turn} == {one.at for one in remembered.memory.deployments.values()}
        assert int(reported) <= remembered.memory.turn


def _at(turn: int) -> PlanMemory:
    return PlanMemory(turn=turn, deployments={f"d{n}": DeploymentMemory(at=turn) for n in range(50)})


@given(kept=st.floats(0, 1))
def test_a_log_that_ends_anywhere_holds_a_whole_memory(tmp_path_factory: pytest.TempPathFactory, kept: float) -> None:
    """A machine that dies may keep any part of what was last written: that is one of the memories that were saved."""
    path = tmp_path_factory.mktemp("memory") / "memory.sqlite"
    _saved(path, _at(1))
    _loaded(path)  # what is in the log goes to the file when it is let go of
    _saved(path, *map(_at, range(2, 5)))
    wal = path.with_name("memory.sqlite-wal")
    os.truncate(wal, int(wal.stat().st_size * kept))

    memory = _loaded(path).memory

    assert memory in [_at(turn) for turn in range(1, 5)]


@contextlib.contextmanager
def _disk_that_takes(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _save_until_it_fails(store: MemoryStore, turns: range) -> None:
    for turn in turns:
        store.save(_at(turn), acts=True)


@pytest.mark.parametrize("size", [0, 1, 4096, 10_000, 20_000, 30_000, 36_000, 45_000])
def test_a_disk_that_fills_up_leaves_the_old_memory(tmp_path: Path, size: int) -> None:
    """A write that ends anywhere in between is said; the file holds what it held, and the next one finds its way."""
    path = tmp_path / "memory.sqlite"
    store = MemoryStore(path)
    store.save(_at(1), acts=True)
    with _disk_that_takes(size), pytest.raises(StateError, match="cannot be written"):
        _save_until_it_fails(store, range(2, 20))
    store.close()

    remembered = _loaded(path)
    store.save(_at(30), acts=True)
    store.close()

    assert "" == remembered.lost
    assert remembered.memory in [_at(turn) for turn in range(1, 20)]
    assert Remembered(memory=_at(30)) == _loaded(path)


# ---- documents ----


_WRITER = """
import sys
from pathlib import Path
from roadstead.act.documents import write_document
number = 0
while True:
    number += 1
    write_document(Path(sys.argv[1]), 1, {"a": number, "padding": "x" * 20000, "b": number})
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_document(tmp_path: Path) -> None:
    """Killed at any moment, the file holds one complete version, and not an older one than was reported written."""
    path = tmp_path / "document.json"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            reported = [writer.stdout.readline() for _ in range(7)][-1]
            writer.send_signal(signal.SIGKILL)
        document = read_document(path, 1)
        assert document is not None
        assert document["a"] == document["b"]
        assert int(reported) <= document["a"]


def test_documents_are_for_their_owner_only(tmp_path: Path) -> None:
    """Nobody else can read what the state directory holds."""
    write_document(tmp_path / "document.json", 1, {})

    assert 0o600 == (tmp_path / "document.json").stat().st_mode & 0o777


# ---- identity ----


def test_identity_is_made_once(tmp_path: Path) -> None:
    """The owner id of the first start is the owner id of every later one."""
    first = IdentityStore.open(tmp_path / "identity.json", "shop", make_id=lambda: "first")
    second = IdentityStore.open(tmp_path / "identity.json", "shop", make_id=lambda: "second")

    assert "first" == first.current.owner_id
    assert "first" == second.current.owner_id


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format_version": 1, "identity": {"fleet": "shop"}}', b"\xff"])
def test_a_damaged_identity_is_never_made_again(tmp_path: Path, damage: bytes) -> None:
    """A file that is there and cannot be read is an error, and stays as it is."""
    path = tmp_path / "identity.json"
    path.write_bytes(damage)

    with pytest.raises(StateError, match="identity of fleet 'shop' cannot be read"):
        IdentityStore.open(path, "shop")
    assert damage == path.read_bytes()


def test_the_state_of_another_fleet_is_refused(tmp_path: Path) -> None:
    """Two fleets do not share one identity."""
    IdentityStore.open(tmp_path / "identity.json", "shop")

    with pytest.raises(StateError, match="the state of fleet 'shop', not of 'depot'"):
        IdentityStore.open(tmp_path / "identity.json", "depot")


def test_intents_outlive_the_process(tmp_path: Path) -> None:
    """What a command asked for is there after a restart."""
    intents = Intents(
        scale=(ScaleIntent(deployment="a", replicas=3, declared=1),), remove=(RemoveIntent(deployment="b"),)
    )
    store = IdentityStore.open(tmp_path / "identity.json", "shop")
    store.keep(attrs.evolve(store.current, intents=intents))

    assert intents == IdentityStore.open(tmp_path / "identity.json", "shop").current.intents


def test_addresses_and_gateways_outlive_the_process(tmp_path: Path) -> None:
    """Where clients connect, and what it takes to drive a gateway, are there after a restart."""
    store = IdentityStore.open(tmp_path / "identity.json", "shop")
    tls = Tls(certificate="/tls/cert.pem", key="/tls/key.pem")
    kept = attrs.evolve(
        store.current,
        addresses={"minilm": Address(gateway="edge", host="127.0.0.1", port=18000)},
        gateways={
            "edge": KeptGateway(
                kind="envoy", address="127.0.0.1", first_port=18000, last_port=18099, tls=tls, options="{}"
            )
        },
    )
    store.keep(kept)

    assert kept == IdentityStore.open(tmp_path / "identity.json", "shop").current


def test_an_identity_from_before_there_were_gateways_is_read(tmp_path: Path) -> None:
    """It has no addresses; what it has is kept."""
    path = tmp_path / "identity.json"
    path.write_text('{"format_version": 1, "identity": {"fleet": "shop", "owner_id": "ff"}}')

    assert Identity(fleet="shop", owner_id="ff") == IdentityStore.open(path, "shop").current


def test_a_disk_that_takes_no_intent_leaves_the_old_ones(tmp_path: Path) -> None:
    """An intent that could not be made durable does not hold."""
    store = IdentityStore.open(tmp_path / "identity.json", "shop")
    (tmp_path / ".identity.json.new").mkdir()

    with pytest.raises(StateError, match="cannot be written"):
        store.keep(attrs.evolve(store.current, intents=Intents(remove=(RemoveIntent(deployment="b"),))))
    assert Intents() == store.current.intents


# ---- the lock ----


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    """Whoever comes second learns which process to look at."""
    with (
        StateLock.acquire(tmp_path / "daemon.lock", "daemon"),
        pytest.raises(StateError, match=rf"in use by `roadstead daemon` \(process {os.getpid()}\)"),
    ):
        StateLock.acquire(tmp_path / "daemon.lock", "apply")


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A killed holder leaves nothing that has to be cleaned up."""
    script = (
        "import sys, time; from pathlib import Path; from roadstead.act.lock import StateLock\n"
        "held = StateLock.acquire(Path(sys.argv[1]), 'daemon'); print('held', flush=True); time.sleep(60)"
    )
    path = tmp_path / "daemon.lock"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert "held\n" == holder.stdout.readline()
        with pytest.raises(StateError, match=rf"process {holder.pid}"):
            StateLock.acquire(path, "daemon")
        holder.kill()

    StateLock.acquire(path, "daemon").release()


def test_a_lock_is_free_once_it_was_let_go_of_though_a_child_has_it_still(tmp_path: Path) -> None:
    """A program that was just started closes what it inherits a moment after whoever started it goes on."""
    path = tmp_path / "daemon.lock"
    lock = StateLock.acquire(path, "daemon")
    assert lock._descriptor is not None
    inherited = os.dup(lock._descriptor)
    lock.release()
    StateLock.acquire(path, "daemon").release()
    os.close(inherited)


# ---- the directory ----


def test_the_state_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    """A directory that others could read is closed to them when it is opened by us."""
    (tmp_path / "state").mkdir(mode=0o755)

    StateDirectory.open(tmp_path / "state")

    assert 0o700 == (tmp_path / "state").stat().st_mode & 0o777


def test_a_file_in_the_place_of_the_directory_is_said(tmp_path: Path) -> None:
    """What cannot be the state directory is an error with a hint, not a traceback."""
    (tmp_path / "state").write_text("")

    with pytest.raises(StateError, match="cannot be the state directory"):
        StateDirectory.open(tmp_path / "state")


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (1, False)])
def test_a_socket_path_of_107_bytes_is_the_longest(tmp_path: Path, extra: int, fits: bool) -> None:
    """The limit of the system is known before the socket is bound."""
    fill = SOCKET_PATH_LIMIT + extra - len(str(tmp_path / "x" / "control.sock")) + 1
    state = StateDirectory(tmp_path / ("x" * fill))

    if fits:
        assert state.socket == state.usable_socket()
    else:
        with pytest.raises(StateError, match="has 108 bytes, the system allows 107"):
            state.usable_socket()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "/home/me/.local/state/roadstead/shop"),
        ({"XDG_STATE_HOME": "/var/me"}, "/var/me/roadstead/shop"),
        ({"XDG_STATE_HOME": "relative"}, "/home/me/.local/state/roadstead/shop"),
    ],
)
def test_the_default_directory_follows_xdg(environment: dict[str, str], expected: str) -> None:
    """XDG_STATE_HOME counts where it is absolute, as its specification says."""
    assert expected == str(default_directory("shop", environment, Path("/home/me")))
