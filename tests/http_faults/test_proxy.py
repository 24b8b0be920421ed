"""The fault proxy over real sockets: what the client sees, and what the server really did."""

from __future__ import annotations

import datetime as dt
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from roadstead.testing.http_faults import (
    Cut,
    Delay,
    FaultProxy,
    Insert,
    LoseReply,
    LoseRequest,
    NotApplied,
    Reply,
    Rule,
    Silence,
    Stale,
    Truncate,
)
from roadstead.units import Duration
from tests.cluster.certificates import Authority
from tests.http_faults.origin import Origin, origin

_SOON = Duration(60_000)
_ENDED = (http.client.RemoteDisconnected, ConnectionResetError)
_BROKEN = (http.client.IncompleteRead, ConnectionResetError)


@pytest.fixture
def server() -> Iterator[Origin]:
    """A server behind the proxy."""
    with origin() as one:
        yield one


@contextmanager
def _connected(proxy: FaultProxy, timeout: float = 60) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)) as connection:
        yield connection


@contextmanager
def _streaming(proxy: FaultProxy) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request for the stream, its body unread."""
    with _connected(proxy) as connection:
        connection.request("GET", "/stream")
        with closing(connection.getresponse()) as answer:
            yield answer


def _ask(proxy: FaultProxy, method: str = "GET", path: str = "/count", body: bytes | None = None) -> tuple[int, bytes]:
    with _connected(proxy) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


# ---- what passes ----


def test_what_meets_no_rule_passes_as_it_is(server: Origin) -> None:
    """Method, path, body and headers, several requests on one connection."""
    with FaultProxy(server.url) as proxy, _connected(proxy) as connection:
        for at in (1, 2):
            connection.request("POST", "/count?a=1", b"sent")
            answer = connection.getresponse()
            assert (200, b"POST %d\n" % at, "yes") == (answer.status, answer.read(), answer.headers["X-Origin"])
        assert proxy.wait_for(lambda proxy: len(proxy.exchanges) == 2, _SOON)
        assert [("POST", "/count?a=1", 200)] * 2 == [(one.method, one.target, one.status) for one in proxy.exchanges]
    assert [b"sent", b"sent"] == server.bodies


def test_pieces_of_a_stream_pass_as_they_come(server: Origin) -> None:
    """None waits for the next one, nor for the end."""
    with FaultProxy(server.url) as proxy, _streaming(proxy) as answer:
        for piece in (b"one\n", b"two\n"):
            server.pieces.put(piece)
            assert piece == answer.readline()
        server.pieces.put(None)
        assert b"" == answer.read()


def test_a_server_learns_that_its_client_has_gone(server: Origin) -> None:
    """The proxy does not keep a stream open that nobody reads."""
    with FaultProxy(server.url) as proxy:
        with _streaming(proxy) as answer:
            server.pieces.put(b"one\n")
            answer.readline()
        assert proxy.wait_for(lambda proxy: not proxy.under_way, _SOON)
        for _ in range(2):
            server.pieces.put(b"x" * 1_000_000)
        assert server.stream_ended.wait(60)


def test_a_server_that_is_away_is_no_answer() -> None:
    """The proxy makes up no 502: the client sees what it would see without a proxy, a connection that ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with FaultProxy(address) as proxy, pytest.raises(_ENDED):
        _ask(proxy)


# ---- faults before the server ----


def test_a_lost_request_is_never_carried_out(server: Origin) -> None:
    """The client cannot tell it from a lost reply."""
    with FaultProxy(server.url, [Rule(LoseRequest(), method="POST")]) as proxy:
        with pytest.raises(_ENDED):
            _ask(proxy, "POST")
        assert proxy.wait_for(lambda proxy: bool(proxy.exchanges), _SOON)
        assert [None] == [one.status for one in proxy.exchanges]
    assert {} == server.counts


def test_a_reply_in_the_place_of_the_server(server: Origin) -> None:
    """With its headers and body; the connection can be used on."""
    rule = Rule(Reply(429, b"later", {"Retry-After": "7"}))
    with FaultProxy(server.url, [rule]) as proxy, _connected(proxy) as connection:
        connection.request("GET", "/count")
        answer = connection.getresponse()
        assert (429, b"later", "7") == (answer.status, answer.read(), answer.headers["Retry-After"])
        connection.request("GET", "/count")
        assert b"GET 1\n" == connection.getresponse().read()
    assert {"GET": 1} == server.counts


def test_a_delayed_request_is_carried_out_later(server: Origin) -> None:
    """Meanwhile the server has not heard of it, and the client waits."""
    with FaultProxy(server.url) as proxy:
        late = proxy.add(Rule(Delay(Duration(60_000)), times=None))
        with _connected(proxy, timeout=0.1) as connection:
            connection.request("GET", "/count")
            with pytest.raises(TimeoutError):
                connection.getresponse()
            assert {} == server.counts
        proxy.remove(late)
        short = proxy.add(Rule(Delay(Duration(10))))
        assert (200, b"GET 1\n") == _ask(proxy)
        assert [short] == [one.rule for one in proxy.applied]


# ---- faults after the server ----


def test_a_lost_reply_was_carried_out(server: Origin) -> None:
    """That is what makes it worse than a lost request."""
    with FaultProxy(server.url, [Rule(LoseReply(), method="POST")]) as proxy, pytest.raises(_ENDED):
        _ask(proxy, "POST")
    assert {"POST": 1} == server.counts


def test_a_lost_reply_can_be_another_one(server: Origin) -> None:
    """A server that stores, and then says that it failed."""
    with FaultProxy(server.url, [Rule(LoseReply(Reply(500, b"no")))]) as proxy:
        assert (500, b"no") == _ask(proxy, "POST")
    assert {"POST": 1} == server.counts


def test_an_answer_that_is_cut_is_not_taken_for_whole(server: Origin) -> None:
    """Its length, or its last chunk, is missing."""
    with FaultProxy(server.url, [Rule(Cut(3))]) as proxy, pytest.raises(_BROKEN):
        _ask(proxy)


def test_a_truncated_answer_looks_whole(server: Origin) -> None:
    """Only who reads it can see that something is missing."""
    with FaultProxy(server.url, [Rule(Truncate(3))]) as proxy:
        assert (200, b"GET") == _ask(proxy)


def test_a_stream_is_cut_after_so_many_bytes(server: Origin) -> None:
    """In the middle of a line, if they end there."""
    with FaultProxy(server.url, [Rule(Cut(6), path="/stream")]) as proxy, _streaming(proxy) as answer:
        server.pieces.put(b"one\ntwo\n")
        assert b"one\n" == answer.readline()
        with pytest.raises(_BROKEN):
            answer.read()


def test_a_stream_is_cut_at_once(server: Origin) -> None:
    """Whenever a test says so; there is nothing to cut a second time."""
    with FaultProxy(server.url) as proxy, _streaming(proxy) as answer:
        assert 0 == proxy.cut("^/count")
        assert 1 == proxy.cut("^/stream")
        with pytest.raises(_BROKEN):
            answer.read()
        assert proxy.wait_for(lambda proxy: not proxy.under_way, _SOON)
        assert 0 == proxy.cut("^/stream")


@pytest.mark.parametrize(("after", "expected"), [(0, b"error\n"), (1, b"one\nerror\n")])
def test_lines_are_inserted_and_the_stream_ends_well(server: Origin, after: int, expected: bytes) -> None:
    """As a watch that the server breaks off with an error."""
    rule = Rule(Insert(b"error\n", after), path="/stream")
    with FaultProxy(server.url, [rule]) as proxy, _streaming(proxy) as answer:
        server.pieces.put(b"one\ntwo\n")
        assert expected == answer.read()


@pytest.mark.parametrize("by_rule", [True, False])
def test_a_silent_connection_stays_open(server: Origin, by_rule: bool) -> None:
    """Nothing comes any more, and no end either: only a clock can find that out."""
    rules = [Rule(Silence(4), path="/stream")] if by_rule else []
    with FaultProxy(server.url, rules) as proxy, _connected(proxy) as connection:
        connection.request("GET", "/stream")
        assert connection.sock is not None
        connection.sock.settimeout(0.2)
        with closing(connection.getresponse()) as answer:
            server.pieces.put(b"one\n")
            assert b"one\n" == answer.readline()
            if not by_rule:
                assert 1 == proxy.silence()
            server.pieces.put(b"two\n")
            with pytest.raises(TimeoutError):
                answer.readline()


def test_a_stale_answer_is_one_from_before(server: Origin) -> None:
    """Of the same request, the newest or one before that; the server is not asked."""
    with FaultProxy(server.url) as proxy:
        for _ in range(2):
            _ask(proxy)
        proxy.add(Rule(Stale()))
        proxy.add(Rule(Stale(back=2)))
        assert [b"GET 2\n", b"GET 1\n", b"GET 3\n"] == [_ask(proxy)[1] for _ in range(3)]


def test_a_stale_answer_that_there_is_none_of_did_not_happen(server: Origin) -> None:
    """The request is carried out, and the script fails."""
    with pytest.raises(NotApplied, match="Stale"), FaultProxy(server.url, [Rule(Stale())]) as proxy:
        assert b"GET 1\n" == _ask(proxy)[1]


def test_a_fault_that_comes_too_late_did_not_happen(server: Origin) -> None:
    """The answer was shorter."""
    with pytest.raises(NotApplied, match=r"Cut\(after=1000\)"), FaultProxy(server.url, [Rule(Cut(1_000))]) as proxy:
        assert (200, b"GET 1\n") == _ask(proxy)


# ---- connections ----


def test_refused_connections(server: Origin) -> None:
    """Nobody listens meanwhile, what is under way ends, and the address stays the same."""
    with FaultProxy(server.url) as proxy:
        with _streaming(proxy) as answer, proxy.refusing():
            with pytest.raises(ConnectionRefusedError):
                _ask(proxy)
            with pytest.raises(_BROKEN):
                answer.read()
        assert (200, b"GET 1\n") == _ask(proxy)


def test_tls_on_both_sides(tmp_path: Path) -> None:
    """The client trusts the proxy's certificate, the proxy verifies the server's."""
    authority = Authority.create("test", dt.datetime.now(dt.UTC))
    certificate, key = authority.issue("server", addresses=[IPv4Address("127.0.0.1")]).write(tmp_path, "server")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cadata=authority.certificate.decode())
    rule = Rule(Cut(6), path="/stream")
    with origin(serving) as server, FaultProxy(server.url, [rule], trusts=trusting, tls=serving) as proxy:
        with closing(http.client.HTTPSConnection("127.0.0.1", proxy.port, context=trusting, timeout=60)) as connection:
            connection.request("GET", "/count")
            assert b"GET 1\n" == connection.getresponse().read()
            connection.request("GET", "/stream")
            with closing(connection.getresponse()) as answer:
                server.pieces.put(b"one\ntwo\n")
                assert b"one\n" == answer.readline()
                with pytest.raises(_BROKEN):
                    answer.read()
        with FaultProxy(server.url, trusts=ssl.create_default_context()) as doubting, pytest.raises(_ENDED):
            _ask(doubting)


def test_many_clients_at_once(server: Origin) -> None:
    """Each gets its own answer."""
    answers: list[bytes] = []
    with FaultProxy(server.url) as proxy:
        threads = [threading.Thread(target=lambda: answers.append(_ask(proxy)[1])) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {b"GET %d\n" % at for at in range(1, 21)} == set(answers)


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:1", "127.0.0.1:1", "https://127.0.0.1:1"])
def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    """At once, and not by a connection that fails."""
    with pytest.raises(ValueError, match=address):
        FaultProxy(address)
