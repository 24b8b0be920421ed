"""What is kept on disk: memory may be lost, identity may not, and one process at a time holds them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.documents import read_document, write_document
from roadstead.act.identity import IdentityStore
from roadstead.act.lock import StateLock
from roadstead.act.memory import MemoryStore
from roadstead.act.state import SOCKET_PATH_LIMIT, StateDirectory, default_directory
from roadstead.errors import StateError
from roadstead.memory import BackOff, DeploymentMemory, GroupMemory, PlanMemory
from roadstead.model import Intents, RemoveIntent, ScaleIntent
from roadstead.testing.strategies import names

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


def test_memory_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """What one store saves, the next one loads."""
    MemoryStore(tmp_path / "memory.json").save(MEMORY, acts=False)

    assert MEMORY == MemoryStore(tmp_path / "memory.json").load().memory


@given(turn=st.integers(0, 2**40), ready=st.integers(0, 2**40), text=st.text(max_size=20), name=names)
def test_any_memory_survives_the_disk(
    tmp_path_factory: pytest.TempPathFactory, turn: int, ready: int, text: str, name: str
) -> None:
    """Loading returns what was saved, whatever numbers and texts are in it."""
    path = tmp_path_factory.mktemp("memory") / "memory.json"
    memory = PlanMemory(
        turn=turn,
        deployments={name: DeploymentMemory(at=turn, groups={f"here/{name}": GroupMemory(ready_ms=ready)})},
        back_off={text: BackOff(failures=1, wait_ms=ready, at=turn, code="", text=text)},
    )

    MemoryStore(path).save(memory, acts=True)

    assert memory == MemoryStore(path).load().memory


def test_a_turn_at_rest_is_not_worth_a_write(tmp_path: Path) -> None:
    """Only the number of the turn moved on: nothing is written; a plan that acts is written all the same."""
    store = MemoryStore(tmp_path / "memory.json")
    store.save(MEMORY, acts=False)
    later = PlanMemory(turn=8, counted=7, deployments=MEMORY.deployments, back_off=MEMORY.back_off)

    assert not store.save(later, acts=False)
    assert store.save(later, acts=True)


def test_a_loaded_memory_is_not_written_back(tmp_path: Path) -> None:
    """The first turn of a new process at rest writes nothing either."""
    MemoryStore(tmp_path / "memory.json").save(MEMORY, acts=False)
    store = MemoryStore(tmp_path / "memory.json")

    assert not store.save(store.load().memory, acts=False)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format_version": 1, "memory": 5}', b"\xff\xfe", b"null"])
def test_a_damaged_memory_is_set_aside_and_said(tmp_path: Path, damage: bytes) -> None:
    """Work goes on with an empty memory; the bad file is kept for whoever wants to know."""
    path = tmp_path / "memory.json"
    path.write_bytes(damage)

    remembered = MemoryStore(path).load()

    assert PlanMemory() == remembered.memory
    assert "memory.json.damaged" in remembered.lost
    assert damage == (tmp_path / "memory.json.damaged").read_bytes()


def test_a_newer_memory_is_refused(tmp_path: Path) -> None:
    """A file of a newer program is not thrown away by an older one."""
    path = tmp_path / "memory.json"
    path.write_text(json.dumps({"format_version": 2, "memory": {}}))

    with pytest.raises(StateError, match="format version 2, this program knows 1"):
        MemoryStore(path).load()
    assert path.exists()


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
    IdentityStore.open(tmp_path / "identity.json", "shop").keep(intents)

    assert intents == IdentityStore.open(tmp_path / "identity.json", "shop").current.intents


def test_a_disk_that_takes_no_intent_leaves_the_old_ones(tmp_path: Path) -> None:
    """An intent that could not be made durable does not hold."""
    store = IdentityStore.open(tmp_path / "identity.json", "shop")
    (tmp_path / ".identity.json.new").mkdir()

    with pytest.raises(StateError, match="cannot be written"):
        store.keep(Intents(remove=(RemoveIntent(deployment="b"),)))
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
