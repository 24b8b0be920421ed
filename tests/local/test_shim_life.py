"""A server under its shim: started, restarted, stopped, adopted; no daemon anywhere."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from roadstead.shim import requests
from roadstead.shim import state as phases
from roadstead.shim.backoff import Backoff
from roadstead.shim.identity import identity_of, is_running, is_zombie, open_process
from roadstead.shim.main import ALREADY_RUNNING
from roadstead.shim.spawn import Program, fork_held
from roadstead.shim.spec import Limits, LogBounds
from roadstead.shim.state import EXITS_KEPT
from roadstead.spi.shims import start_shim
from tests.local.conftest import Shimmed, ShimmedServer, answers, ask, until

QUICK = Backoff(initial=0.05, factor=2.0, maximum=0.2, reset_after=60.0)


class TestRestarting:
    """What happens when the server ends and nobody asked it to."""

    def test_a_killed_server_is_started_again_at_once(self, shimmed: Shimmed) -> None:
        """The first crash after a good run is answered without a wait, by another process at the same address."""
        server = shimmed()
        server.start()
        first = server.serving()
        os.kill(first, signal.SIGKILL)
        assert first != server.serving(other_than=first)
        state = server.state()
        assert (1, 1, signal.SIGKILL) == (state.restarts, state.crashes, state.exits[-1].signal)

    def test_a_server_that_keeps_crashing_waits_longer_each_time(self, shimmed: Shimmed) -> None:
        """The waits between its starts are those of the back-off: none, initial, times factor, at most the maximum."""
        server = shimmed(argv=(sys.executable, "-I", "-S", "-c", "raise SystemExit(3)"), backoff=QUICK)
        server.start()
        state = server.until(lambda state: len(state.exits) >= 6)
        assert {3} == {ended.code for ended in state.exits}
        gaps = [after.at - before.at for before, after in itertools.pairwise(state.exits)]
        assert all(gap >= wait for gap, wait in zip(gaps[:5], (0.0, 0.05, 0.1, 0.2, 0.2), strict=False)), gaps

    def test_a_wait_is_visible_with_its_end(self, shimmed: Shimmed) -> None:
        """While a server waits for its next start, the state says when that is and why."""
        long = Backoff(initial=30.0, maximum=60.0)
        server = shimmed(argv=(sys.executable, "-I", "-S", "-c", "raise SystemExit(7)"), backoff=long)
        server.start()
        state = server.until(lambda state: state.phase == phases.WAITING and state.crashes == 2)
        assert state.next_start is not None
        assert 25.0 < state.next_start - state.since <= 31.0
        assert "exited with code 7" == state.exits[-1].detail

    def test_a_good_run_forgets_the_crashes_before(self, shimmed: Shimmed) -> None:
        """A server that ran for as long as `reset_after` is restarted at once, whatever came before."""
        server = shimmed(backoff=Backoff(initial=30.0, reset_after=0.01))
        server.start()
        for _ in range(3):
            pid = server.serving()
            os.kill(pid, signal.SIGKILL)
            server.serving(other_than=pid)
        assert server.state().crashes <= 1

    def test_crashes_are_forgotten_while_a_good_run_goes_on(self, shimmed: Shimmed) -> None:
        """A server that has been well for long enough is not shown as crashing; its last end stays on record."""
        server = shimmed(backoff=Backoff(reset_after=0.5))
        server.start()
        pid = server.serving()
        os.kill(pid, signal.SIGKILL)
        state = server.until(lambda state: state.restarts == 1 and state.crashes == 0 and state.phase == phases.RUNNING)
        assert signal.SIGKILL == state.exits[-1].signal

    def test_a_child_killed_before_it_is_let_go_can_still_be_let_go(self) -> None:
        """Letting it go is no failed start: its end is collected once, and counts as one crash, not two."""
        with Path(os.devnull).open("wb") as nothing:
            held = fork_held(Program(("/bin/true",), {}, "/", nothing.fileno()), Limits())
        os.kill(held.identity.pid, signal.SIGKILL)
        os.waitpid(held.identity.pid, 0)
        assert held.release() is None

    def test_only_the_last_exits_are_kept(self, shimmed: Shimmed) -> None:
        """The exit record is bounded."""
        server = shimmed(
            argv=(sys.executable, "-I", "-S", "-c", "raise SystemExit(1)"), backoff=Backoff(initial=0.0, maximum=0.0)
        )
        server.start()
        state = server.until(lambda state: state.starts > EXITS_KEPT + 2)
        assert EXITS_KEPT == len(state.exits)

    def test_a_program_that_is_not_there_is_said(self, shimmed: Shimmed) -> None:
        """A start that fails is an exit of its own kind, with the program's name and the system's words."""
        server = shimmed(argv=("/nonexistent/server",))
        server.start()
        state = server.until(lambda state: bool(state.exits))
        assert ("start", "cannot start /nonexistent/server: no such file or directory (/nonexistent/server)") == (
            state.exits[-1].what,
            state.exits[-1].detail,
        )

    def test_an_address_in_use_is_said_with_its_holder(self, shimmed: Shimmed) -> None:
        """The server is not started beside a stranger on its port; it comes up when the stranger has gone."""
        server = shimmed(backoff=QUICK)
        with socket.create_server((server.host, server.spec.addresses[0].port)):
            server.start()
            state = server.until(lambda state: bool(state.exits))
            assert f"address {server.host}:8501 is in use by process {os.getpid()}" in state.exits[-1].detail
            assert 0 == state.starts
        assert server.serving() > 0

    def test_a_stranger_on_all_addresses_is_found_too(self, shimmed: Shimmed) -> None:
        """Listening on 0.0.0.0 takes the port of every loopback address."""
        with socket.socket() as stranger:
            stranger.bind(("0.0.0.0", 0))  # noqa: S104 (this is the point)
            stranger.listen()
            port = stranger.getsockname()[1]
            server = shimmed(backoff=QUICK)
            server.spec = server.spec._replace(addresses=(server.spec.addresses[0]._replace(port=port),))
            server.start()
            state = server.until(lambda state: bool(state.exits))
            assert f":{port} is in use by process {os.getpid()}" in state.exits[-1].detail

    def test_an_address_that_is_not_ours_is_said(self, shimmed: Shimmed) -> None:
        """The shim lives on, and the reason names the address."""
        server = shimmed(backoff=QUICK)
        server.spec = server.spec._replace(addresses=(server.spec.addresses[0]._replace(host="192.0.2.1"),))
        server.start()
        state = server.until(lambda state: bool(state.exits))
        assert "address 192.0.2.1:8501 cannot be used: cannot assign requested address" == state.exits[-1].detail

    def test_preparation_comes_before_each_start(self, shimmed: Shimmed) -> None:
        """The server never runs before its preparation succeeded; when that fails, this is what the record says."""
        flag = shimmed().folder / "ready"
        check = (sys.executable, "-I", "-S", "-c", f"import os, sys; sys.exit(not os.path.exists({str(flag)!r}))")
        server = shimmed(prepare=(check,), backoff=QUICK)
        server.start()
        state = server.until(lambda state: bool(state.exits))
        assert (0, "prepare", 1) == (state.starts, state.exits[-1].what, state.exits[-1].code)
        flag.touch()
        assert server.serving() > 0

    def test_secrets_are_looked_up_at_the_start(self, shimmed: Shimmed, tmp_path: Path) -> None:
        """The server gets their values, and the spec on disk holds references only."""
        secret = tmp_path / "token"
        secret.write_text("s3same\n")
        server = shimmed(secrets=(("TOKEN", f"file:{secret}"), ("OTHER", "env:ROADSTEAD_TEST_SECRET")))
        server.start(ROADSTEAD_TEST_SECRET="0pen")
        server.serving()
        assert ("s3same", "0pen") == (ask(server.host, "environ/TOKEN"), ask(server.host, "environ/OTHER"))
        assert not [path for path in server.folder.iterdir() if path.is_file() and b"s3same" in path.read_bytes()]

    def test_a_missing_secret_is_said_and_starts_nothing(self, shimmed: Shimmed) -> None:
        """A server without its secret is not started half-way."""
        server = shimmed(secrets=(("TOKEN", "file:/nonexistent/token"),))
        server.start()
        state = server.until(lambda state: bool(state.exits))
        assert 0 == state.starts
        assert state.exits[-1].detail.startswith("secret TOKEN: /nonexistent/token cannot be read")


class TestStopping:
    """Ending a server on request."""

    def test_a_server_is_asked_first(self, shimmed: Shimmed) -> None:
        """SIGTERM comes before SIGKILL: a server that heeds it ends with its own exit code."""
        server = shimmed(env={"SLOW_STOP": "0.1"})
        server.start()
        server.serving()
        state = server.stop(grace=10.0)
        assert (phases.STOPPED, 0, "the test is over") == (state.phase, state.exits[-1].code, state.exits[-1].asked)

    def test_a_server_that_ignores_it_is_killed_after_the_grace(self, shimmed: Shimmed) -> None:
        """TensorFlow Serving in a container has no SIGTERM handler; the grace is all it gets."""
        server = shimmed(env={"STUBBORN": "1"})
        server.start()
        server.serving()
        asked = os.times().elapsed
        state = server.stop(grace=0.3)
        assert (phases.STOPPED, signal.SIGKILL) == (state.phase, state.exits[-1].signal)
        assert os.times().elapsed - asked >= 0.29

    def test_a_second_request_can_shorten_the_grace(self, shimmed: Shimmed) -> None:
        """Whoever cannot wait any longer does not have to."""
        server = shimmed(env={"STUBBORN": "1"})
        server.start()
        server.serving()
        requests.ask_to_stop(str(server.folder), requests.StopRequest(3600.0, "slowly"))
        server.wake()
        server.until(lambda state: state.phase == phases.STOPPING)
        assert phases.STOPPED == server.stop(grace=0.0).phase

    def test_nothing_the_server_started_survives_it(self, shimmed: Shimmed) -> None:
        """A grandchild in a session of its own that ignores SIGTERM is gone, too, when the server has stopped."""
        server = shimmed()
        server.start()
        server.serving()
        orphan = identity_of(int(ask(server.host, "orphan/0")))
        assert orphan is not None
        assert is_running(orphan)
        server.stop(grace=1.0)
        assert not is_running(orphan)

    def test_what_a_crashed_server_left_is_ended_before_the_next_start(self, shimmed: Shimmed) -> None:
        """Two generations of one replica never run at once."""
        server = shimmed()
        server.start()
        first = server.serving()
        orphan = identity_of(int(ask(server.host, "orphan/0")))
        os.kill(first, signal.SIGKILL)
        server.serving(other_than=first)
        assert orphan is not None
        assert not is_running(orphan)

    def test_orphans_that_end_do_not_stay_as_zombies(self, shimmed: Shimmed) -> None:
        """The shim is the parent of every orphan below it, and collects it."""
        server = shimmed()
        server.start()
        server.serving()
        orphan = int(ask(server.host, "orphan/0"))
        os.kill(orphan, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{orphan}").exists())
        assert not is_zombie(orphan)

    def test_a_restart_request_gives_a_new_process_once(self, shimmed: Shimmed) -> None:
        """The same request read twice is one restart, and it is no crash."""
        server = shimmed()
        server.start()
        first = server.serving()
        for _ in range(2):
            requests.ask_to_restart(str(server.folder), requests.RestartRequest("one", 5.0, "over its limit"))
            server.wake()
            server.serving(other_than=first)
        state = server.state()
        assert (1, 0, "over its limit") == (state.restarts, state.crashes, state.exits[-1].asked)

    def test_a_restart_request_ends_a_wait(self, shimmed: Shimmed) -> None:
        """Who asks for a restart does not wait for the back-off."""
        flag = shimmed().folder / "ready"
        check = (sys.executable, "-I", "-S", "-c", f"import os, sys; sys.exit(not os.path.exists({str(flag)!r}))")
        server = shimmed(prepare=(check,), backoff=Backoff(initial=3600.0, maximum=3600.0))
        server.start()
        server.until(lambda state: state.phase == phases.WAITING and state.crashes == 2)
        flag.touch()
        requests.ask_to_restart(str(server.folder), requests.RestartRequest("now", 5.0, "try again"))
        server.wake()
        assert server.serving() > 0


class TestLosingTheShim:
    """The shim can be killed like anything else."""

    def test_the_next_shim_adopts_the_running_server(self, shimmed: Shimmed) -> None:
        """The server keeps its process and serves on while it has no shim and after it got another."""
        server = shimmed()
        server.start()
        pid = server.serving()
        server.kill_shim()
        assert str(pid) == ask(server.host, "pid")
        server.start()
        state = server.until(lambda state: state.shim is not None and state.shim.pid == server.shim)
        assert (str(pid), pid, 0) == (ask(server.host, "pid"), state.server and state.server.pid, state.restarts)

    def test_an_adopted_server_is_still_watched(self, shimmed: Shimmed) -> None:
        """Its death is noticed though it is no child of the shim, and answered."""
        server = shimmed()
        server.start()
        pid = server.serving()
        server.kill_shim()
        server.start()
        server.until(lambda state: state.shim is not None and state.shim.pid == server.shim)
        os.kill(pid, signal.SIGKILL)
        assert pid != server.serving(other_than=pid)

    def test_a_death_that_nobody_saw_is_made_good(self, shimmed: Shimmed) -> None:
        """Shim and server both killed: the next shim starts the server again."""
        server = shimmed()
        server.start()
        pid = server.serving()
        server.kill_shim()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not answers(server.host))
        server.start()
        assert pid != server.serving(other_than=pid)

    def test_a_stop_request_outlives_the_shim(self, shimmed: Shimmed) -> None:
        """A request made while there was no shim is carried out by the next one."""
        server = shimmed()
        server.start()
        pid = server.serving()
        server.kill_shim()
        requests.ask_to_stop(str(server.folder), requests.StopRequest(1.0, "while nobody listened"))
        server.start()
        state = server.until(lambda state: state.phase == phases.STOPPED)
        assert "while nobody listened" == state.exits[-1].asked
        assert not Path(f"/proc/{pid}").exists() or is_zombie(pid)

    def test_a_chatty_server_is_not_hurt_by_the_loss(self, shimmed: Shimmed) -> None:
        """Its output has somewhere to go: no broken pipe, and what was printed meanwhile is in the log."""
        server = shimmed()
        server.start()
        pid = server.serving()
        server.kill_shim()
        assert "printed" == ask(server.host, "print/20000")
        server.start()
        until(lambda: sum(path.read_bytes().count(b"x") for path in server.folder.glob("server.log")) >= 19_000)
        assert str(pid) == ask(server.host, "pid")

    def test_a_second_shim_for_one_replica_gives_way(self, shimmed: Shimmed) -> None:
        """Two daemons that both think it is lost do not make two."""
        server = shimmed()
        server.start()
        server.serving()
        second = start_shim(server.folder, {})
        _, status = os.waitpid(second, 0)
        assert ALREADY_RUNNING == os.waitstatus_to_exitcode(status)

    def test_a_reused_process_id_is_not_adopted(self, shimmed: Shimmed) -> None:
        """A state that names a living process with another start time names nobody."""
        server = shimmed()
        me = identity_of(os.getpid())
        assert me is not None
        assert None is open_process(me._replace(started=me.started - 1))
        assert None is open_process(me._replace(boot="another"))
        assert not is_running(me._replace(started=me.started + 1))
        server.start()
        assert os.getpid() != server.serving()

    def test_a_shim_told_to_go_takes_its_server_along_and_the_next_starts_it(self, shimmed: Shimmed) -> None:
        """SIGTERM to the shim is the machine going down: the server ends in order, and is back with the next shim."""
        server = shimmed(env={"SLOW_STOP": "0.05"})
        server.start()
        server.serving()
        os.kill(server.shim, signal.SIGTERM)
        os.waitpid(server.shim, 0)
        state = server.state()
        assert (phases.HALTED, 0) == (state.phase, state.exits[-1].code)
        server.start()
        assert server.serving() > 0


class TestFootprint:
    """One shim per replica: it has to be small and to depend on nothing."""

    def _imported(self) -> set[str]:
        code = (
            "import sys; before = set(sys.modules); sys.path.append(sys.argv[1]);"
            "import roadstead.shim.main;"
            "print(*(set(sys.modules) - before))"
        )
        root = Path(phases.__file__).parents[2]
        command = [sys.executable, "-I", "-S", "-c", code, str(root)]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())

    def test_the_shim_imports_the_standard_library_only(self) -> None:
        """No package can break it, and none is loaded once per replica."""
        strangers = {
            name
            for name in self._imported()
            if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("roadstead")
        }
        assert set() == strangers

    def test_the_shim_imports_of_us_only_its_own_package(self) -> None:
        """Neither the core nor a backend comes in, with all they import; our top package holds only its version."""
        own = {name for name in self._imported() if name.startswith("roadstead")}
        assert {"roadstead"} == {name for name in own if not name.startswith("roadstead.shim")}


@pytest.fixture
def chatty(shimmed: Shimmed) -> ShimmedServer:
    """A server whose log is bounded to three files of 10 kB."""
    server = shimmed(log=LogBounds(size=10_000, files=3))
    server.start()
    server.serving()
    return server


class TestLog:
    """The bounded log."""

    def test_the_log_never_outgrows_its_bounds(self, chatty: ShimmedServer) -> None:
        """Whatever a server prints, no more files and bytes than were granted."""
        for _ in range(10):
            ask(chatty.host, "print/30000")
        expected = ["server.log", "server.log.1", "server.log.2"]
        until(lambda: [path.name for path in sorted(chatty.folder.glob("server.log*"))] == expected)
        chatty.stop()  # what is measured must stand still
        assert sum(path.stat().st_size for path in chatty.folder.glob("server.log*")) <= 3 * 10_000

    def test_log_files_are_private(self, chatty: ShimmedServer) -> None:
        """What a server prints may be confidential."""
        assert {0o600} == {path.stat().st_mode & 0o777 for path in chatty.folder.glob("*") if path.is_file()}


@pytest.mark.parametrize("processor", sorted(os.sched_getaffinity(0))[:1])
def test_affinity_holds_a_server_to_its_processors(shimmed: Shimmed, processor: int) -> None:
    """Without a quota a server is held to whole processors."""
    server = shimmed(limits=Limits(affinity=(processor,)))
    server.start()
    assert {processor} == os.sched_getaffinity(server.serving())
