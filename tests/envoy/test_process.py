"""Envoy's process: it outlives whoever started it, comes back when it is killed, and goes when it is told to."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from roadstead.errors import Rejected, Retryable, Unreachable
from roadstead.shim.identity import identity_of
from roadstead.spi.gateway import RouteTable
from roadstead_plugins.gateways.envoy import process
from roadstead_plugins.gateways.envoy.gateway import connect
from tests.envoy.backend import Replica
from tests.envoy.conftest import PORT, WAIT_S, Client, Load, Open, Subject, passage_of, to, until

Make = Callable[..., Replica]
Connect = Callable[..., Client]


def test_a_gateway_that_was_never_offered_a_table_does_not_answer(subject: Subject) -> None:
    """Nothing runs before there is something to serve."""
    with pytest.raises(Unreachable, match="envoy was not started yet"):
        subject.gateway.view()


def test_a_killed_envoy_comes_back_on_the_same_ports(subject: Subject, replica: Make, client: Connect) -> None:
    """Its shim starts it again; the object that saw it die goes on with what comes back."""
    only = replica()
    subject.serve(only.endpoint)
    before = subject.pid()
    with subject.dead(), pytest.raises(Unreachable):
        until(lambda: subject.gateway.view() is None)
    view = subject.until(lambda view: view.settled and passage_of(view, only.endpoint).serving)
    assert before != subject.pid()
    assert PORT == view.routes["m"].port
    assert (200, only.endpoint.host) == client(subject.address).rest("/who")


def test_a_table_offered_while_envoy_is_dead_is_in_force_once_it_is_back(subject: Subject, replica: Make) -> None:
    """What is offered meanwhile lies in the files that the next Envoy reads."""
    old, new = replica(), replica()
    subject.serve(old.endpoint)
    os.kill(subject.pid(), signal.SIGKILL)
    subject.gateway.route(to(new.endpoint))
    view = subject.until(lambda view: view.settled and passage_of(view, new.endpoint).serving)
    assert not passage_of(view, old.endpoint).listed


def test_a_stopped_envoy_is_said_to_be_stopped_and_goes_on_as_it_was(subject: Subject, replica: Make) -> None:
    """Its shim does not end it, for it may yet answer what it has; the message has what lets it go on."""
    only = replica()
    subject.serve(only.endpoint)
    pid = subject.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable) as raised:
            until(lambda: subject.gateway.view() is None)
    finally:
        os.kill(pid, signal.SIGCONT)
    words = f"edge: envoy (process {pid}) is stopped and answers nobody; `kill -CONT {pid}` lets it go on"
    assert words == str(raised.value)
    subject.until(lambda view: view.settled and passage_of(view, only.endpoint).serving)
    assert pid == subject.pid()


def test_the_death_of_envoy_is_told_at_once(subject: Subject, replica: Make) -> None:
    """Whoever watches is woken when the process ends, without asking."""
    subject.serve(replica().endpoint)
    pid = subject.pid()
    woken = threading.Event()
    subject.gateway.watch(woken.set)
    until(woken.is_set)  # the start of the process, told late
    woken.clear()
    os.kill(pid, signal.SIGKILL)
    assert woken.wait(WAIT_S)


def test_a_killed_shim_costs_no_request_and_is_replaced(subject: Subject, replica: Make) -> None:
    """Envoy serves on without its shim; looking gives it another one, which takes it over."""
    only = replica()
    subject.serve(only.endpoint)
    state = subject.gateway._process.state()
    assert state is not None
    assert state.shim is not None
    shim, envoy = state.shim, subject.pid()
    with Load(subject.address) as load:
        load.more()
        os.kill(shim.pid, signal.SIGKILL)
        subject.until(lambda _: (now := subject.gateway._process.state()) is not None and now.shim != shim)
        load.more()
    assert ([], envoy) == (load.failed, subject.pid())


def test_the_next_daemon_takes_over_what_runs(subject: Subject, replica: Make) -> None:
    """Another object finds the same process, ports, tables and passages, and no request fails meanwhile."""
    listed, draining = replica(), replica()
    subject.serve(listed.endpoint, draining.endpoint)
    subject.gateway.route(to(listed.endpoint, draining.endpoint, draining=(draining.endpoint,)))
    before, pid = subject.until(lambda view: passage_of(view, draining.endpoint).idle), subject.pid()
    with Load(subject.address) as load:
        load.more()
        subject.reopen()
        assert {"m": PORT} == subject.gateway.ports()
        assert subject.gateway.view().settled
        after = subject.until(lambda view: passage_of(view, draining.endpoint).idle)
        load.more()
    assert (before.routes, pid) == (after.routes, subject.pid())
    assert [] == load.failed


def test_the_next_daemon_offers_the_same_table_without_a_write(subject: Subject, replica: Make) -> None:
    """A table that is in force costs nothing to whoever offers it: no file is replaced, no connection drained."""
    offered = to(replica().endpoint)
    subject.offer(offered)
    files = {path: path.stat().st_ino for path in subject.context.root.rglob("*.json") if path.parent.name != "process"}
    assert len(files) >= 6
    subject.reopen()
    subject.offer(offered)
    assert files == {path: path.stat().st_ino for path in files}


def test_stopping_takes_down_everything_and_forgets_the_tables(subject: Subject, replica: Make) -> None:
    """Envoy and its shim end, the ports are free, and nothing of the table is left; it can be started anew."""
    only = replica()
    subject.serve(only.endpoint)
    envoy, state = identity_of(subject.pid()), subject.gateway._process.state()
    assert envoy is not None
    assert state is not None
    subject.gateway.stop()
    assert [] == subject.processes()
    assert {} == subject.gateway.ports()
    assert [] == list(subject.context.root.rglob("*.json"))
    with pytest.raises(Unreachable):
        subject.gateway.view()
    subject.serve(only.endpoint)
    assert envoy.pid != subject.pid()


def test_stopping_what_never_ran_is_fine(subject: Subject) -> None:
    """Whoever takes a gateway down does not have to know whether it ever served."""
    subject.gateway.stop()
    assert {} == subject.gateway.ports()


def test_the_admin_interface_is_for_its_owner_alone(open_gateway: Open, tmp_path: Path, replica: Make) -> None:
    """It is a socket of mode 0600 in a folder of mode 0700, and the folder's path may be as long as it likes."""
    subject = open_gateway(root=tmp_path / ("d" * 120) / "gateway")
    subject.serve(replica().endpoint)
    (socket,) = [path for path in subject.context.root.iterdir() if path.is_socket()]
    assert (0o600, 0o700) == tuple(stat.S_IMODE(path.stat().st_mode) for path in (socket, subject.context.root))
    assert len(os.fsencode(socket)) > 107


def test_without_the_extra_the_way_to_get_it_is_said(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without Envoy's wheel is refused with what to install."""
    monkeypatch.setattr(process, "find_spec", lambda _: None)
    with pytest.raises(Rejected, match="no Envoy in this environment") as raised:
        subject.gateway.route(RouteTable({}))
    assert "install roadstead[gateway]" == raised.value.hint


def test_an_envoy_that_cannot_be_executed_is_refused(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is there and lacks the permission is told from one that is missing."""
    program = tmp_path / "_bin" / "envoy"
    program.parent.mkdir()
    program.write_bytes(b"")
    found = ModuleSpec("envoy", None, is_package=True)
    found.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(process, "find_spec", lambda _: found)
    with pytest.raises(Rejected, match="cannot be executed"):
        subject.gateway.route(RouteTable({}))


def test_a_running_envoy_is_guided_on_when_its_wheel_is_gone(
    subject: Subject, replica: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment that is being replaced does not keep a table from being offered to what runs."""
    old, new = replica(), replica()
    subject.serve(old.endpoint)
    monkeypatch.setattr(process, "find_spec", lambda _: None)
    assert passage_of(subject.serve(new.endpoint), new.endpoint).serving


def test_an_envoy_that_cannot_start_is_reported_with_its_end(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The view says how it ended and where its own words are."""
    program = tmp_path / "_bin" / "envoy"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    found = ModuleSpec("envoy", None, is_package=True)
    found.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(process, "find_spec", lambda _: found)
    subject.gateway.route(RouteTable({}))

    def trouble() -> str | None:
        try:
            subject.gateway.view()
        except Unreachable as error:
            return str(error) if "exited" in str(error) else None
        return None

    assert (
        f"edge: envoy exited with code 7, it is started again by itself; see {subject.gateway._process.log}"
        == until(trouble)
    )


def test_a_changed_bootstrap_waits_for_the_next_start_and_says_so(
    subject: Subject, replica: Make, client: Connect
) -> None:
    """What Envoy reads only once is not forced on it: that would break what is in flight; `kill` of its shim does."""
    only = replica()
    subject.serve(only.endpoint)
    before = subject.pid()
    subject.reopen(options=type(subject.context.options)(max_connections=1))  # type: ignore[call-arg]
    subject.offer(to(only.endpoint))
    view = subject.gateway.view()
    assert "max_connections" in view.problem
    assert "`kill " in view.problem
    assert before == subject.pid()
    os.kill(int(view.problem.partition("`kill ")[2].partition("`")[0]), signal.SIGTERM)
    subject.until(lambda view: not view.problem and passage_of(view, only.endpoint).serving)
    assert before != subject.pid()
    assert (200, only.endpoint.host) == client(subject.address).rest("/who")


def test_a_record_of_a_newer_version_is_refused_and_not_written_over(subject: Subject) -> None:
    """Whoever goes back to an older version is told, before anything is lost."""
    subject.gateway.close()
    record = subject.context.root / "offer.json"
    record.write_text('{"surely": "not ours"}')
    with pytest.raises(Rejected, match=r"offer\.json cannot be read"):
        connect(subject.context)
    record.unlink()
    subject.gateway = connect(subject.context)


def test_a_table_that_cannot_be_written_down_is_not_offered(subject: Subject, replica: Make) -> None:
    """What is in force stays, and can still be looked at; the next try goes through once there is room again."""
    old, new = replica(), replica()
    subject.serve(old.endpoint)
    in_the_way = subject.context.root / f"offer.json.{os.getpid()}.new"
    in_the_way.mkdir()
    with pytest.raises(Retryable, match=r"offer\.json.* is a directory") as raised:
        subject.gateway.route(to(new.endpoint))
    view = subject.gateway.view()
    assert "free the disk, or give the folder to the user that the daemon runs as" == raised.value.hint
    assert passage_of(view, old.endpoint).serving
    assert view.routes["m"].passages.keys() == {old.endpoint}
    in_the_way.rmdir()
    assert passage_of(subject.serve(new.endpoint), new.endpoint).serving
