"""A server to put the proxy in front of: it counts what it really does, and streams what a test hands it."""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Origin", "origin"]


class Origin:
    """``GET /count`` and ``POST /count`` answer with how often they were carried out; ``GET /stream`` sends pieces."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.counts: dict[str, int] = {}
        self.bodies: list[bytes] = []
        self.pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.stream_ended = threading.Event()
        self._lock = threading.Lock()

    def carry_out(self, method: str, body: bytes) -> bytes:
        """Count a request and return its answer."""
        with self._lock:
            self.counts[method] = self.counts.get(method, 0) + 1
            self.bodies.append(body)
            return b"%s %d\n" % (method.encode(), self.counts[method])


@contextmanager
def origin(tls: ssl.SSLContext | None = None) -> Iterator[Origin]:
    """Run a server on loopback meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/stream"):
                self._stream()
            else:
                self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = served.carry_out(self.command, body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("X-Origin", "yes")
            self.end_headers()
            self.wfile.write(answer)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while (piece := served.pieces.get()) is not None:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True
            served.stream_ended.set()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls is not None else "http"
    served = Origin(f"{scheme}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.pieces.put(None)
        server.shutdown()
        server.server_close()
        thread.join()
