"""The callers of TensorFlow Serving's API, against a server that can also behave badly."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import attrs
import pytest

from roadstead.load.course import Arrivals, Closed, Course, Open
from roadstead.load.engine import Measured, measure
from roadstead.spi.load import Destination, Encryption, Loads, NotConnected, Unfit, Wire, Work
from roadstead_plugins.runtimes.tf_serving.runtime import TfServing
from tests.load.conftest import EXPECTED, REQUESTS, Canned, canned

BRIEF = Course(pace=Closed(2), duration=0.3, warm_up=0.0, deadline=5.0)
WIRES = pytest.mark.parametrize("wire", list(Wire))


def failures(measured: Measured) -> set[str]:
    """Return the codes with which requests failed; none of them may be unaccounted for."""
    account = measured.record.account
    assert account.sent > 0
    assert account.sent == account.ok + account.failed
    return set(account.failures)


def test_the_runtime_offers_to_be_put_under_load() -> None:
    """That is how the command finds it."""
    assert isinstance(TfServing(), Loads)


@WIRES
def test_right_answers_are_ok(server: Canned, wire: Wire) -> None:
    """Both requests, over and over, each compared with its own reference."""
    measured = server.measure(wire, "right", BRIEF)
    assert set() == failures(measured)
    assert {1: measured.record.account.ok} == dict(measured.record.account.versions)


@WIRES
@pytest.mark.parametrize(
    ("model", "code", "detail"),
    [
        ("off", {"WRONG"}, "differs by up to 0.01"),
        ("empty", {"WRONG"}, ""),
        ("garbage", {"WRONG"}, "not a"),
        ("busy", {"RESOURCE_EXHAUSTED", "HTTP 503"}, "the queue is full"),
    ],
)
def test_what_is_not_a_right_answer_has_failed(
    server: Canned, wire: Wire, model: str, code: set[str], detail: str
) -> None:
    """Each kind has a code, and the first of it says what was wrong."""
    measured = server.measure(wire, model, BRIEF)
    (found,) = failures(measured)
    assert found in code
    assert 0 == measured.record.account.ok
    assert detail in measured.record.account.detail(found)


def test_a_version_that_may_not_answer_is_wrong(server: Canned) -> None:
    """Also where no answer is known."""
    work = Work(model="", requests=REQUESTS, versions=frozenset({1, 2}))
    measured = server.measure(Wire.GRPC, "third", BRIEF, work)
    assert {"WRONG"} == failures(measured)
    assert "version 3 answered, not version 1 or 2" == measured.record.account.detail("WRONG")


@WIRES
def test_requests_in_rows_are_taken_as_well(server: Canned, wire: Wire) -> None:
    """A list of rows and a mapping of columns are the same request."""
    work = Work(model="", requests=({"instances": [2.0, 4.0]},), expected=({1: {"predictions": [1.0, 2.0]}},))
    assert set() == failures(server.measure(wire, "right", BRIEF, work))


@WIRES
def test_an_answer_that_does_not_come_ends_with_the_deadline(server: Canned, wire: Wire) -> None:
    """And not when the server thinks it is time."""
    course = Course(pace=Open(rate=20, arrivals=Arrivals.CONSTANT), duration=0.3, warm_up=0.0, deadline=0.2)
    assert {"DEADLINE_EXCEEDED"} == failures(server.measure(wire, "silent", course))


def test_a_connection_that_is_closed_is_a_failure_and_not_the_end(server: Canned) -> None:
    """The next request has a new connection, and is as little sent again as the one before."""
    measured = server.measure(Wire.REST, "rude", BRIEF)
    assert {"UNAVAILABLE"} == failures(measured)
    assert measured.record.account.failed > 2


def test_chunks_and_a_connection_for_each_answer_are_no_failures(server: Canned) -> None:
    """A proxy may answer so."""
    assert set() == failures(server.measure(Wire.REST, "chunked", BRIEF))


@WIRES
def test_a_server_that_dies_leaves_failures_by_code_and_no_error(mortal: Canned, wire: Wire) -> None:
    """What was on its way and what comes after are accounted for; nothing is raised, and nothing waits for ever."""
    course = Course(pace=Open(rate=100), duration=1.8, warm_up=0.0, deadline=1.0)
    measured = mortal.measure(wire, "right", course, watch=lambda _record, _now: mortal.process.kill())
    assert failures(measured) <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert measured.record.account.ok > 0
    assert measured.record.account.failed > 0
    rows = measured.record.timeline.rows()
    assert rows[0].failed == 0
    assert rows[-1].ok == 0


@WIRES
def test_where_nobody_listens_nothing_is_sent(server: Canned, wire: Wire) -> None:
    """The address is in the message."""
    with socket.socket() as probe:
        probe.bind((server.host, 0))
        address = f"{server.host}:{probe.getsockname()[1]}"
    destination = Destination(wire=wire, addresses=(address,), connections=2)
    with pytest.raises(NotConnected, match=address):
        measure(TfServing().caller(destination, Work(model="m", requests=REQUESTS)), BRIEF, requests=2, every=1.0)


@WIRES
def test_the_port_of_the_other_protocol_is_told_apart(server: Canned, wire: Wire) -> None:
    """A mistake that is easily made, and would else be a wall of failures."""
    other = server.destination(Wire.REST if wire is Wire.GRPC else Wire.GRPC)
    caller = TfServing().caller(attrs.evolve(other, wire=wire), Work(model="m", requests=REQUESTS))
    with pytest.raises(NotConnected) as caught:
        measure(caller, BRIEF, requests=2, every=1.0)
    assert "which is this?" in (caught.value.hint or "")


@WIRES
def test_a_model_that_is_not_there_is_said_before_anything_is_sent(server: Canned, wire: Wire) -> None:
    """With the server's own words."""
    with pytest.raises(Unfit, match="unknown"):
        server.measure(wire, "unknown", BRIEF)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"inputs": {"z": [1.0]}}, "request 2: Missing named input: x"),
        ({"inputs": {"x": ["text"]}}, "request 2: JSON Value"),
        ({"inputs": {"x": [1.0]}, "signature_name": "other"}, "request 2: the model has no signature 'other'"),
    ],
)
def test_a_request_that_does_not_fit_is_said_before_anything_is_sent(
    server: Canned, request_: dict[str, object], words: str
) -> None:
    """With its number; a load of refused requests would measure nothing."""
    with pytest.raises(Unfit, match=words):
        server.measure(Wire.GRPC, "right", BRIEF, Work(model="", requests=(REQUESTS[0], request_)))


@WIRES
def test_requests_go_to_every_address(server: Canned, mortal: Canned, wire: Wire) -> None:
    """Connections are opened to the addresses in turn: with one server dead, half of the requests fail."""
    mortal.process.kill()
    mortal.process.wait()
    addresses = (server.address(wire), mortal.address(wire))
    destination = Destination(wire=wire, addresses=addresses, connections=4)
    caller = TfServing().caller(destination, Work(model="right", requests=REQUESTS, expected=EXPECTED))
    course = Course(pace=Open(rate=100, arrivals=Arrivals.CONSTANT), duration=0.4, warm_up=0.0, deadline=5.0)
    account = measure(caller, course, requests=2, every=1.0).record.account
    assert 40 == account.sent
    assert {"UNAVAILABLE": 20} == dict(account.failures)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a certificate of its own for the name `models`."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "1", "-subj", "/CN=models"]
    command += ["-addext", "subjectAltName=DNS:models"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@WIRES
def test_an_encrypted_server_is_reached_by_the_name_in_its_certificate(certified: Path, wire: Wire) -> None:
    """And not by another one: whoever answers with the wrong certificate gets no request."""
    with canned(certified) as server:
        for name, reached in (("models", True), ("others", False)):
            encryption = Encryption(authority=(certified / "cert.pem").read_bytes(), server_name=name)
            destination = attrs.evolve(server.destination(wire), encryption=encryption)
            caller = TfServing().caller(destination, Work(model="right", requests=REQUESTS, expected=EXPECTED))
            if reached:
                assert set() == failures(measure(caller, BRIEF, requests=2, every=1.0))
            else:
                with pytest.raises(NotConnected) as caught:
                    measure(caller, BRIEF, requests=2, every=1.0)
                assert "--server-name" in (caught.value.hint or "")
