"""What the gateway takes from clients: so many connections, so large requests, and a bounded log of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from roadstead.units import Memory
from roadstead_plugins.gateways.envoy.options import EnvoyOptions
from tests.envoy.backend import Replica
from tests.envoy.conftest import (
    HOST_NAME,
    PORT,
    WAIT_S,
    Certificates,
    Client,
    Load,
    Open,
    passage_of,
    shown_certificate,
    to,
    until,
)

Make = Callable[..., Replica]
Connect = Callable[..., Client]
MIB = 1 << 20


class TestRequests:
    """The largest request."""

    def test_a_request_with_a_length_over_the_limit_is_refused_before_it_is_sent(
        self, open_gateway: Open, replica: Make, client: Connect
    ) -> None:
        """A client that says how much it will send gets 413; one byte less is served."""
        subject = open_gateway(max_request=Memory(MIB))
        subject.serve(replica().endpoint)
        one = client(subject.address)
        assert (200, str(MIB)) == one.rest("/size", b"x" * MIB)
        assert (413, "content length too large") == one.rest("/size", b"x" * (MIB + 1))

    def test_a_request_of_unknown_length_is_refused_when_it_gets_too_long(
        self, open_gateway: Open, replica: Make
    ) -> None:
        """Bytes are counted as they pass: a client that does not say how much comes is stopped at the limit."""
        subject = open_gateway(max_request=Memory(MIB))
        subject.serve(replica().endpoint)
        connection = http.client.HTTPConnection(subject.address, PORT, timeout=WAIT_S)
        connection.request("POST", "/size", body=iter([b"x" * MIB]))
        assert str(MIB).encode() == connection.getresponse().read()
        connection.request("POST", "/size", body=iter([b"x" * MIB, b"x"]))
        assert 413 == connection.getresponse().status
        connection.close()

    def test_a_grpc_call_that_is_too_long_fails_and_says_so(
        self, open_gateway: Open, replica: Make, client: Connect
    ) -> None:
        """All messages of a call count together; what is short enough passes, in however many parts."""
        subject = open_gateway(max_request=Memory(MIB))
        subject.serve(replica().endpoint)
        one = client(subject.address)
        assert str(512 << 10).encode() == one.size(iter([b"x" * 1024] * 512), timeout=60.0)
        with pytest.raises(grpc.RpcError) as raised:
            one.size(iter([b"x" * (64 << 10)] * 32), timeout=60.0)
        assert (grpc.StatusCode.UNKNOWN, "request too long") == (raised.value.code(), raised.value.details())

    def test_a_large_request_passes_with_the_default_limit(
        self, open_gateway: Open, replica: Make, client: Connect
    ) -> None:
        """Flow control, whose windows are much smaller than a request may be, holds nothing up for good."""
        subject = open_gateway()
        subject.serve(replica().endpoint)
        assert (200, str(32 * MIB)) == client(subject.address).rest("/size", b"x" * (32 * MIB))

    def test_another_limit_is_in_force_without_a_restart_and_without_a_failure(
        self, open_gateway: Open, replica: Make, client: Connect
    ) -> None:
        """What can change while Envoy runs does: the same process, and not one request lost."""
        subject = open_gateway(max_request=Memory(MIB))
        only = replica()
        subject.serve(only.endpoint)
        pid = subject.pid()
        with Load(subject.address) as load:
            load.more(50)
            subject.reopen(options=EnvoyOptions(max_request=Memory(2 * MIB)))
            subject.offer(to(only.endpoint))
            load.more(50)
        assert ([], pid) == (load.failed, subject.pid())
        assert (200, str(2 * MIB)) == client(subject.address).rest("/size", b"x" * (2 * MIB))


class TestConnections:
    """The most connections."""

    def test_one_connection_too_many_is_closed_and_the_others_are_served(
        self, open_gateway: Open, replica: Make
    ) -> None:
        """The limit is over all deployments; once a client leaves, another one gets in."""
        subject = open_gateway(max_connections=2)
        subject.serve(replica().endpoint)
        with contextlib.ExitStack() as stack:
            first, second = (stack.enter_context(_connection(subject.address)) for _ in range(2))
            assert [200, 200] == [_status(first), _status(second)]
            with _connection(subject.address) as third, pytest.raises((OSError, http.client.HTTPException)):
                _status(third)
            first.close()
            until(lambda: _is_let_in(subject.address))
            assert 200 == _status(second)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("max_connections", 0),
            ("max_connections", 1 << 31),
            ("max_request", Memory(0)),
            ("max_request", Memory(1 << 32)),
        ],
    )
    def test_a_limit_that_envoy_cannot_have_is_refused(self, option: str, value: object) -> None:
        """Where the fleet file is read, not where Envoy would choke on it."""
        with pytest.raises(ValueError, match=option):
            EnvoyOptions(**{option: value})  # type: ignore[arg-type]


@contextlib.contextmanager
def _connection(address: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(address, PORT, timeout=WAIT_S)
    try:
        yield connection
    finally:
        connection.close()


def _status(connection: http.client.HTTPConnection) -> int:
    """Return the status of the answer to one more request on a connection."""
    connection.request("GET", "/who")
    response = connection.getresponse()
    response.read()
    return response.status


def _is_let_in(address: str) -> bool:
    with _connection(address) as another, contextlib.suppress(OSError, http.client.HTTPException):
        return _status(another) == 200
    return False


class TestAccessLog:
    """A line per request, where it is asked for."""

    def test_it_has_a_line_for_each_request_and_cannot_grow_without_bound(
        self, open_gateway: Open, replica: Make, client: Connect, tmp_path: Path
    ) -> None:
        """What the fleet file names is a link to the log that Envoy's shim rotates."""
        link = tmp_path / "access.log"
        subject = open_gateway(access_log=link)
        only = replica()
        subject.serve(only.endpoint)
        client(subject.address).rest("/who?what")
        client(subject.address).who(b"", timeout=30.0)
        rest, call = until(lambda: len(found := _requests(link)) == 2 and found)
        assert ("m", "GET", "/who?what", 200) == tuple(rest[key] for key in ("deployment", "method", "path", "status"))
        assert ("/test/Who", "OK", f"{only.endpoint.host}:8500") == tuple(
            call[key] for key in ("path", "grpc", "replica")
        )
        assert link.resolve() == subject.gateway._process.log
        subject.gateway.stop()
        assert not link.is_symlink()

    def test_a_file_that_is_there_already_is_left_alone(self, open_gateway: Open, tmp_path: Path) -> None:
        """Somebody's file is never replaced; the view says what to do."""
        theirs = tmp_path / "access.log"
        theirs.write_text("precious\n")
        subject = open_gateway(access_log=theirs)
        view = subject.offer(to())
        assert f"access log {theirs} is a file already" in view.problem
        assert "precious\n" == theirs.read_text()

    def test_without_one_nothing_is_written_about_requests(
        self, open_gateway: Open, replica: Make, client: Connect
    ) -> None:
        """The default: not even refused requests leave a line."""
        subject = open_gateway(max_request=Memory(10))
        subject.serve(replica().endpoint)
        assert 413 == client(subject.address).rest("/size", b"x" * 11)[0]
        assert 200 == client(subject.address).rest("/who")[0]
        log = subject.gateway._process.log
        assert not log.exists() or "request" not in log.read_text()


def _requests(log: Path) -> list[dict[str, object]]:
    """Return the lines about requests, REST before gRPC."""
    lines = log.read_text().rpartition("\n")[0].splitlines() if log.exists() else []
    said = [json.loads(line) for line in lines if line.startswith("{")]
    return sorted(said, key=lambda line: str(line["protocol"]))


class TestTls:
    """Certificates from files."""

    def test_clients_of_both_protocols_are_served_over_tls(
        self, open_gateway: Open, certificates: Certificates, replica: Make, client: Connect
    ) -> None:
        """One port, one certificate; a client without TLS is not served."""
        trusted = certificates.renew()
        subject = open_gateway(tls=certificates.tls)
        only = replica()
        subject.serve(only.endpoint)
        assert only.endpoint.host.encode() == client(subject.address, trusted=trusted).who(b"", timeout=30.0)
        context = ssl.create_default_context(cadata=trusted.decode())
        context.set_alpn_protocols(["http/1.1"])
        with (
            socket.create_connection((subject.address, PORT), timeout=WAIT_S) as plain,
            context.wrap_socket(plain, server_hostname=HOST_NAME) as secured,
        ):
            secured.sendall(f"GET /who HTTP/1.1\r\nhost: {HOST_NAME}\r\nconnection: close\r\n\r\n".encode())
            assert only.endpoint.host in b"".join(iter(lambda: secured.recv(4096), b"")).decode()
        with pytest.raises((OSError, http.client.HTTPException)):
            client(subject.address).rest("/who")

    def test_a_renewed_certificate_is_shown_to_new_clients_without_a_restart(
        self, open_gateway: Open, certificates: Certificates, replica: Make, client: Connect
    ) -> None:
        """However it was replaced, even by writing over the file; clients that are connected stay."""
        before = certificates.renew()
        subject = open_gateway(tls=certificates.tls)
        subject.serve(replica().endpoint)
        connected, pid = client(subject.address, trusted=before), subject.pid()
        connected.who(b"", timeout=30.0)
        assert _same(before, shown_certificate(subject.address))
        after = certificates.renew()
        subject.until(lambda _: _same(after, shown_certificate(subject.address)))
        connected.who(b"", timeout=30.0)
        assert pid == subject.pid()

    def test_half_a_renewal_changes_nothing_and_is_reported(
        self, open_gateway: Open, certificates: Certificates, replica: Make
    ) -> None:
        """A certificate whose key has not come yet is not shown to anybody; once both are there, it is."""
        before = certificates.renew()
        subject = open_gateway(tls=certificates.tls)
        subject.serve(replica().endpoint)
        key = Path(certificates.tls.key).read_text()
        after = certificates.renew()
        new_key = Path(certificates.tls.key).read_text()
        Path(certificates.tls.key).write_text(key)
        view = subject.gateway.view()
        assert (
            f"certificate {certificates.tls.certificate} with key {certificates.tls.key} cannot be used" in view.problem
        )
        assert _same(before, shown_certificate(subject.address))
        Path(certificates.tls.key).write_text(new_key)
        subject.until(lambda view: not view.problem and _same(after, shown_certificate(subject.address)))

    def test_a_certificate_that_comes_late_is_taken(
        self, open_gateway: Open, certificates: Certificates, replica: Make, client: Connect
    ) -> None:
        """A gateway started without its files says so, and serves as soon as they are there."""
        subject = open_gateway(tls=certificates.tls)
        only = replica()
        subject.gateway.route(to(only.endpoint))
        subject.until(lambda view: "cannot be used" in view.problem)
        trusted = certificates.renew()
        subject.until(lambda view: view.settled and passage_of(view, only.endpoint).serving and not view.problem)
        assert only.endpoint.host.encode() == client(subject.address, trusted=trusted).who(b"", timeout=30.0)

    def test_tls_can_be_turned_on_while_envoy_runs(
        self, open_gateway: Open, certificates: Certificates, replica: Make, client: Connect
    ) -> None:
        """The same process and port; clients connected before are served on, new ones need TLS."""
        trusted = certificates.renew()
        subject = open_gateway()
        only = replica()
        subject.serve(only.endpoint)
        connected, pid = client(subject.address), subject.pid()
        connected.who(b"", timeout=30.0)
        subject.reopen(tls=certificates.tls)
        subject.offer(to(only.endpoint))
        assert only.endpoint.host.encode() == client(subject.address, trusted=trusted).who(b"", timeout=30.0)
        assert only.endpoint.host.encode() == connected.who(b"", timeout=30.0)
        assert pid == subject.pid()


def _same(one: bytes, other: bytes) -> bool:
    return ssl.PEM_cert_to_DER_cert(one.decode()) == ssl.PEM_cert_to_DER_cert(other.decode())
