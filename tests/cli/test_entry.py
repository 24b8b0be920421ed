"""How a command ends: exit codes, messages, interrupts, and what is never shown."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import click
import pytest

from roadstead.cli.entry import interrupted_means, main
from roadstead.cli.exits import Exit
from roadstead.cli.group import cli
from roadstead.cli.screen import Screen
from roadstead.cli.settings import common
from roadstead.errors import Forbidden, OutOfCapacity, RoadsteadError, StateError, Unreachable

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process and return its exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make the command `version` raise."""

    def make(error: BaseException) -> None:
        @click.command("version")
        @common(file=False)
        def command() -> None:
            interrupted_means("the daemon goes on")
            raise error

        monkeypatch.setattr("roadstead.cli.commands.version.command", command)

    return make


def test_no_command_shows_help_and_is_a_usage_error(run: Run) -> None:
    """Help goes to stderr: it was not asked for, and a script must not take it for data."""
    code, out, err = run()
    assert (Exit.USAGE, "") == (code, out)
    assert err.startswith("Usage: roadstead")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("statsu",), "there is no command 'statsu'; did you mean `roadstead status`?"),
        (("--nothing",), "--nothing"),
        (("scale", "minilm"), "Missing argument"),
        (("scale", "minilm", "many"), "many"),
        (("scale", "minilm", "-1"), "-1"),
        (("-o", "xml", "version"), "xml"),
        (("apply", "--timeout", "5"), "5"),
    ],
)
def test_a_usage_error_is_64_and_not_the_parsers_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """2 means that a plan has changes; a misspelt option must not look like that."""
    code, out, err = run(*arguments)
    assert (Exit.USAGE, "") == (code, out)
    assert said in err
    assert "code: RS030 (roadstead explain RS030)" in err


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            StateError("it is in use", hint="stop it"),
            1,
            ["error: it is in use", "  hint: stop it", "  code: RS010 (roadstead explain RS010)"],
        ),
        (
            Unreachable("no answer", cluster="prod", subject="minilm-abc"),
            69,
            ["error: no answer", "  cluster prod, minilm-abc", "  code: RS102 (roadstead explain RS102)"],
        ),
        (
            Forbidden("no", cluster="prod"),
            77,
            ["error: no", "  cluster prod", "  code: RS104 (roadstead explain RS104)"],
        ),
        (
            OutOfCapacity("full", cluster="c"),
            3,
            ["error: full", "  cluster c", "  code: RS106 (roadstead explain RS106)"],
        ),
        (RoadsteadError("one\ntwo"), 1, ["error: one", "  two", "  code: RS001 (roadstead explain RS001)"]),
    ],
)
def test_an_error_says_what_where_and_what_to_do(
    run: Run, raising: Callable[[BaseException], None], error: RoadsteadError, code: int, lines: list[str]
) -> None:
    """On stderr, in the same order every time, with the exit code of its class."""
    raising(error)
    got, out, err = run("version")
    assert (code, "", lines) == (got, out, err.splitlines())


def test_an_unexpected_error_is_one_line_and_a_file(run: Run, raising: Callable[[BaseException], None]) -> None:
    """Never a traceback on the screen; where it is, is said."""
    raising(KeyError("x"))
    code, _, err = run("version")
    assert Exit.ERROR == code
    assert "error: unexpected KeyError: 'x'" == err.splitlines()[0]
    assert "Traceback" not in err
    path = Path(err.splitlines()[1].removeprefix("  traceback: "))
    assert "KeyError: 'x'" in path.read_text()
    path.unlink()


def test_debugging_shows_the_traceback(
    raising: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whoever asks for it."""
    raising(KeyError("x"))
    monkeypatch.setenv("ROADSTEAD_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["version"])


def test_an_interrupt_says_what_goes_on(run: Run, raising: Callable[[BaseException], None]) -> None:
    """130, and the sentence that the command set."""
    raising(KeyboardInterrupt())
    code, _, err = run("version")
    assert Exit.INTERRUPTED == code
    assert "interrupted: the daemon goes on" == err.strip()


def test_a_reader_that_stops_reading_is_no_error() -> None:
    """`roadstead explain | head -1` prints nothing about pipes."""
    shell = f"{sys.executable} -m roadstead --help | true"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, timeout=30, check=False)
    assert "" == done.stderr


# ---- common flags ----


def screen_of(*arguments: str) -> Screen:
    """Return the screen as a command with these arguments sees it."""
    seen: list[Screen] = []

    @click.command("probe")
    @common()
    def probe() -> None:
        seen.append(Screen())

    group = click.Group("roadstead", commands={"probe": probe}, params=list(cli.params), callback=lambda: None)
    group.main(list(arguments), standalone_mode=False)
    return seen[0]


@pytest.mark.parametrize(
    "arguments", [("-f", "a.yaml", "--json", "-y", "probe"), ("probe", "-f", "a.yaml", "--json", "-y")]
)
def test_common_flags_stand_before_the_command_or_after_it(arguments: tuple[str, ...]) -> None:
    """Nobody has to remember which."""
    found = screen_of(*arguments).settings
    assert (Path("a.yaml"), "json", True) == (found.file, found.output, found.yes)


def test_a_flag_wins_over_the_environment_and_the_later_over_the_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag > environment > default."""
    monkeypatch.setenv("ROADSTEAD_FILE", "env.yaml")
    assert Path("env.yaml") == screen_of("probe").settings.file
    assert Path("a.yaml") == screen_of("-f", "a.yaml", "probe").settings.file
    assert Path("b.yaml") == screen_of("-f", "a.yaml", "probe", "-f", "b.yaml").settings.file
    monkeypatch.delenv("ROADSTEAD_FILE")
    assert Path("fleet.yaml") == screen_of("probe").settings.file


@pytest.mark.parametrize("environment", [MappingProxyType({"NO_COLOR": "1"}), MappingProxyType({"TERM": "dumb"})])
def test_the_environment_can_forbid_colour(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As no-color.org says, and for terminals that say themselves that they have none."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not screen_of("probe").settings.color


def test_a_question_without_a_person_is_an_error_and_not_a_no(run: Run, tmp_path: Path) -> None:
    """Stdin is no terminal here: a question raises, `--yes` answers it."""
    from roadstead.cli.errors import NeedsAnswer  # noqa: PLC0415

    with pytest.raises(NeedsAnswer):
        screen_of("probe").ask("sure?")
    assert screen_of("probe", "-y").ask("sure?")


def test_data_is_json_with_a_format_version(run: Run) -> None:
    """And yaml says the same."""
    import yaml  # noqa: PLC0415

    _, as_json, _ = run("version", "-o", "json")
    _, as_yaml, _ = run("version", "-o", "yaml")
    assert 1 == json.loads(as_json)["format_version"]
    assert json.loads(as_json) == yaml.safe_load(as_yaml)


def test_off_a_terminal_there_is_no_colour(tmp_path: Path) -> None:
    """The same command on a terminal has some."""
    command = [sys.executable, "-m", "roadstead", "status"]
    environment = {**os.environ, "TERM": "xterm"}
    piped = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=30, check=False)
    assert b"\x1b[" not in piped.stderr + piped.stdout
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment, timeout=30, check=False)
    os.close(theirs)
    assert b"\x1b[" in os.read(ours, 65536)
    os.close(ours)


# ---- what it costs ----


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["statsu"]])
def test_help_imports_no_client_library(arguments: list[str]) -> None:
    """Nor tables, nor a web server: a command pays for what it does."""
    code = (
        "import sys; from roadstead.cli import main; main(sys.argv[1:]); "
        "print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    imported = set(done.stderr.splitlines()[-1].split())
    heavy = {"asyncio", "grpc", "kubernetes", "marathon", "numpy", "pluggy", "rich", "sqlite3", "starlette"}
    assert set() == imported & (heavy | {"tensorflow", "uvicorn", "yaml", "roadstead_backends", "roadstead_plugins"})


def test_completion_prints_a_script(run: Run) -> None:
    """For each shell, and the script calls back into this program."""
    for shell in ("bash", "zsh", "fish"):
        code, out, _ = run("completion", shell)
        assert Exit.DONE == code
        assert "_ROADSTEAD_COMPLETE" in out


def test_completion_answers_the_shell(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script asks, a command answers with the names that begin so."""
    monkeypatch.setenv("_ROADSTEAD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "roadstead st")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert (Exit.DONE, "plain,status\n") == run()[:2]


@pytest.mark.parametrize(
    ("arguments", "code", "exits"),
    [
        (("explain", "nope", "-o", "json"), "RS035", Exit.ERROR),
        (("--json", "explain", "nope"), "RS035", Exit.ERROR),
        (("explain", "nope", "--output=json"), "RS035", Exit.ERROR),
        (("-ojson", "statsu"), "RS030", Exit.USAGE),
        (("--file", "/nowhere/fleet.yaml", "status", "--json"), "RS032", Exit.INVALID),
    ],
)
def test_an_error_is_an_object_where_data_was_asked_for(
    run: Run, arguments: tuple[str, ...], code: str, exits: Exit
) -> None:
    """A program that reads stdout finds either the data or what went wrong; a person finds it on stderr as always."""
    ended, out, err = run(*arguments)
    error = json.loads(out)["error"]
    assert (exits, code, exits) == (ended, error["code"], error["exit"])
    assert error["message"] in " ".join(err.split())


def test_an_unexpected_error_is_an_object_too(run: Run, raising: Callable[[BaseException], None]) -> None:
    """Whatever ends a command, a program can read what it was."""
    raising(ZeroDivisionError("nothing to divide by"))
    code, out, _ = run("version", "-o", "yaml")
    assert (Exit.ERROR, True) == (code, "code: RS000" in out)


def test_the_pages_are_data_too(run: Run) -> None:
    """One page with its code, title and text; without a code the list of all."""
    page = json.loads(run("explain", "rs010", "--json")[1])
    assert ("RS010", True) == (page["code"], bool(page["title"] and page["text"]))
    codes = json.loads(run("explain", "--json")[1])["codes"]
    assert {"code": "RS010", "title": page["title"]} in codes
