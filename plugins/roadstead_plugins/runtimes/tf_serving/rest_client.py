"""Asking a server over REST, with the standard library: where gRPC is not installed, and for the canary."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from roadstead.world import Endpoint
from roadstead_plugins.runtimes.tf_serving.answers import Answer, NoAnswer, VersionState

__all__ = ["canary", "text_at", "versions"]


def versions(endpoint: Endpoint, name: str, *, timeout: float) -> Answer:
    """Return the state of every version that the server knows of a model, or why there is no answer."""
    try:
        status, body = _call(endpoint, "GET", f"/v1/models/{quote(name)}", None, timeout)
    except (OSError, http.client.HTTPException) as error:
        return NoAnswer(f"no answer from {endpoint.host}:{endpoint.rest}: {_why(error)}")
    if status == 404:
        return ()
    if status != 200:
        return NoAnswer(f"REST status of model {name}: {status} {_error_text(body)}")
    try:
        return tuple(_state(entry) for entry in json.loads(body)["model_version_status"])
    except (ValueError, KeyError, TypeError) as error:
        return NoAnswer(f"not TensorFlow Serving at {endpoint.host}:{endpoint.rest}: {body[:200]!r} ({error!r})")


def _state(entry: Mapping[str, Any]) -> VersionState:
    status = entry.get("status", {})
    code = str(status.get("error_code", "OK"))
    error = "" if code == "OK" else f"{code}: {status.get('error_message', '')}"
    return VersionState(version=int(entry["version"]), state=str(entry["state"]), error=error)


def canary(endpoint: Endpoint, name: str, version: int, body: str, *, timeout: float) -> str | NoAnswer:
    """Send a predict request and return what is wrong with the answer, empty if nothing is."""
    path = f"/v1/models/{quote(name)}/versions/{version}:predict"
    try:
        status, answer = _call(endpoint, "POST", path, body.encode(), timeout)
    except (OSError, http.client.HTTPException) as error:
        return NoAnswer(f"the canary got no answer: {_why(error)}")
    return "" if status == 200 else f"the canary was answered {status}: {_error_text(answer)}"


def text_at(endpoint: Endpoint, path: str, *, timeout: float) -> str | None:
    """Return what a server shows at a path, or ``None`` where there is no answer, or none of that."""
    try:
        status, body = _call(endpoint, "GET", path, None, timeout)
    except (OSError, http.client.HTTPException):
        return None
    return body.decode(errors="replace") if status == 200 else None


def _call(endpoint: Endpoint, method: str, path: str, body: bytes | None, timeout: float) -> tuple[int, bytes]:
    """Return status and body of one request. No proxy is ever asked: replicas are where we put them."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.rest, timeout=timeout)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _error_text(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return body[:200].decode(errors="replace")
    return str(document.get("error", document)) if isinstance(document, dict) else str(document)
