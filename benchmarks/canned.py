"""A server that answers every request with the same embedding, without a model: what is left is the generator's cost.

    python -m benchmarks.canned 127.77.0.9

listens on ports 8500 (gRPC, as TensorFlow Serving's PredictionService) and 8501 (REST) of that address until it is told
to end. Both sides answer from bytes that are made once.
"""

import asyncio
import json
import signal
import sys
from typing import Any, Final

import grpc
import numpy as np

from roadstead_plugins.runtimes.tf_serving.protos import get_model_metadata_pb2, predict_pb2, types_pb2
from roadstead_plugins.runtimes.tf_serving.tensors import proto_of

GRPC_PORT: Final = 8500
REST_PORT: Final = 8501
VALUES: Final = np.linspace(-1, 1, 384, dtype=np.float32).reshape(1, 384)
REQUEST: Final = {"inputs": {"input_ids": [[101, *range(2000, 2014), 102]], "attention_mask": [[1] * 16]}}
ANSWER: Final = {"outputs": {"embedding": VALUES.tolist()}}
"""As JSON, and as every request is answered."""

_SERVICE: Final = "tensorflow.serving.PredictionService"


def metadata() -> bytes:
    """Return the signatures of a model that takes ids and a mask, and gives an embedding."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    for name in ("input_ids", "attention_mask"):
        signature.inputs[name].dtype = types_pb2.DT_INT32
    signature.outputs["embedding"].dtype = types_pb2.DT_FLOAT
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(signatures)
    encoded: bytes = response.SerializeToString()
    return encoded


def answer() -> bytes:
    """Return the answer as a message."""
    response = predict_pb2.PredictResponse()
    response.model_spec.version.value = 1
    response.outputs["embedding"].CopyFrom(proto_of(VALUES))
    encoded: bytes = response.SerializeToString()
    return encoded


class Rest(asyncio.Protocol):
    """One connection: whatever is asked is answered with the same bytes."""

    _BODY: Final = json.dumps({"outputs": VALUES.tolist()}).encode()
    _HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    _REPLY: Final = _HEAD % len(_BODY) + _BODY

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._left = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._left += data
        while (end := self._left.find(b"\r\n\r\n")) >= 0:
            head = self._left[:end].lower()
            size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
            if len(self._left) < end + 4 + size:
                return
            self._left = self._left[end + 4 + size :]
            self._transport.write(self._REPLY)


def handlers() -> grpc.GenericRpcHandler:
    """Return the two methods that a load generator calls."""
    replies = {"Predict": answer(), "GetModelMetadata": metadata()}

    def handler(reply: bytes) -> Any:
        async def give(request: bytes, context: object) -> bytes:  # noqa: ARG001  # gRPC passes them
            return reply

        return grpc.unary_unary_rpc_method_handler(give)

    return grpc.method_handlers_generic_handler(_SERVICE, {name: handler(reply) for name, reply in replies.items()})


async def serve(host: str) -> None:
    """Serve until SIGTERM; says a word on stdout when it does."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(),))
    server.add_insecure_port(f"{host}:{GRPC_PORT}")
    await server.start()
    rest = await loop.create_server(Rest, host, REST_PORT)
    print("serving", flush=True)
    await over.wait()
    rest.close()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
