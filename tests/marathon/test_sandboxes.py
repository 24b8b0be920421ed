"""The pages of agents that show sandboxes answer as those of Mesos 1.11 do: `src/files/files.cpp` and its tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import attrs
import pytest

from roadstead_backends.marathon.emulator.testing import Emulated, Plan, emulated
from tests.cluster.waiting import until

APP = {"id": "/web", "cpus": 0.1, "mem": 32, "instances": 1}
PAGES = 16 * 4096


@attrs.frozen
class Sandbox:
    """The sandbox of one task: as its agent calls it, and where it is."""

    running: Emulated
    task: str
    agent: str
    path: str
    folder: Path

    def get(self, page: str, path: str | None = None, more: str = "") -> tuple[int, bytes]:
        """Ask for a page of a file, ``stdout`` unless another is named."""
        asked = path if path is not None else f"{self.path}/stdout"
        return got(self.running, f"/files/{page}?path={quote(asked, safe='')}{more}")


def got(running: Emulated, path: str) -> tuple[int, bytes]:
    """Return the status of an answer and its bytes."""
    try:
        with urllib.request.urlopen(running.mesos_url + path, timeout=60) as answer:  # noqa: S310  # our own
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def sandbox_of(running: Emulated, folder: Path, among: str = "executors") -> Sandbox:
    """Wait for the only task among those of all agents, and return its sandbox as its agent's ``/state`` says it."""

    def look() -> Sandbox | None:
        for number in (1, 2, 3):
            _, state = running.ask("GET", f"/slave({number})/state", url=running.mesos_url)
            for one in state["frameworks"][0][among]:
                return Sandbox(running, one["id"], state["id"], one["directory"], folder / one["id"])
        return None

    return until(look)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Of a real process that has printed and sleeps."""
    folder = tmp_path_factory.mktemp("sandboxes")
    with emulated(Plan(processes=folder, prefix="127.86")) as running:
        script = "ln -s /etc out; mkdir deep; printf 'one\\ntw\\303'; touch said; exec sleep 1000"
        assert 201 == running.ask("POST", "/v2/apps", {**APP, "cmd": script})[0]
        found = sandbox_of(running, folder)
        until((found.folder / "said").exists)
        yield found


def test_a_page_is_the_bytes_of_the_file_and_where_they_begin(sandbox: Sandbox) -> None:
    """From an offset on, as many as were asked for, and as many as there are where that is not said or -1."""
    asked = ("&offset=0", "&offset=1&length=4", "&offset=4&length=-1", "&offset=99")
    assert [
        (200, b'{"data":"one\\ntw\xc3","offset":0}'),
        (200, b'{"data":"ne\\nt","offset":1}'),
        (200, b'{"data":"tw\xc3","offset":4}'),
        (200, b'{"data":"","offset":99}'),
    ] == [sandbox.get("read", more=more) for more in asked]


def test_without_an_offset_it_is_only_said_how_long_a_file_is(sandbox: Sandbox) -> None:
    """As with -1, which is how the page of the master begins to follow one."""
    assert [(200, b'{"data":"","offset":7}')] * 2 == [sandbox.get("read", more=more) for more in ("", "&offset=-1")]
    assert sandbox.get("read") == sandbox.get("read.json")


def test_a_page_is_never_longer_than_sixteen_of_the_memorys(sandbox: Sandbox) -> None:
    """However much was asked for."""
    (sandbox.folder / "long").write_bytes(b"x" * (PAGES + 10))
    for more in ("&offset=5", f"&offset=5&length={10 * PAGES}"):
        _, body = sandbox.get("read", f"{sandbox.path}/long", more)
        assert PAGES == len(json.loads(body)["data"])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", b"Expecting 'path=value' in query.\n"),
        ("?path=", b"Expecting 'path=value' in query.\n"),
        ("?path=none&offset=hello", b"Failed to parse offset: Failed to convert 'hello' to number.\n"),
        ("?path=none&length=hello", b"Failed to parse length: Failed to convert 'hello' to number.\n"),
        ("?path=none&offset=-2", b"Negative offset provided: -2.\n"),
        ("?path=none&length=-2", b"Negative length provided: -2.\n"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_its_words(sandbox: Sandbox, query: str, said: bytes) -> None:
    """Before it is looked whether there is such a file."""
    assert (400, said) == got(sandbox.running, f"/files/read{query}")


def test_what_is_not_there_is_not_found_and_what_is_no_file_is_refused(sandbox: Sandbox) -> None:
    """And nobody gets out of a sandbox."""
    for page in ("read", "browse", "download"):
        for path in (f"{sandbox.path}/none", f"{sandbox.path}/stdout/none", "/etc/passwd", f"{sandbox.path}x"):
            assert (404, b"") == sandbox.get(page, path)
    assert (400, b"Cannot read a directory.\n") == sandbox.get("read", f"{sandbox.path}/deep")
    assert (400, b"Cannot download a directory.\n") == sandbox.get("download", f"{sandbox.path}/deep")
    for way in ("out/passwd", "../../../../../../../../etc/passwd", "deep/../.."):
        status, body = sandbox.get("read", f"{sandbox.path}/{way}")
        assert 400 == status
        assert body.endswith(b"' is inaccessible.\n")


def test_a_directory_is_listed_with_what_the_system_knows_of_its_files(sandbox: Sandbox) -> None:
    """By name, each with its whole path."""
    status, body = sandbox.get("browse", sandbox.path)
    found = {one["path"].removeprefix(sandbox.path): one for one in json.loads(body)}
    assert (200, ["/deep", "/out", "/said", "/stderr", "/stdout"]) == (status, [one for one in found if one != "/long"])
    printed = found["/stdout"]
    assert {"gid", "mode", "mtime", "nlink", "path", "size", "uid"} == printed.keys()
    assert ("-rw-r--r--", 7, 1) == (printed["mode"], printed["size"], printed["nlink"])
    assert "d" == found["/deep"]["mode"][0]
    assert (200, b"[]") == sandbox.get("browse", f"{sandbox.path}/deep") == sandbox.get("browse")


def test_a_file_can_be_had_as_it_is(sandbox: Sandbox) -> None:
    """Without JSON around it."""
    assert (200, b"one\ntw\xc3") == sandbox.get("download")


def test_of_a_pretended_task_its_executor_says_that_it_starts(marathon: Emulated) -> None:
    """Also when it has ended, until agents sweep; then the agent still knows that there was one."""
    marathon.ask("POST", "/v2/apps", {**APP, "cmd": "sleep 1000"})
    marathon.advance(5)
    found = sandbox_of(marathon, Path())
    said = f"Starting task {found.task}\\n"
    assert (200, f'{{"data":"{said}","offset":0}}'.encode()) == found.get("read", more="&offset=0")
    assert ["stderr", "stdout"] == [Path(one["path"]).name for one in json.loads(found.get("browse", found.path)[1])]
    marathon.control("lose-agent", agent=found.agent, partition=True)
    assert (404, b"") == found.get("read")
    marathon.control("return-agent", agent=found.agent)
    marathon.ask("DELETE", "/v2/apps/web")
    marathon.advance(5)
    assert found == sandbox_of(marathon, Path(), "completed_executors")
    assert 200 == found.get("read")[0]
    marathon.control("collect-garbage")
    assert (404, b"") == found.get("read")
    assert found == sandbox_of(marathon, Path(), "completed_executors")
