"""Calling ``Predict`` over gRPC, with messages that are bytes before the first one is sent.

What one call costs is gRPC's own, a fifth of a millisecond of CPU. Neither its futures nor blocking threads are cheaper
than its asyncio, and that needs one thread however much is on its way.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from roadstead.spi.load import OK, Destination, Judgement, NotConnected, Reply, Unfit, Work
from roadstead_plugins.runtimes.tf_serving.load.references import References
from roadstead_plugins.runtimes.tf_serving.load.refusals import hint_for
from roadstead_plugins.runtimes.tf_serving.protos import get_model_metadata_pb2, meta_graph_pb2, predict_pb2
from roadstead_plugins.runtimes.tf_serving.server import json_tensors
from roadstead_plugins.runtimes.tf_serving.server.predict import DEFAULT_SIGNATURE
from roadstead_plugins.runtimes.tf_serving.server.status import ServingError
from roadstead_plugins.runtimes.tf_serving.tensors import TensorError, array_of, proto_of

__all__ = ["GrpcCaller"]

_SERVICE: Final = "/tensorflow.serving.PredictionService"
_SIGNATURES: Final = "signature_def"
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),  # a request that failed has failed
    ("grpc.use_local_subchannel_pool", 1),  # else all channels to one address would share one connection
    # What is measured is for how long a server is away, not for how long we wait before we look again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # for this long one attempt may take
    ("grpc.max_receive_message_length", -1),
)
_ON_THE_WAY: Final = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)
_UNFIT: Final = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT})

Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
Signatures: TypeAlias = Mapping[str, meta_graph_pb2.SignatureDef]


class GrpcCaller:
    """Channels, each with a connection of its own, used in turn."""

    def __init__(self, destination: Destination, work: Work) -> None:
        self._destination = destination
        self._work = work
        self._references = References.of(work)
        self._channels: list[grpc.aio.Channel] = []
        self._predict: Iterator[Method] = iter(())
        self._messages: Sequence[bytes] = ()

    async def connect(self, *, within: float) -> None:
        """Open the channels, and write the requests by the model's signatures, for which the server is asked.

        A channel that cannot connect stays as it is: its requests will fail.
        """
        addresses = itertools.cycle(self._destination.addresses)
        self._channels = [self._channel(next(addresses)) for _ in range(self._destination.connections)]
        connecting = [asyncio.create_task(_connected_or_not(channel)) for channel in self._channels]
        try:
            signatures = await self._signatures(within)
            await asyncio.wait(connecting, timeout=within)
        finally:
            for task in connecting:
                task.cancel()
            await asyncio.gather(*connecting, return_exceptions=True)
        self._messages = [
            _message(self._work.model, number, request, signatures)
            for number, request in enumerate(self._work.requests, start=1)
        ]
        self._predict = itertools.cycle([channel.unary_unary(f"{_SERVICE}/Predict") for channel in self._channels])

    async def call(self, request: int, *, within: float) -> Reply:
        """Send one request."""
        method = next(self._predict)
        try:
            return Reply(code=OK, body=await method(self._messages[request], timeout=within))
        except grpc.aio.AioRpcError as error:
            return Reply(code=error.code().name, detail=error.details() or "")

    def judge(self, request: int, reply: Reply) -> Judgement:
        """Return what an answer is: its message says which version gave it."""
        try:
            response = predict_pb2.PredictResponse.FromString(reply.body)
            outputs = {name: array_of(tensor) for name, tensor in response.outputs.items()}
        except (DecodeError, TensorError) as error:
            return Judgement(wrong=f"not a PredictResponse: {error}")
        return self._references.judgement(request, outputs, response.model_spec.version.value)

    async def close(self) -> None:
        """Close every channel."""
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def _channel(self, address: str) -> grpc.aio.Channel:
        encryption = self._destination.encryption
        if encryption is None:
            return grpc.aio.insecure_channel(address, options=_OPTIONS)
        name = encryption.server_name
        named = (("grpc.ssl_target_name_override", name),) if name is not None else ()
        credentials = grpc.ssl_channel_credentials(encryption.authority)
        return grpc.aio.secure_channel(address, credentials, options=(*_OPTIONS, *named))

    async def _signatures(self, within: float) -> Signatures:
        """Return the model's signatures as the first server tells them that answers."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[_SIGNATURES])
        request.model_spec.name = self._work.model
        message = request.SerializeToString()
        refusals = []
        for channel, address in zip(self._channels, self._destination.addresses, strict=False):
            try:
                body: bytes = await channel.unary_unary(f"{_SERVICE}/GetModelMetadata")(message, timeout=within)
            except grpc.aio.AioRpcError as error:
                told = f"{address}: {error.code().name}: {error.details()}"
                if error.code() in _UNFIT:
                    raise Unfit(told, hint="which models it serves is its own to say; --model names one") from error
                refusals.append(told)
            else:
                return _signatures_in(body)
        told = "; ".join(refusals)
        raise NotConnected(told, hint=hint_for(told))


async def _connected_or_not(channel: grpc.aio.Channel) -> None:
    while (state := channel.get_state(try_to_connect=True)) in _ON_THE_WAY:
        await channel.wait_for_state_change(state)


def _signatures_in(body: bytes) -> Signatures:
    found = get_model_metadata_pb2.SignatureDefMap()
    get_model_metadata_pb2.GetModelMetadataResponse.FromString(body).metadata[_SIGNATURES].Unpack(found)
    signatures: Signatures = found.signature_def
    return signatures


def _message(model: str, number: int, document: Mapping[str, Any], signatures: Signatures) -> bytes:
    """Return a request in JSON as a message; what type a number has only the signature says."""
    try:
        read = json_tensors.read(json.dumps(document).encode())
        signature = signatures.get(read.signature or DEFAULT_SIGNATURE)
        if signature is None:
            raise Unfit(
                f"request {number}: the model has no signature {read.signature or DEFAULT_SIGNATURE!r}",
                hint=f"it has: {', '.join(sorted(signatures)) or 'none'}",
            )
        inputs = json_tensors.inputs_of(read, signature)
    except ServingError as error:
        raise Unfit(f"request {number}: {error.message}", hint="`roadstead predict --help` shows one") from error
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = read.signature
    for name, array in inputs.items():
        message.inputs[name].CopyFrom(proto_of(array, as_content=array.dtype.kind != "O"))
    encoded: bytes = message.SerializeToString()
    return encoded
