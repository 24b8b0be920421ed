"""Logs that are too long, too fast or without an end: bounded for the disk, the daemon and whoever reads them."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.shim.log import BoundedLog
from roadstead.shim.spec import LogBounds
from roadstead_backends.local.logs import read_log
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL
from tests.hardening.conftest import first, folder_of, run_cli, shim_of

pytestmark = pytest.mark.slow

MIB = 2**20
FLOOD = LOCAL.replace("replicas: 2", "replicas: 1").replace(
    "runtime: {name: tiny}", "runtime: {name: odd, args: [--flood]}"
)


def _pieces(lines: list[bytes], cuts: list[int]) -> list[bytes]:
    """Cut a log into files as a shim does: anywhere, and four at most."""
    text = b"".join(lines)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


LINES = st.lists(st.integers(0, 90_000).map(lambda size: b"x" * size + b"\n"), max_size=12)


@settings(max_examples=60)
@given(LINES, st.binary(max_size=5), st.lists(st.integers(0, 400_000), max_size=3), st.integers(0, 15))
def test_the_last_lines_are_found_wherever_the_files_were_cut(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes, cuts: list[int], tail: int
) -> None:
    """Reading is the same as cutting the whole text into lines, whatever their lengths and however many files."""
    folder = tmp_path_factory.mktemp("log")
    pieces = _pieces([*lines, end], cuts)
    names = ["server.log", *(f"server.log.{number}" for number in range(1, 4))]
    for name, piece in zip(names, reversed(pieces), strict=False):
        (folder / name).write_bytes(piece)
    text = b"".join([*lines, end])
    expected = text.split(b"\n")
    expected = [line + b"\n" for line in expected[:-1]] + ([expected[-1]] if expected[-1] else [])

    assert text == b"".join(read_log(folder, tail=None, follow=False))
    assert b"".join(expected[len(expected) - tail :] if tail < len(expected) else expected) == b"".join(
        read_log(folder, tail=tail, follow=False)
    )


def test_a_line_without_an_end_is_handed_on_and_not_kept(tmp_path: Path) -> None:
    """Whoever follows a server that prints no newline gets what it prints, and holds no more than a moment of it."""
    log = tmp_path / "server.log"
    log.write_bytes(b"begins\n")
    following = read_log(tmp_path, tail=None, follow=True)
    assert b"begins\n" == next(following)
    with log.open("ab", buffering=0) as file:
        file.write(b"x" * 4 * MIB)
    got = 0
    longest = 0
    while got < 3 * MIB:
        chunk = next(following)
        got, longest = got + len(chunk), max(longest, len(chunk))

    assert longest <= 256 * 1024


def test_more_than_a_server_may_print_in_a_second_is_dropped_counted_and_said(tmp_path: Path) -> None:
    """What fits is kept, the rest is counted in the log itself, and the writer is never held up."""
    log = BoundedLog(str(tmp_path), LogBounds(size=MIB, files=2, rate=MIB))
    server = log.open_for_server()
    stop = threading.Event()
    printed = 0

    def flood() -> None:
        nonlocal printed
        with open(server, "wb", buffering=0) as output:  # noqa: PTH123  # a descriptor
            while not stop.is_set():
                printed += output.write(b"y" * 65535 + b"\n")

    thread = threading.Thread(target=flood)
    thread.start()
    until(lambda: _pumped(log).lost > 16 * MIB)
    assert "the server prints more than 1 MiB a second, and the rest of it is not kept" == log.trouble
    stop.set()
    until(lambda: _pumped(log).pipe and not thread.is_alive())
    log.write(b"the end\n")
    log.close()

    assert printed > 16 * MIB
    assert b"bytes of log lost here: the server prints more than 1 MiB a second\n" in _text(tmp_path)


def _pumped(log: BoundedLog) -> BoundedLog:
    log.pump()
    return log


def _text(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("server.log*"))


def test_a_flood_of_lines_leaves_daemon_disk_and_readers_alive_and_bounded(daemon: Daemon) -> None:
    """A server prints as fast as it can: it serves on, its log stays within 32 MiB and 8 MiB a second, and it is said.

    The daemon answers at once, `logs` ends, and `logs -f` of somebody who does not read takes no memory of it.
    """
    daemon.write(FLOOD)
    daemon.start()
    replica = first(daemon.until_listed(1))
    assert daemon.process is not None
    process = psutil.Process(daemon.process.pid)
    until(lambda: shim_of(daemon, replica.id).trouble)
    before = process.memory_info().rss
    shim = shim_of(daemon, replica.id).shim
    assert shim is not None
    written, began = _written(shim.pid), time.monotonic()

    unread = daemon.client.logs(replica.id, tail=None, follow=True)
    next(unread)
    last = run_cli(daemon, "logs", "--tail", "3", replica.id)
    everything = sum(map(len, daemon.client.logs(replica.id, tail=None, follow=False)))
    status = run_cli(daemon, "status")
    rate = (_written(shim.pid) - written) / (time.monotonic() - began)

    assert (0, 3) == (last.code, len(last.out.splitlines()))
    assert everything <= 33 * MIB
    assert sum(path.stat().st_size for path in folder_of(daemon, replica.id).glob("server.log*")) <= 33 * MIB
    assert rate <= 2 * 8 * MIB
    assert process.memory_info().rss - before <= 24 * MIB
    assert "refused: the server prints more than 8 MiB a second, and the rest of it is not kept" in status.all
    daemon.until_listed(1)
    unread.close()  # type: ignore[attr-defined]  # a generator


@pytest.mark.nightly
def test_whoever_follows_a_log_and_does_not_read_it_keeps_no_daemon_from_ending(daemon: Daemon) -> None:
    """A pager that waits for a key holds the stream up; the daemon hangs up on it and ends in order."""
    daemon.write(FLOOD)
    daemon.start()
    replica = first(daemon.until_listed(1))
    unread = daemon.client.logs(replica.id, tail=None, follow=True)
    next(unread)

    until(lambda: shim_of(daemon, replica.id).trouble)
    assert 0 == daemon.terminate()
    assert "Traceback" not in daemon.said()
    daemon.start()


def _written(pid: int) -> int:
    text = Path(f"/proc/{pid}/io").read_text()
    return int(text.partition("wchar: ")[2].partition("\n")[0])
