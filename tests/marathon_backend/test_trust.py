"""Who is believed, and who learns our secrets: TLS, certificates and tokens, of requests and of the stream."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.errors import Forbidden, Rejected, Unreachable
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.subscribing import Subscriber
from roadstead_backends.marathon.transport import Missed, Refused
from tests.cluster.certificates import Authority

LOOPBACK = IPv4Address("127.0.0.1")
EVENT = b'event: event_stream_attached\r\ndata: {"remoteAddress": "127.0.0.1"}\r\n\r\n'


@attrs.define
class Secured:
    """A Marathon behind TLS that wants a token: where it is, and what it was sent."""

    url: str
    token: str = "good"
    heard: list[str | None] = attrs.field(factory=list)
    sends_to: str | None = None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    secured: Secured

    def do_GET(self) -> None:
        """Answer whoever has the token."""
        said = self.headers.get("Authorization")
        self.secured.heard.append(said)
        if self.secured.sends_to is not None:
            self._answer(307, b"", {"Location": self.secured.sends_to})
        elif said != f"token={self.secured.token}":
            self._answer(401, b"<html>who are you</html>", {})
        elif self.path == "/v2/events":
            self._answer(200, EVENT, {"Content-Type": "text/event-stream"})
        else:
            self._answer(200, json.dumps({"version": "1.11.26"}).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Who signs everything here."""
    return Authority.create("tests", dt.datetime.now(dt.UTC))


@contextlib.contextmanager
def secured(folder: Path, authority: Authority, *, wants_certificate: bool = False) -> Iterator[Secured]:
    """Serve with a certificate for 127.0.0.1."""
    ours = authority.issue("marathon", addresses=(LOOPBACK,)).write(folder, "server")
    (folder / "ca.pem").write_bytes(authority.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ours)
    if wants_certificate:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found = Secured(f"https://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass.secured = found  # type: ignore[attr-defined]  # it is a handler of ours
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def options(found: Secured, folder: Path, **more: Any) -> MarathonOptions:
    """Return options with which it can be asked."""
    (folder / "token").write_text("good\n")
    said: dict[str, Any] = {"urls": (found.url,), "ca": folder / "ca.pem", "token_file": folder / "token", **more}
    return MarathonOptions(**said)


@contextlib.contextmanager
def asking(said: MarathonOptions) -> Iterator[Client]:
    """Ask with these options."""
    client = Client(said, cluster="dc1")
    try:
        yield client
    finally:
        client.close()


def first_piece(said: MarathonOptions) -> bytes:
    """Return what comes first over the stream of events."""
    stream = Subscriber(said)()
    try:
        return next(stream.pieces())
    finally:
        stream.close()


def test_a_token_goes_with_every_request_and_with_the_stream(tmp_path: Path, authority: Authority) -> None:
    """Marathon's own client forgets it on the stream."""
    with secured(tmp_path, authority) as found, asking(options(found, tmp_path)) as client:
        assert "1.11.26" == client.info().version
        assert "1.11.26" == client.info().version
        assert EVENT == first_piece(options(found, tmp_path))
        assert ["token=good"] * 3 == found.heard


def test_a_new_token_is_found_in_its_file_without_a_restart(tmp_path: Path, authority: Authority) -> None:
    """Each time that the old one is refused, once; the stream reads it for each connection."""
    with secured(tmp_path, authority) as found, asking(options(found, tmp_path)) as client:
        assert "1.11.26" == client.info().version
        found.token = "new"
        with pytest.raises(Forbidden, match="401"):
            client.info()
        with pytest.raises(Refused):
            first_piece(options(found, tmp_path))
        (tmp_path / "token").write_text("new\n")
        assert "1.11.26" == client.info().version
        said = options(found, tmp_path)
        (tmp_path / "token").write_text("new\n")
        assert EVENT == first_piece(said)


def test_a_certificate_of_ours_is_shown_where_one_is_wanted(tmp_path: Path, authority: Authority) -> None:
    """And without it nobody answers."""
    certificate, key = authority.issue("roadstead").write(tmp_path, "client")
    with secured(tmp_path, authority, wants_certificate=True) as found:
        said = options(found, tmp_path, client_certificate=certificate, client_key=key)
        with asking(said) as client:
            assert "1.11.26" == client.info().version
        assert EVENT == first_piece(said)
        with asking(options(found, tmp_path)) as client, pytest.raises(Unreachable):
            client.info()
        with pytest.raises(Missed):
            first_piece(options(found, tmp_path))


def test_who_is_not_who_was_named_learns_nothing(tmp_path: Path, authority: Authority) -> None:
    """An authority that nobody named, or another name than the certificate's: no request is sent, nor the token."""
    with secured(tmp_path, authority) as found:
        other = tmp_path / "other.pem"
        other.write_bytes(Authority.create("others", dt.datetime.now(dt.UTC)).certificate)
        elsewhere = found.url.replace("127.0.0.1", "localhost")
        for said in (options(found, tmp_path, ca=other), options(found, tmp_path, urls=(elsewhere,))):
            with asking(said) as client, pytest.raises(Unreachable, match="not trusted"):
                client.info()
            with pytest.raises(Missed):
                first_piece(said)
        assert [] == found.heard


@pytest.mark.parametrize("target", ["http://127.0.0.1:9/v2/info", "http://marathon.example/v2/info"])
def test_nobody_is_followed_out_of_tls(tmp_path: Path, authority: Authority, target: str) -> None:
    """Whoever listens there would learn the token."""
    with secured(tmp_path, authority) as found:
        found.sends_to = target
        with asking(options(found, tmp_path)) as client, pytest.raises(Rejected, match="307"):
            client.info()
        with pytest.raises(Refused):
            first_piece(options(found, tmp_path))


def test_a_token_file_that_cannot_be_read_is_said(tmp_path: Path, authority: Authority) -> None:
    """Before anything is sent."""
    with secured(tmp_path, authority) as found:
        said = options(found, tmp_path)
        (tmp_path / "token").unlink()
        with asking(said) as client, pytest.raises(Forbidden, match="cannot be read"):
            client.info()
        assert [] == found.heard
