"""A real gateway before real replicas: what clients notice of what we do, of crashes, and of a daemon that is gone."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import psutil
import pytest

from roadstead.act.events import EventKind
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import ROUTED
from tests.ports import free_port

ANSWER_S = 90.0


@attrs.frozen
class Address:
    """Where the clients of one deployment connect."""

    port: int

    def ask(self, path: str = "/", host: str = "127.0.0.1") -> int:
        """Return the process that answered one request; raises what went wrong."""
        connection = http.client.HTTPConnection(host, self.port, timeout=ANSWER_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert 200 == answer.status, body
        return int(json.loads(body)["pid"])

    def asked(self) -> int | None:
        """Return the process that answered one request, ``None`` where there was no good answer."""
        try:
            return self.ask()
        except (OSError, http.client.HTTPException, AssertionError):
            return None

    def status(self) -> int | None:
        """Return the status of one answer, ``None`` where nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def answering(self, count: int) -> set[int]:
        """Wait until that many processes answer, and return them."""
        found: set[int] = set()

        def are_there() -> set[int] | None:
            pid = self.asked()
            if pid is not None:
                found.add(pid)
            return found if len(found) >= count else None

        return until(are_there)


def routed(daemon: Daemon) -> Address:
    """Start a daemon with two replicas behind a gateway, and return their address once both answer there."""
    address = Address(free_port())
    daemon.write(ROUTED.replace("EDGE", str(address.port)))
    daemon.start()
    address.answering(2)
    return address


@pytest.fixture
def edge(daemon: Daemon) -> Address:
    """The address of a deployment with two replicas behind a gateway."""
    return routed(daemon)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, installed: dict[str, str]) -> Iterator[Daemon]:
    """One daemon, with a gateway, for several tests."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "models" / "minilm" / "1").mkdir(parents=True)
    made = Daemon(folder, installed)
    yield made
    made.client.stop(stop_replicas=True)
    assert made.process is not None
    assert 0 == made.process.wait(60)
    assert "Traceback" not in made.said()


@pytest.fixture(scope="module")
def door(shared: Daemon) -> Address:
    """The address of the deployment of the shared daemon."""
    return routed(shared)


def replicas(daemon: Daemon) -> dict[int, str]:
    """Return where each replica listens, by its process."""
    found = {}
    for one in daemon.deployment().replicas:
        assert one.host is not None
        assert one.rest is not None
        found[Address(one.rest).ask(host=one.host)] = one.host
    return found


def envoy(daemon: Daemon) -> psutil.Process:
    """Return the gateway's process, which runs below this daemon's state and nowhere else."""
    (found,) = [
        process
        for process in psutil.process_iter(["exe", "cwd"])
        if "envoy" in (process.info["exe"] or "") and str(daemon.folder) in (process.info["cwd"] or "")
    ]
    return found


@attrs.define
class Client:
    """Asks one address again and again, each time on a new connection, and keeps what was no answer."""

    address: Address
    answered: int = 0
    failed: list[str] = attrs.field(factory=list)
    _end: threading.Event = attrs.field(factory=threading.Event)

    def run(self) -> None:
        """Ask until the end."""
        while not self._end.is_set():
            try:
                self.address.ask()
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(f"{type(error).__name__}: {error}")

    def end(self) -> None:
        """Ask no more."""
        self._end.set()


@pytest.fixture
def client(edge: Address) -> Iterator[Client]:
    """A client that asks all the time."""
    asking = Client(edge)
    threads = [threading.Thread(target=asking.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield asking
    asking.end()
    for thread in threads:
        thread.join(ANSWER_S)


def more(client: Client, count: int = 50) -> None:
    """Wait until so many more requests were answered."""
    target = client.answered + count
    until(lambda: client.answered >= target)


def test_metrics_say_what_goes_through(shared: Daemon, door: Address) -> None:
    """As many requests as were asked, in all and by replica, and that all is well."""
    for _ in range(10):
        door.ask()

    def counted() -> dict[str, list[float]] | None:
        found = _scraped(shared)
        all_is_well = [[1.0]] * 3 == [found.get(name) for name in ("gateway_up", "gateway_settled", "route_usable")]
        return found if all_is_well and sum(found.get("replica_requests_total", ())) >= 10 else None

    numbers = until(counted)

    assert sum(numbers["requests_total"]) >= sum(numbers["replica_requests_total"])
    assert 2 == len(numbers["replica_requests_total"])


def test_a_slow_request_is_answered_before_its_replica_is_stopped(shared: Daemon, door: Address) -> None:
    """Fewer replicas: the one that goes gets nothing new, and is stopped when its last request is answered."""
    answers: list[int] = []
    before = replicas(shared)
    slow = _held_by_all(shared, door, answers)

    shared.client.scale("minilm", 1)
    (staying,) = until(lambda: _alone(door))
    (leaving,) = before.keys() - {staying}
    for _ in range(20):
        assert staying == door.ask()
    assert 2 == len(shared.deployment().replicas)
    assert [] == answers
    for host in before.values():
        Address(8501).ask("/release", host)
    for thread in slow:
        thread.join(ANSWER_S)
    until(lambda: len(shared.deployment().replicas) == 1)

    assert (set(before), len(slow)) == (set(answers), len(answers))
    assert not psutil.pid_exists(leaving)
    assert [] == shared.events(EventKind.OVERDUE)


def _held_by_all(daemon: Daemon, door: Address, answers: list[int]) -> list[threading.Thread]:
    """Ask until every replica has something to answer: nobody can say to whom a gateway gives the next request."""
    asking: list[threading.Thread] = []
    counts: list[float] = []
    while not counts or 0 in counts:
        asking.append(threading.Thread(target=lambda: answers.append(door.ask("/hold"))))
        asking[-1].start()
        counts = until(lambda: found if sum(found := _in_flight(daemon)) == len(asking) else None)
    return asking


def _in_flight(daemon: Daemon) -> list[float]:
    return _scraped(daemon).get("replica_requests_in_flight", [])


def test_nobody_there_is_an_answer_too(shared: Daemon, door: Address) -> None:
    """A deployment at zero keeps its address: its clients are told to come again, and are not refused."""
    shared.client.scale("minilm", 0)
    until(lambda: not shared.deployment().replicas)

    assert 503 == door.status()


def _alone(edge: Address) -> set[int] | None:
    """Return the one process that answers, if it is only one."""
    found = {edge.ask() for _ in range(10)}
    return found if len(found) == 1 else None


def _scraped(daemon: Daemon) -> dict[str, list[float]]:
    """Return the samples of the daemon's metrics that have labels, by name without its prefix."""
    found: dict[str, list[float]] = {}
    text = daemon.http("/metrics").decode()
    for name, number in re.findall(r"^roadstead_(\w+){.*} ([\d.]+)", text, re.MULTILINE):
        found.setdefault(name, []).append(float(number))
    return found


def test_no_request_is_lost_by_what_we_do(daemon: Daemon, edge: Address, client: Client) -> None:
    """More replicas, fewer, another version of the model; a daemon that is killed, or ends, and the next one."""
    process = envoy(daemon)
    more(client)
    daemon.client.scale("minilm", 3)
    until(lambda: daemon.deployment().serving == 3)
    more(client)
    daemon.client.scale("minilm", 1)
    until(lambda: len(daemon.deployment().replicas) == 1)
    daemon.kill()
    more(client)
    daemon.start()
    (daemon.folder / "models" / "minilm" / "2").mkdir()
    daemon.write(daemon.file.read_text().replace("{source: models/minilm}", "{source: models/minilm, version: 2}"))
    until(lambda: daemon.deployment().replicas and all(one.versions == (2,) for one in daemon.deployment().replicas))
    assert 0 == daemon.terminate()
    more(client)
    daemon.start()
    daemon.until_listed(1)
    more(client)

    client.end()
    assert [] == client.failed
    assert process == envoy(daemon)
    address = daemon.deployment().address
    assert address is not None
    assert edge.port == address.port


def test_a_killed_gateway_is_back_at_its_port_by_itself(daemon: Daemon, edge: Address) -> None:
    """Whether a daemon runs or not; nobody behind it is restarted, and the event log tells of it."""
    before = replicas(daemon)
    with _killed(envoy(daemon)):
        until(lambda: daemon.events(EventKind.GATEWAY_LOST))
    assert before.keys() == edge.answering(2)
    until(lambda: daemon.events(EventKind.GATEWAY_BACK))
    daemon.kill()

    with _killed(envoy(daemon)):
        until(lambda: edge.status() != 200)
    assert before.keys() == edge.answering(2)
    daemon.start()
    daemon.until_listed(2)

    assert before == replicas(daemon)


@contextmanager
def _killed(gateway: psutil.Process) -> Iterator[None]:
    """Kill a gateway; its shim, which would have it back before anybody has looked, stands still for the block."""
    shim = gateway.parent()
    assert shim is not None
    shim.suspend()
    try:
        gateway.kill()
        yield
    finally:
        shim.resume()


def test_a_port_that_somebody_has_is_said_and_used_once_it_is_free(daemon: Daemon) -> None:
    """The replicas are up meanwhile, and everything else goes on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = Address(other.getsockname()[1])
        daemon.write(ROUTED.replace("EDGE", str(address.port)))
        daemon.start()
        until(lambda: daemon.deployment().ready == 2)
        (event,) = until(lambda: daemon.events(EventKind.ROUTE_PROBLEM))
        assert f"clients cannot use port {address.port} of gateway edge for minilm" in event.text
        until(lambda: any(f"port {address.port} of gateway edge" in text for text in daemon.health()["problems"]))

    address.answering(2)
    until(lambda: not daemon.health()["problems"])


def test_stopping_with_replicas_takes_the_gateway_down_last(daemon: Daemon, edge: Address, client: Client) -> None:
    """Nothing is left; every answer until then is one, and the next start is at the same port."""
    more(client)
    process = envoy(daemon)

    daemon.client.stop(stop_replicas=True)
    assert daemon.process is not None
    assert 0 == daemon.process.wait(60)
    client.end()

    assert not process.is_running()
    daemon.start()
    edge.answering(2)
