"""A server that behaves as the name of the model asks it to: ``python -m tests.load.canned HOST [TLS]``.

It speaks enough of TensorFlow Serving's gRPC (port 8500) and REST (port 8501) for a load. Every model takes a list of
numbers ``x`` and answers ``y``, the halves of them, from version 1, except that

``off``      answers numbers that are 0.01 too large
``third``    answers from version 3
``empty``    answers without any output
``garbage``  answers bytes that are no answer
``busy``     refuses: RESOURCE_EXHAUSTED, or 503
``silent``   does not answer for a minute
``rude``     closes the connection instead of answering (REST only)
``chunked``  answers in chunks, and then wants the connection closed (REST only)
``unknown``  is not there
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from roadstead_plugins.runtimes.tf_serving.protos import get_model_metadata_pb2, predict_pb2, types_pb2
from roadstead_plugins.runtimes.tf_serving.tensors import array_of, proto_of

_SILENCE = 60.0


def _metadata(body: bytes, context: grpc.ServicerContext) -> bytes:
    name = get_model_metadata_pb2.GetModelMetadataRequest.FromString(body).model_spec.name
    if name == "unknown":
        context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(unknown)")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.inputs["x"].dtype = types_pb2.DT_FLOAT
    signature.outputs["y"].dtype = types_pb2.DT_FLOAT
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(signatures)
    encoded: bytes = response.SerializeToString()
    return encoded


def _predict(body: bytes, context: grpc.ServicerContext) -> bytes:
    request = predict_pb2.PredictRequest.FromString(body)
    name = request.model_spec.name
    if name == "busy":
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")
    if name == "garbage":
        return b"\xff"
    if name == "silent":
        over = threading.Event()
        context.add_callback(over.set)  # when the client has given up, so that no thread of the pool is held
        over.wait(_SILENCE)
    response = predict_pb2.PredictResponse()
    response.model_spec.version.value = 3 if name == "third" else 1
    if name != "empty":
        off = 0.01 if name == "off" else 0.0
        response.outputs["y"].CopyFrom(proto_of((array_of(request.inputs["x"]) / 2 + off).astype(np.float32)))
    encoded: bytes = response.SerializeToString()
    return encoded


class Rest(BaseHTTPRequestHandler):
    """The REST side."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # http.server calls it so
        """Say that the model is there."""
        if self._model() == "unknown":
            self._answer(404, {"error": "Could not find any versions of model unknown"})
        else:
            self._answer(200, {"model_version_status": []})

    def do_POST(self) -> None:
        """Answer."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = self._model()
        if name == "rude":
            self.close_connection = True
            return
        if name == "silent":
            time.sleep(_SILENCE)
        off = 0.01 if name == "off" else 0.0
        rows = asked["inputs"]["x"] if "inputs" in asked else asked["instances"]
        document = {"outputs" if "inputs" in asked else "predictions": [value / 2 + off for value in rows]}
        if name == "busy":
            self._answer(503, {"error": "the queue is full"})
        elif name == "chunked":
            self._chunks(json.dumps(document).encode())
        else:
            self._answer(200, {} if name == "empty" else None if name == "garbage" else document)

    def _model(self) -> str:
        return self.path.removeprefix("/v1/models/").partition(":")[0]

    def _answer(self, status: int, document: Any) -> None:
        body = b"{" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunks(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("connection", "close")
        self.end_headers()
        for part in (body[:5], body[5:]):
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def serve(host: str, tls: Path | None) -> None:
    """Serve until the process ends; says a word on stdout when both ports are open.

    ``tls`` is a folder with cert.pem and key.pem.
    """
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    handlers = {"Predict": _predict, "GetModelMetadata": _metadata}
    methods: dict[str, Any] = {name: grpc.unary_unary_rpc_method_handler(one) for name, one in handlers.items()}
    service = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods)
    server.add_generic_rpc_handlers((service,))
    rest = _Listener((host, 8501), Rest)
    if tls is None:
        server.add_insecure_port(f"{host}:8500")
    else:
        pair = ((tls / "key.pem").read_bytes(), (tls / "cert.pem").read_bytes())
        server.add_secure_port(f"{host}:8500", grpc.ssl_server_credentials([pair]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
        rest.socket = context.wrap_socket(rest.socket, server_side=True)
    server.start()
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]) if sys.argv[2:] else None)
