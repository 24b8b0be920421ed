"""Clients that ask a server without a pause, each over a connection of its own that it keeps, and count what came."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import attrs
import grpc

from roadstead_plugins.runtimes.tf_serving.protos import prediction_service_pb2_grpc
from roadstead_plugins.runtimes.tf_serving.tensors import array_of
from tests.tf_serving.conftest import predict_request

REFUSED = "refused"
"""Nobody took the request: it can be sent elsewhere."""

_PAUSE = 0.01
"""Seconds before the next try of a client that was refused."""


@attrs.frozen(kw_only=True)
class Sent:
    """One request: when it was sent, when its end came, and the end: a version and its number, or a failure."""

    at: float
    till: float
    end: tuple[int, float] | str


@attrs.define
class Tally:
    """What all clients saw so far."""

    sent: list[Sent] = attrs.field(factory=list)

    def ends(self, *, since: float = 0.0, until: float = float("inf")) -> Counter[tuple[int, float] | str]:
        """Count how the requests ended that were sent in a time."""
        return Counter(one.end for one in self.sent if since <= one.at < until)


@contextmanager
def clients(host: str, *, over_grpc: int = 0, over_rest: int = 0, deadline: float = 20) -> Iterator[Tally]:
    """Ask the model ``default`` for ``x = 4`` from so many clients while the block runs.

    Over REST an answer does not say its version: it counts as version 0.
    """
    tally, stop = Tally(), threading.Event()
    ways = [*([_over_grpc] * over_grpc), *([_over_rest] * over_rest)]
    threads = [threading.Thread(target=way, args=(host, tally, stop, deadline)) for way in ways]
    for thread in threads:
        thread.start()
    try:
        yield tally
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _over_grpc(host: str, tally: Tally, stop: threading.Event, deadline: float) -> None:
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    with grpc.insecure_channel(f"{host}:8500", options=options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        while not stop.is_set():
            at = time.monotonic()
            try:
                response = stub.Predict(predict_request(x=[4]), timeout=deadline)
                end: tuple[int, float] | str = (
                    response.model_spec.version.value,
                    float(array_of(response.outputs["y"])[0]),
                )
            except grpc.RpcError as error:
                end = f"{error.code().name}: {error.details()}"
                if "Failed to connect" in end:
                    end = REFUSED
            tally.sent.append(Sent(at=at, till=time.monotonic(), end=end))
            if end == REFUSED:
                stop.wait(_PAUSE)


def _over_rest(host: str, tally: Tally, stop: threading.Event, deadline: float) -> None:
    with closing(http.client.HTTPConnection(host, 8501, timeout=deadline)) as connection:
        while not stop.is_set():
            at = time.monotonic()
            try:
                connection.request("POST", "/v1/models/default:predict", b'{"inputs": [4]}')
                response = connection.getresponse()
                body = json.loads(response.read())
                end: tuple[int, float] | str = (0, body["outputs"][0]) if response.status == 200 else str(body)
            except (ConnectionError, http.client.HTTPException, OSError) as error:
                connection.close()
                # RemoteDisconnected is one of these: the connection was closed before any byte of an answer.
                end = REFUSED if isinstance(error, ConnectionError) else repr(error)
            tally.sent.append(Sent(at=at, till=time.monotonic(), end=end))
            if end == REFUSED:
                stop.wait(_PAUSE)
