"""``roadstead load`` as a person and as a script meet it."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import attrs
import pytest

from benchmarks.load_told import result, sending, sent
from roadstead.cli import main
from roadstead.cli.exits import Exit
from roadstead.spi.load import Wire
from tests.load.conftest import EXPECTED, REQUESTS, Canned

SVG = "{http://www.w3.org/2000/svg}"


@attrs.frozen
class Shell:
    """A folder with a file of requests and one of answers, and the command run in it."""

    folder: Path
    server: Canned

    def words(self, model: str, *more: str, wire: Wire = Wire.GRPC) -> list[str]:
        """Return the command's words for a model of the server."""
        files = ["--requests", "requests.jsonl", "--expect", "expected.jsonl"]
        how = ["--protocol", wire.value, "--connections", "4", "--warmup", "0"]
        return ["load", self.server.address(wire), "--model", model, *files, *how, *more]

    def start(self, words: Sequence[str], **more: Any) -> subprocess.Popen[str]:
        """Start `roadstead` with these words."""
        command = [sys.executable, "-m", "roadstead", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **more}
        return subprocess.Popen(command, cwd=self.folder, text=True, **pipes)

    def run(self, model: str, *more: str, wire: Wire = Wire.GRPC) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        with self.start(self.words(model, *more, wire=wire)) as process:
            out, err = process.communicate(timeout=150)
        assert "Traceback" not in err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def shell(tmp_path: Path, server: Canned) -> Shell:
    """A folder with two requests and their answers."""
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(one) + "\n" for one in REQUESTS))
    (tmp_path / "expected.jsonl").write_text("\n".join(json.dumps(one) for one in EXPECTED))
    return Shell(tmp_path, server)


@pytest.mark.parametrize("wire", list(Wire))
def test_a_program_reads_what_became_of_every_request(shell: Shell, wire: Wire) -> None:
    """One JSON object, whose counts add up, with the timeline in it."""
    done = shell.run("right", "--rate", "50/s", "--arrivals", "constant", "--duration", "400ms", "--json", wire=wire)
    assert Exit.DONE == done.returncode
    found = json.loads(done.stdout)
    counts = found["counts"]
    assert (1, 20, 20, 0, 0) == tuple(
        (found | counts)[key] for key in ("format_version", "sent", "ok", "failed", "in_flight")
    )
    assert [{"version": 1, "count": 20}] == counts["versions"]
    assert {"loop": "open", "rate": 50.0, "arrivals": "constant", "seed": 0, "concurrency": None} == found["pace"]
    assert found["latency"]["p50"] <= found["latency"]["p999"] <= found["latency"]["max"]
    assert [20] == [row["sent"] for row in found["timeline"]]
    assert found["checked"]


def test_a_failed_request_ends_it_with_an_error(shell: Shell) -> None:
    """A script need not read the numbers to know."""
    done = shell.run("off", "--concurrency", "2", "--duration", "300ms")
    assert Exit.ERROR == done.returncode
    assert "RS046" in done.stderr
    assert "requests failed: WRONG" in done.stderr
    assert "answer differs by up to 0.01" in done.stdout or "y differs by up to 0.01" in done.stdout


def test_the_files_say_what_happened_when(shell: Shell) -> None:
    """Rows of CSV whose sums are the counts, and a picture with a bar for each row that has answers."""
    flags = ["--rate", "100", "--duration", "500ms", "--every", "100ms"]
    done = shell.run("right", *flags, "--timeline", "t.csv", "--plot", "t.svg", "--json")
    counts = json.loads(done.stdout)["counts"]
    with (shell.folder / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert ["0", "0.1", "0.2", "0.3", "0.4"] == [row["at"] for row in rows]
    assert (counts["sent"], counts["ok"]) == tuple(sum(int(row[key]) for row in rows) for key in ("sent", "ok"))
    picture = ET.fromstring((shell.folder / "t.svg").read_text())  # noqa: S314  # our own
    bars = [one for one in picture.iter(f"{SVG}rect") if one.get("fill") == "#2a7f62"]
    assert len(rows) + 1 == len(bars)  # and one in the legend


class Terminal:
    """A terminal in which the command runs, and all that stood on it."""

    def __init__(self, shell: Shell, words: Sequence[str]) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        self.process = shell.start(words, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.text = ""

    def read(self, until: str | None = None) -> None:
        """Read until this text has come, or until nobody writes any more."""
        while until is None or until not in self.text:
            try:
                self.text += os.read(self._ours, 65536).decode()
            except OSError:
                assert until is None, self.text
                break
        if until is None:
            os.close(self._ours)


def test_on_a_terminal_it_shows_how_it_goes(shell: Shell) -> None:
    """One line that changes, and then the result."""
    terminal = Terminal(shell, shell.words("right", "--rate", "50", "--duration", "1500ms"))
    terminal.read()
    assert Exit.DONE == terminal.process.wait(timeout=90)
    assert terminal.text.index("1s of 1.5s: ") < terminal.text.index("latency")


def test_ctrl_c_tells_what_there_is_so_far(shell: Shell) -> None:
    """With the exit code of an interruption, and nothing out of the accounts: what had no answer yet is in flight."""
    terminal = Terminal(shell, shell.words("silent", "--rate", "20", "--duration", "10m", "--deadline", "1m"))
    terminal.read("1s of 600s: ")
    terminal.process.send_signal(signal.SIGINT)
    terminal.read()
    assert Exit.INTERRUPTED == terminal.process.wait(timeout=90)
    sent, flying = re.search(r"sent +(\d+)", terminal.text), re.search(r"in flight +(\d+) when it", terminal.text)
    assert sent is not None
    assert flying is not None
    assert int(sent[1]) == int(flying[1]) > 0


def test_where_nobody_answers_nothing_is_sent(shell: Shell, mortal: Canned) -> None:
    """The exit code is that of something that does not answer."""
    mortal.process.kill()
    mortal.process.wait()
    done = Shell(shell.folder, mortal).run("right", "--rate", "10")
    assert (Exit.UNREACHABLE, "") == (done.returncode, done.stdout)
    assert "RS047" in done.stderr
    assert mortal.host in done.stderr


def test_a_measurement_waits_until_the_load_sends(shell: Shell) -> None:
    """Whoever breaks something under load breaks it then, and reads what was found from among the load's words."""
    words = shell.words("off", "--rate", "20", "--duration", "500ms", "-o", "json")
    counts = sent(result(sending(shell.start(words, stderr=subprocess.STDOUT))))
    assert counts.sent == counts.failed == counts.failures["WRONG"] > 0


def test_a_load_that_never_sends_is_said_in_its_own_words(shell: Shell, mortal: Canned) -> None:
    """Nobody waits for it."""
    mortal.process.kill()
    mortal.process.wait()
    dead = Shell(shell.folder, mortal)
    with pytest.raises(SystemExit, match=r"(?s)ended with 69 before it sent anything.*RS047"):
        sending(dead.start(dead.words("right", "--rate", "10", "-o", "json"), stderr=subprocess.STDOUT))


def test_an_error_is_not_taken_for_accounts() -> None:
    """Both are objects in JSON, with words around them."""
    said = """error: it {did} not work\n{"error": {"code": "RS047", "message": "nobody"}}\n"""
    process = subprocess.Popen(["/bin/echo", said], stdout=subprocess.PIPE, text=True)
    with pytest.raises(SystemExit, match=r"(?s)ended with 0, and found nothing.*nobody"):
        result(process)


def said(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command in this process, and return how it ended and what it said of it."""
    code = main(words)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "how to send is not clear"),
        (["--rate", "1", "--concurrency", "1"], "how to send is not clear"),
        (["--rate", "fast"], "'fast' is no rate; write 200 or 200/s"),
        (["--rate", "0"], "'0' is no rate"),
        (["--rate", "nan"], "'nan' is no rate"),
        (["--concurrency", "1", "--duration", "0"], "--duration is nothing"),
        (["--concurrency", "1", "--deadline", "5"], "--deadline: '5' has no unit"),
        (["--concurrency", "1", "--versions", "one"], "'one' is no list of versions"),
        (["--concurrency", "1", "--connections", "501"], "501 is not in the range"),
        (["--concurrency", "1", "--plot", "nowhere/t.svg"], "there is no folder for nowhere/t.svg"),
        (["--concurrency", "1", "--ca", "requests.jsonl"], "requests.jsonl holds no certificate"),
        (["--concurrency", "1", "--runtime", "simulated"], "runtime 'simulated' cannot put its servers under load"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    shell: Shell,
    more: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is sent."""
    monkeypatch.chdir(shell.folder)
    code, text = said(shell.words("right", *more), capsys)
    assert Exit.USAGE == code
    assert words in text


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("requests.jsonl", "", "requests.jsonl has no request in it"),
        ("requests.jsonl", '{"inputs": 1}\n\n{', "requests.jsonl:3: the input is no JSON"),
        ("requests.jsonl", "7", "requests.jsonl:1: the input is 7, neither a list nor an object"),
        ("expected.jsonl", '{"1": {}}', "expected.jsonl has answers to 1 requests, and there are 2"),
        ("expected.jsonl", "{", "expected.jsonl:1: this is no JSON"),
        ("expected.jsonl", '{"outputs": [1]}', "expected.jsonl:1: this is no object with versions as keys"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(
    shell: Shell,
    file: str,
    content: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So that it can be found in a file of thousands."""
    (shell.folder / file).write_text(content)
    monkeypatch.chdir(shell.folder)
    code, text = said(shell.words("right", "--rate", "1"), capsys)
    assert Exit.INVALID == code
    assert words in text


def test_versions_over_rest_need_answers_to_be_told_apart(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """REST says no version; a check that checks nothing would be a lie."""
    monkeypatch.chdir(shell.folder)
    words = shell.words("right", "--rate", "1", "--versions", "1", wire=Wire.REST)
    place = words.index("--expect")
    code, text = said([*words[:place], *words[place + 2 :]], capsys)
    assert Exit.USAGE == code
    assert "an answer over REST does not say its version" in text


def test_an_address_needs_the_name_of_a_model(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A deployment knows its own."""
    monkeypatch.chdir(shell.folder)
    code, text = said(["load", "127.0.0.1:8500", "--rate", "1", "--requests", "requests.jsonl"], capsys)
    assert Exit.USAGE == code
    assert "which model 127.0.0.1:8500 serves is not said" in text
