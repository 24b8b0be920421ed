"""Speaking TLS to a gateway whose certificate names something else than its address."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from roadstead.cli.trust import Trust


@attrs.frozen
class Server:
    """A server over TLS, and the certificate that it shows."""

    port: int
    certificate: str


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as its base has it
        """Say nothing."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on loopback whose certificate is for ``models.test`` only."""
    folder = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl is not installed"
    ask = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"]
    name = ["-addext", "subjectAltName=DNS:models.test"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([openssl, *ask, *name, *files], check=True, capture_output=True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as made:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        made.socket = context.wrap_socket(made.socket, server_side=True)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Server(made.server_address[1], str(folder / "cert.pem"))
        made.shutdown()
        thread.join()


def asked(server: Server, trust: Trust) -> int:
    """Ask the server for anything and return the status of its answer."""
    connection = trust.connection("127.0.0.1", server.port, 10.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_certificate_is_held_to_the_name_that_was_given(server: Server) -> None:
    """The address stays what it is; only what stands in the certificate has another name."""
    assert 204 == asked(server, Trust(ca=server.certificate, name="models.test"))


@pytest.mark.parametrize(
    ("trusts", "name", "said"),
    [(False, "models.test", "self-signed"), (True, None, "127.0.0.1"), (True, "other.test", "other.test")],
)
def test_nobody_is_believed_without_reason(server: Server, name: str | None, said: str, *, trusts: bool) -> None:
    """Neither a certificate that nobody vouches for, nor one that is somebody else's."""
    with pytest.raises(ssl.SSLCertVerificationError, match=said):
        asked(server, Trust(ca=server.certificate if trusts else None, name=name))


def test_a_file_that_is_no_certificate_is_an_error_of_tls(tmp_path: Path, server: Server) -> None:
    """It is told like every other reason why a server cannot be trusted."""
    (tmp_path / "ca.pem").write_text("no PEM at all")
    with pytest.raises(ssl.SSLError):
        asked(server, Trust(ca=str(tmp_path / "ca.pem")))
