"""What a replica prints, read through the agents of an emulated Mesos from the sandboxes of real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import Rejected, Unreachable
from roadstead.units import Duration
from roadstead_backends.marathon import sandbox
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.emulator.testing import Emulated
from roadstead_backends.marathon.logs import Log, start_of_last
from roadstead_backends.marathon.master import Master
from roadstead_backends.marathon.mesos import agents_of
from roadstead_backends.marathon.messages import Task
from roadstead_backends.marathon.options import MarathonOptions
from tests.cluster.waiting import until
from tests.marathon_backend.clusters import running

NUMBERS = count(1)


@attrs.frozen
class Printing:
    """An app of one instance, whose command prints."""

    marathon: Emulated
    client: Client
    app_id: str
    sandboxes: Path

    def task(self) -> Task | None:
        """Return the task that it has, or had last."""
        app = self.client.app(self.app_id)
        return next(iter(app.tasks or ()), None) if app is not None else None

    def in_state(self, *states: str) -> Task:
        """Wait for a task in one of these states, and return it."""

        def look() -> Task | None:
            task = self.task()
            return task if task is not None and task.state in states else None

        return until(look, within=90)

    def folder(self) -> Path:
        """Return the sandbox of the task that runs."""
        return self.sandboxes / self.in_state("TASK_RUNNING").id

    def log(self) -> Log:
        """Return what reads its output, of an instance whose last task is known."""
        master = Master(MarathonOptions(urls=(self.marathon.url,)), cluster="dc1", find=lambda: self.marathon.mesos_url)
        agents = {one.id: one for one in agents_of(master.call("GET_AGENTS"), "*")}
        return Log(
            "one", cluster="dc1", task=self.task, agents=lambda: agents, master=master.apart(), pause=Duration(20)
        )

    def read(self, tail: int | None = None) -> bytes:
        """Return what was printed."""
        return b"".join(self.log().read(tail=tail, follow=False))

    def remove(self) -> None:
        """Have it gone."""
        self.marathon.ask("DELETE", f"/v2/apps{self.app_id}?force=true")


@pytest.fixture(scope="module")
def marathon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulated, Path]]:
    """One Marathon for all tests here, and where the sandboxes of its tasks are."""
    sandboxes = tmp_path_factory.mktemp("sandboxes")
    with running("1.11", processes=sandboxes) as emulated:
        yield emulated, sandboxes


@pytest.fixture
def printing(marathon: tuple[Emulated, Path]) -> Iterator[Callable[[str], Printing]]:
    """Starts an app with a command of the shell."""
    emulated, sandboxes = marathon
    client = Client(MarathonOptions(urls=(emulated.url,)), cluster="dc1")
    made: list[Printing] = []

    def begin(script: str, **more: Any) -> Printing:
        app = {"id": f"/prints-{next(NUMBERS)}", "cmd": script, "cpus": 0.1, "mem": 32, "instances": 1, **more}
        assert 201 == emulated.ask("POST", "/v2/apps", app)[0]
        made.append(Printing(emulated, client, str(app["id"]), sandboxes))
        return made[-1]

    yield begin
    for one in made:
        one.remove()
    client.close()


def test_both_files_are_read_the_one_written_last_at_the_end(printing: Callable[[str], Printing]) -> None:
    """In whole lines, also the last one of a file that has no newline yet, and no more of them than was asked for."""
    app = printing("printf 'one\\ntwo'; printf 'alpha\\nbeta' >&2; touch said; exec sleep 1000")
    until((app.folder() / "said").exists)
    assert b"one\ntwo\nalpha\nbeta\n" == app.read()
    found = {tail: app.read(tail) for tail in (0, 1, 3, 100)}
    assert {0: b"", 1: b"beta\n", 3: b"two\nalpha\nbeta\n", 100: b"one\ntwo\nalpha\nbeta\n"} == found


@pytest.mark.slow
def test_what_is_longer_than_a_page_is_whole_and_its_bytes_are_as_they_were(
    printing: Callable[[str], Printing],
) -> None:
    """An agent gives 64 KiB at once, and what stands in a file need not be text."""
    app = printing("seq 1 30000; printf '\\377caf\\303\\n'; touch said; exec sleep 1000")
    until((app.folder() / "said").exists)
    lines = [*(f"{number}\n".encode() for number in range(1, 30_001)), b"\xffcaf\xc3\n"]
    assert b"".join(lines) == app.read()
    assert b"".join(lines[-20_000:]) == app.read(20_000)


def test_following_goes_on_with_what_comes_and_ends_when_the_replica_is_gone(
    printing: Callable[[str], Printing],
) -> None:
    """Lines come as they are printed, those of the next task after those of the one that ended."""
    script = 'echo "begun $MESOS_TASK_ID"; until [ -e go ]; do sleep 0.05; done; echo went; exec sleep 1000'
    app = printing(script)
    first = app.in_state("TASK_RUNNING").id
    following = filter(None, app.log().read(tail=1, follow=True))
    assert f"begun {first}\n".encode() == next(following)
    (app.folder() / "go").touch()
    assert b"went\n" == next(following)
    app.marathon.ask("POST", "/v2/tasks/delete", {"ids": [first]})
    second = next(following)
    assert second.startswith(b"begun ")
    assert f"begun {first}\n".encode() != second
    app.remove()
    assert [] == list(following)


@pytest.mark.slow
def test_what_a_server_said_that_ended_can_be_read_until_mesos_removes_it(printing: Callable[[str], Printing]) -> None:
    """One that crashes again and again is the one that is asked for; without its sandbox the error says who took it."""
    app = printing("echo why; exit 3", backoffSeconds=3600)  # type: ignore[call-arg]  # anything an app may have
    ended = app.in_state("TASK_FAILED")
    assert b"why\n" == app.read()
    app.marathon.control("collect-garbage")
    with pytest.raises(Rejected, match=f"sandbox of task {ended.id} on {ended.host} is gone") as caught:
        app.read()
    assert "--gc_delay" in str(caught.value.hint)


@pytest.mark.slow
def test_an_agent_that_is_away_is_said_and_while_following_waited_for(printing: Callable[[str], Printing]) -> None:
    """It alone has what its tasks print."""
    app = printing("echo begun; until [ -e go ]; do sleep 0.05; done; echo went; exec sleep 1000")
    folder, agent = app.folder(), app.in_state("TASK_RUNNING").slave_id
    output = app.log().read(tail=None, follow=True)
    following = filter(None, output)
    assert b"begun\n" == next(following)
    log = app.log()
    app.marathon.control("lose-agent", agent=agent, partition=True)
    with pytest.raises(Unreachable, match="no agent of Mesos answers at") as caught:
        list(log.read(tail=None, follow=False))
    assert ("dc1", "one") == (caught.value.cluster, caught.value.subject)
    assert "is it up, and may we connect to it?" in str(caught.value.hint)
    (folder / "go").touch()
    app.marathon.control("return-agent", agent=agent)
    assert b"went\n" == next(following)
    output.close()


def test_whoever_follows_what_prints_nothing_can_leave(printing: Callable[[str], Printing]) -> None:
    """Something comes all the same, though there is nothing in it: who reads it in a thread notices by that."""
    app = printing("exec sleep 1000")
    app.in_state("TASK_RUNNING")
    output = app.log().read(tail=None, follow=True)
    assert [b"", b""] == [next(output), next(output)]
    output.close()


def test_nobody_has_no_output() -> None:
    """Nothing printed and nobody there are two answers."""
    master = Master(MarathonOptions(urls=("http://127.0.0.1:9",)), cluster="dc1", find=lambda: None)
    log = Log("nobody", cluster="dc1", task=lambda: None, agents=dict, master=master)
    with pytest.raises(Rejected, match="no such replica"):
        list(log.read(tail=None, follow=False))


def test_an_agent_that_no_master_names_is_said() -> None:
    """Its address is not known then."""
    task = msgspec.convert({"id": "web.1", "slaveId": "S9", "host": "h9", "state": "TASK_RUNNING"}, Task)
    master = Master(MarathonOptions(urls=("http://127.0.0.1:9",)), cluster="dc1", find=lambda: None)
    log = Log("web", cluster="dc1", task=lambda: task, agents=dict, master=master)
    with pytest.raises(Unreachable, match="names no agent S9") as caught:
        list(log.read(tail=None, follow=False))
    assert "is it up, and may we connect to it?" in str(caught.value.hint)


@given(st.binary(max_size=60).map(lambda data: data.replace(b"b", b"\n")), st.integers(0, 9), st.integers(1, 9))
def test_the_last_lines_are_found_from_the_end(text: bytes, lines: int, page: int) -> None:
    """The same as if all of it had been read, however small the pages are."""
    start, missing = start_of_last(lines, len(text), lambda at, length: text[at : at + length], page=page)
    every = [line + b"\n" for line in text.split(b"\n")]
    every = every[:-1] if text.endswith(b"\n") or not text else every
    wanted = every[len(every) - min(lines, len(every)) :]
    assert b"".join(wanted).removesuffix(b"\n") == text[start:].removesuffix(b"\n")
    assert lines - len(wanted) == missing


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data":1}', b"<html>"])
def test_what_is_no_page_of_a_file_is_an_error(body: bytes) -> None:
    """And not an empty log."""
    with pytest.raises(ValueError, match="no page of a file"):
        sandbox.page_in(body)


def test_an_executor_that_runs_several_tasks_is_found_by_any_of_them() -> None:
    """A task that is a command has an executor of its name; another executor says which tasks it has and had."""
    state = {
        "frameworks": [
            {
                "executors": [{"id": "web.1", "directory": "/w/web.1", "tasks": []}],
                "completed_executors": [{"id": "pod", "directory": "/w/pod", "completed_tasks": [{"id": "pod.2"}]}],
            }
        ],
        "completed_frameworks": [{"executors": [], "completed_executors": [{"id": "old", "directory": "/w/old"}]}],
    }
    body = msgspec.json.encode(state)
    found = {task: sandbox.directory_of(body, task) for task in ("web.1", "pod.2", "old", "pod.3")}
    assert {"web.1": "/w/web.1", "pod.2": "/w/pod", "old": "/w/old", "pod.3": None} == found
    with pytest.raises(ValueError, match="no state of a Mesos agent"):
        sandbox.directory_of(b"[]", "web.1")
