"""TensorFlow Serving's REST API as an ASGI application.

Served by uvicorn with h11 and nothing else: for three routes that are matched by TensorFlow Serving's own expressions a
framework would only be memory (uvicorn and h11: 0.09 s and 13 MB; the standard library's server is no smaller, and does
not take chunked bodies, which proxies send).
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NoReturn
from urllib.parse import unquote_to_bytes

import attrs
from google.protobuf import json_format
from google.protobuf.message import Message

from roadstead_plugins.runtimes.tf_serving.protos import get_model_metadata_pb2
from roadstead_plugins.runtimes.tf_serving.server import json_tensors
from roadstead_plugins.runtimes.tf_serving.server.door import Door
from roadstead_plugins.runtimes.tf_serving.server.grpc_api import SIGNATURE_DEF, metadata, status_response
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics
from roadstead_plugins.runtimes.tf_serving.server.predict import Predictor, Target
from roadstead_plugins.runtimes.tf_serving.server.status import HTTP_STATUS, Code, ServingError, invalid

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

MAX_BODY: Final = 256 * 1024 * 1024
"""Bytes; a larger request is refused."""

_MODEL: Final = r"/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_PREDICT: Final = re.compile(rf"(?i){_MODEL}:(classify|regress|predict)")
_STATUS: Final = re.compile(
    r"(?i)/v1/models(?:/([^/:]+))?(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?(?:/(metadata))?"
)


@attrs.frozen(kw_only=True)
class Reply:
    """A finished answer."""

    body: str
    code: Code = Code.OK
    content_type: str = "application/json"


@attrs.frozen(kw_only=True)
class RestApi:
    """The application; ``metrics_path`` is where metrics are, ``None`` for nowhere, and ``timeout`` is in seconds."""

    predictor: Predictor
    metrics: Metrics
    door: Door
    metrics_path: str | None
    timeout: float

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens with one of JSON."""
        assert scope["type"] == "http", scope["type"]  # uvicorn is told not to offer lifespan and web sockets
        with self.door.call():
            await _write(await self._reply(scope, receive), send, closing=self.door.closing)

    async def _reply(self, scope: MutableMapping[str, Any], receive: Receive) -> Reply:
        raw_path: bytes = scope["raw_path"]
        path = raw_path.split(b"?")[0].decode("ascii", errors="replace")
        try:
            async with asyncio.timeout(self.timeout):
                body = await _read(receive)
                return await self._answer(scope["method"], path, body)
        except ServingError as error:
            return Reply(body=_error(error.message), code=error.code)
        except TimeoutError:
            return Reply(body=_error(f"no answer within {self.timeout:g} s"), code=Code.DEADLINE_EXCEEDED)

    async def _answer(self, method: str, path: str, body: bytes) -> Reply:
        if self.metrics_path is not None and path == self.metrics_path and method == "GET":
            return Reply(body=self.metrics.page(), content_type="text/plain")
        if method == "POST" and (found := _PREDICT.fullmatch(path)):
            return await self._call(_target(found), found[4].lower(), body)
        if method == "GET" and (found := _STATUS.fullmatch(path)):
            if found[1] is None:
                raise invalid("Missing model name in request.")
            target = _target(found)
            if found[4]:
                return Reply(body=_metadata_body(metadata(self.predictor.models, target)))
            statuses = self.predictor.models.statuses(target.name, version=target.version, label=target.label)
            return Reply(body=_json(status_response(statuses)))
        if path.lower().startswith("/v1/"):
            raise invalid(f"Malformed request: {method} {path}")
        raise ServingError(Code.NOT_FOUND, f"nothing at {path}; models are under /v1/models/NAME")

    async def _call(self, target: Target, method: str, body: bytes) -> Reply:
        started = asyncio.get_running_loop().time()
        try:
            reply = await self._predict(target, body) if method == "predict" else _refusal(method)
        except ServingError as error:
            self.metrics.request(target.name, error.code)
            raise
        except asyncio.CancelledError:  # our own time limit
            self.metrics.request(target.name, Code.DEADLINE_EXCEEDED)
            raise
        self.metrics.request(target.name, Code.OK)
        seconds = asyncio.get_running_loop().time() - started
        self.metrics.succeeded(target.name, api=method, entrypoint="REST", seconds=seconds)
        return reply

    async def _predict(self, target: Target, body: bytes) -> Reply:
        request = json_tensors.read(body)
        target = attrs.evolve(target, signature=request.signature)
        answer = await self.predictor.predict(target, lambda signature: json_tensors.inputs_of(request, signature))
        return Reply(body=json_tensors.answer(answer.outputs, by_row=request.by_row))


def _refusal(method: str) -> NoReturn:
    raise ServingError(
        Code.UNIMPLEMENTED,
        f"{method} is not implemented by Roadstead's embedded server; use predict, or engine tensorflow_model_server",
    )


def _target(found: re.Match[str]) -> Target:
    version = int(found[2]) if found[2] else None
    if version is not None and version >= 2**63:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return Target(name=_unquoted(found[1]), version=version, label=_unquoted(found[3]) if found[3] else None)


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode(errors="replace")


async def _read(receive: Receive) -> bytes:
    parts = []
    size = 0
    while True:
        event = await receive()
        part: bytes = event.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            raise ServingError(Code.RESOURCE_EXHAUSTED, f"request body is larger than {MAX_BODY} bytes")
        parts.append(part)
        if not event.get("more_body"):
            return b"".join(parts)


async def _write(reply: Reply, send: Send, *, closing: bool) -> None:
    body = reply.body.encode()
    headers = [(b"content-type", reply.content_type.encode()), (b"content-length", str(len(body)).encode())]
    if closing:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": HTTP_STATUS[reply.code], "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _error(message: str) -> str:
    return f'{{\n    "error": {json.dumps(message)}\n}}'


def _json(message: Message) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1
    )


def _metadata_body(response: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """Return the message as TensorFlow Serving prints it: with the signatures unpacked in place."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    return f'{{\n"model_spec":{_json(response.model_spec)},\n"metadata": {{"signature_def": {_json(signatures)}}}\n}}\n'
