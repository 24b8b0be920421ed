"""A tiny replica: gRPC and REST, with requests that can be held; in this process, or one of its own to be killed.

Over gRPC (bytes in, bytes out): ``/test/Who`` answers the replica's address, ``/test/Hold`` does so once it is
released, ``/test/Size`` takes a stream and answers how many bytes came, ``/test/Echo`` is a stream both ways. Over
REST: ``/who``, ``/hold`` and ``/size`` are the same, ``/fail`` answers 500, and under ``/v1`` is the model's status.

``backend.py HOST GRPC REST MODEL`` runs one until it is killed.
"""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import grpc

from roadstead.spi.runtime import Check
from roadstead.traffic import Endpoint

__all__ = ["Replica", "check_of"]

_THREADS = 32


def check_of(model: str) -> Check:
    """Return what a replica of a model is asked."""
    return Check(f"/v1/models/{model}", '"AVAILABLE"')


class Replica:
    """Serves until it is closed; ``grpc`` or ``rest`` may be left out with ``None``."""

    def __init__(
        self, host: str, *, grpc_port: int | None = 8500, rest_port: int | None = 8501, model: str = "m"
    ) -> None:
        self.endpoint = Endpoint(host=host, grpc=grpc_port, rest=rest_port)
        self.model = model
        self.may_answer = threading.Event()
        self.holding: list[threading.Thread] = []
        self.answered = 0
        self._grpc = self._serve_grpc(host, grpc_port) if grpc_port is not None else None
        self._rest = _Rest((host, rest_port), self) if rest_port is not None else None

    def hold(self) -> None:
        """Wait until requests may be answered."""
        self.holding.append(threading.current_thread())
        self.may_answer.wait(120.0)

    def close(self) -> None:
        """Stop serving."""
        self.may_answer.set()
        if self._rest is not None:
            self._rest.shutdown()
            self._rest.server_close()
        if self._grpc is not None:
            self._grpc.stop(None).wait()

    def _serve_grpc(self, host: str, port: int) -> grpc.Server:
        server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="replica"), options=[("grpc.so_reuseport", 0)]
        )
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Who": grpc.unary_unary_rpc_method_handler(self._who),
            "Hold": grpc.unary_unary_rpc_method_handler(self._held),
            "Size": grpc.stream_unary_rpc_method_handler(self._size),
            "Echo": grpc.stream_stream_rpc_method_handler(self._echo),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
        server.add_insecure_port(f"{host}:{port}")
        server.start()
        return server

    def _who(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        self.answered += 1
        context.set_trailing_metadata((("replica", self.endpoint.host),))
        return self.endpoint.host.encode()

    def _held(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.hold()
        return self._who(request, context)

    def _size(self, requests: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
        return str(sum(len(request) for request in requests)).encode()

    def _echo(self, requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        yield from requests


class _Rest(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], replica: Replica) -> None:
        super().__init__(address, _Handler)
        self.replica = replica
        threading.Thread(target=self.serve_forever, args=(0.05,), name="replica-rest", daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that left: some tests are about just that."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the head and the body of an answer in one packet

    def do_GET(self) -> None:
        """Answer a request without a body."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a request with a body."""
        self._answer(self._body())

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        replica = cast("_Rest", self.server).replica
        status, text = 200, replica.endpoint.host
        if self.path == f"/v1/models/{replica.model}":
            text = '{"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}'
        elif self.path.startswith("/v1/"):
            status, text = 404, '{"error": "no such model"}'
        elif self.path == "/size":
            text = str(len(body))
        elif self.path == "/fail":
            status = 500
        elif self.path == "/hold":
            replica.hold()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    own_host, own_grpc, own_rest, own_model = sys.argv[1:]
    Replica(own_host, grpc_port=int(own_grpc), rest_port=int(own_rest), model=own_model)
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    threading.Event().wait()
