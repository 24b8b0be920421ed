"""Asking and telling a server over gRPC. Imported at the first call: gRPC and the messages are 25 MB."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import grpc

from roadstead.world import Endpoint
from roadstead_plugins.runtimes.tf_serving.answers import Answer, NoAnswer, VersionState
from roadstead_plugins.runtimes.tf_serving.protos import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    status_pb2,
)

__all__ = ["Channels", "serve", "versions"]

_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),  # replicas are where we put them, never behind a proxy
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # how long an attempt may take: a server without CPU at the moment is slow
    ("grpc.max_reconnect_backoff_ms", 1000),  # two minutes by default: a server would be up and not be seen
)
_KEPT: Final = 256


class Channels:
    """Open channels, one for each server process, the least used closed when there are many. For several threads.

    A restarted server gets a new channel, by its ``incarnation``: an old one may be waiting to try again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[Endpoint, str], grpc.Channel] = OrderedDict()

    def to(self, endpoint: Endpoint, incarnation: str) -> grpc.Channel:
        """Return the channel to one server process."""
        key = (endpoint, incarnation)
        with self._lock:
            channel = self._open.pop(key, None)
            if channel is None:
                for stale in [other for other in self._open if other[0] == endpoint]:
                    self._open.pop(stale).close()
                host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
                channel = grpc.insecure_channel(f"{host}:{endpoint.grpc}", options=_OPTIONS)
            self._open[key] = channel
            while len(self._open) > _KEPT:
                self._open.popitem(last=False)[1].close()
            return channel

    def close(self) -> None:
        """Close every channel."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()


def versions(channel: grpc.Channel, name: str, *, timeout: float) -> Answer:
    """Return the state of every version that the server knows of a model, or why there is no answer."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    try:
        response = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=timeout)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return ()
        return NoAnswer(_text(error), late=error.code() is grpc.StatusCode.DEADLINE_EXCEEDED)
    except ValueError as error:  # the channel was closed under the call: too many servers, or this one was replaced
        return NoAnswer(str(error))
    return tuple(_state(entry) for entry in response.model_version_status)


def _state(entry: Any) -> VersionState:
    code = entry.status.error_code
    name = status_pb2.DESCRIPTOR.message_types_by_name["StatusProto"].fields_by_name["error_code"].enum_type
    return VersionState(
        version=entry.version,
        state=get_model_status_pb2.ModelVersionStatus.State.Name(entry.state),
        error=f"{name.values_by_number[code].name}: {entry.status.error_message}" if code else "",
    )


def serve(channel: grpc.Channel, name: str, base_path: str, versions: Iterable[int], *, timeout: float) -> str:
    """Tell the server to serve exactly ``versions``, from ``base_path`` as it sees it; return why it refused, if so."""
    request = model_management_pb2.ReloadConfigRequest()
    config = request.config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    config.model_version_policy.specific.versions.extend(sorted(versions))
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    try:
        response = stub.HandleReloadConfigRequest(request, timeout=timeout)
    except grpc.RpcError as error:
        return _text(error)
    return str(response.status.error_message) if response.status.error_code else ""


def _text(error: grpc.RpcError) -> str:
    return f"{error.code().name}: {error.details()}"
