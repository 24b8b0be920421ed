"""Requests and answers, as values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import attrs

__all__ = ["Answer", "Request", "deployed", "html_error", "json_answer", "reason_of", "text_of", "wired"]

_BUFFERED: Final = 8_192
"""What is longer is sent in chunks, without its length."""
_REASONS: Final = {422: "", 302: "Found", 413: "Request Entity Too Large"}


@attrs.frozen(kw_only=True)
class Request:
    """A request; ``path`` is decoded, ``query`` in the order in which it was sent, header names in lower case."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    client: str = "127.0.0.1"
    uri: str = ""
    """The path as it was sent."""

    def values(self, name: str) -> list[str]:
        """Every value of a parameter."""
        return [value for key, value in self.query if key == name]

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A parameter that is true or false; whatever is not ``true`` is false."""
        values = self.values(name)
        return values[0].lower() == "true" if values else default

    def header(self, name: str) -> str | None:
        """A header."""
        return self.headers.get(name)


@attrs.frozen(kw_only=True)
class Answer:
    """An answer; ``headers`` come on top of those that all answers have."""

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    content_type: str | None = "application/json"
    relative: bool = False
    """Whether ``Location`` stays as it is, without scheme and host."""
    reason: str | None = None
    """The words of the status line where they are not the usual ones."""
    varies: str | None = None
    """The header of the request that the answer was chosen by."""
    length: int | None = None
    """The length to state where there is no body to measure: of what a GET would get."""


def wired(answer: Answer) -> list[tuple[str, str]]:
    """The headers of an answer in the order in which they are sent, all but those of the connection."""
    late = ("Vary", "Content-Encoding") if "X-Marathon-Via" not in answer.headers else ()
    found = [(name, value) for name, value in answer.headers.items() if name not in late]
    if answer.content_type is not None:
        found.append(("Content-Type", answer.content_type))
    if answer.varies is not None:
        found.append(("Vary", answer.varies))
    found += [(name, answer.headers[name]) for name in late if name in answer.headers]
    length = answer.length if answer.length is not None else len(answer.body)
    if length <= _BUFFERED and answer.status != 204:
        found.append(("Content-Length", str(length)))
    return found


def text_of(value: Any) -> str:
    """JSON as Jackson writes it: compact, and what is no number as text."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    return Answer(status=status, headers=headers or {}, body=text_of(value).encode())


def deployed(deployment_id: str, version: str, *, status: int = 200, location: str | None = None) -> Answer:
    """The answer to what began a deployment."""
    headers = {"Marathon-Deployment-Id": deployment_id}
    if location is not None:
        headers = {"Location": location, **headers}
    return json_answer({"deploymentId": deployment_id, "version": version}, status, headers)


def reason_of(status: int) -> str:
    """The words of the status line; Jersey has none for 422."""
    return _REASONS[status] if status in _REASONS else HTTPStatus(status).phrase


def html_error(status: int, path: str, reason: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """An error page of Jetty."""
    words = reason or reason_of(status)
    body = (
        '<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>\n'
        f"<title>Error {status} {words}</title>\n</head>\n<body><h2>HTTP ERROR {status}</h2>\n"
        f"<p>Problem accessing {path}. Reason:\n<pre>    {words}</pre></p>\n</body>\n</html>\n"
    )
    shown = {"Cache-Control": "must-revalidate,no-cache,no-store", **(headers or {})}
    return Answer(
        status=status, headers=shown, body=body.encode(), content_type="text/html;charset=iso-8859-1", reason=words
    )
