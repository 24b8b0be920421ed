"""What refusals and failures of the API server mean, as our errors."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

import pytest
import urllib3.exceptions as http
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import (
    BackendError,
    Conflict,
    Forbidden,
    OutcomeUnknown,
    OutOfCapacity,
    Rejected,
    Retryable,
    Unreachable,
)
from roadstead.spi.asked import Request
from roadstead_backends.kubernetes.faults import (
    AlreadyExists,
    Contested,
    Expired,
    FieldOwner,
    NotFound,
    failure,
    refusal,
)

_GET = Request(cluster="prod", method="GET", path="/api/v1/pods", subject="minilm-abc")
_POST = Request(cluster="prod", method="POST", path="/api/v1/pods", subject="minilm-abc")
_POOL: Any = None


def _status(message: str = "no", reason: str = "", **details: object) -> bytes:
    return json.dumps({"kind": "Status", "message": message, "reason": reason, "details": details}).encode()


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (400, _status(), Rejected),
        (401, _status("Unauthorized"), Forbidden),
        (403, _status('pods is forbidden: User "me" cannot list resource "pods"', "Forbidden"), Forbidden),
        (403, _status('pods "a" is forbidden: exceeded quota: q, requested: pods=1', "Forbidden"), OutOfCapacity),
        (403, _status('pods "a" is forbidden: violates PodSecurity "restricted:latest"', "Forbidden"), Rejected),
        (
            403,
            _status("namespace is being terminated", "Forbidden", causes=[{"reason": "NamespaceTerminating"}]),
            Rejected,
        ),
        (403, b"<html>a load balancer says no</html>", Forbidden),
        (404, _status(reason="NotFound"), NotFound),
        (409, _status(reason="AlreadyExists"), AlreadyExists),
        (409, _status(reason="Conflict"), Conflict),
        (410, _status(reason="Expired"), Expired),
        (422, _status(reason="Invalid"), Rejected),
        (429, _status(reason="TooManyRequests"), Retryable),
        (307, b"", Rejected),
        (501, b"", Rejected),
    ],
)
def test_a_refusal_is_one_of_our_errors(code: int, body: bytes, kind: type[BackendError]) -> None:
    """Whether it was a read or a write: the server has done nothing."""
    for request in (_GET, _POST):
        error = refusal(request, code, {}, body)
        assert (kind, "prod", "minilm-abc") == (type(error), error.cluster, error.subject)


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_server_that_fails_may_have_stored_it_before(code: int) -> None:
    """A read can be tried again; of a write nobody knows."""
    assert isinstance(refusal(_GET, code, {}, b""), Retryable)
    assert isinstance(refusal(_POST, code, {}, b""), OutcomeUnknown)


@pytest.mark.parametrize(
    ("headers", "body", "waits"),
    [
        ({"retry-after": "7"}, _status(), 7_000),
        ({}, _status(retryAfterSeconds=3), 3_000),
        ({"retry-after": "7"}, _status(retryAfterSeconds=3), 7_000),
        ({"retry-after": "86400"}, b"", 300_000),
        ({"retry-after": "soon"}, b"", None),
        ({"retry-after": "0"}, b"", None),
        ({}, b"", None),
    ],
)
def test_how_long_the_server_asks_to_be_left_alone(headers: dict[str, str], body: bytes, waits: int | None) -> None:
    """By the header or by the body, and not for ever."""
    for code in (410, 429, 500):
        error = refusal(_GET, code, headers, body)
        assert isinstance(error, Retryable)
        assert waits == error.after_ms


def test_an_apply_that_would_take_fields_names_who_has_them() -> None:
    """The message of a real server, 1.37."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl" with subresource "scale" using apps/v1',
            "field": ".spec.replicas",
        }
    ]
    error = refusal(_POST, 409, {}, _status("Apply failed with 1 conflict", "Conflict", causes=causes))
    assert isinstance(error, Contested)
    assert (FieldOwner("kubectl", ".spec.replicas"),) == error.owners


@pytest.mark.parametrize(
    ("error", "read", "write"),
    [
        (http.NewConnectionError(_POOL, "refused"), Unreachable, Unreachable),
        (http.NameResolutionError("h", _POOL, socket.gaierror()), Unreachable, Unreachable),
        (http.ConnectTimeoutError(), Unreachable, Unreachable),
        (http.ProxyError("no", OSError()), Unreachable, Unreachable),
        (http.ClosedPoolError(_POOL, "closed"), Unreachable, Unreachable),
        (http.SSLError(ssl.SSLCertVerificationError("wrong")), Unreachable, Unreachable),
        (http.SSLError(ssl.SSLError("bad record")), Unreachable, OutcomeUnknown),
        (http.ReadTimeoutError(_POOL, "/", "slow"), Unreachable, OutcomeUnknown),
        (http.ProtocolError("aborted"), Unreachable, OutcomeUnknown),
        (ConnectionResetError(), Unreachable, OutcomeUnknown),
        (http.LocationParseError("/a b"), Rejected, Rejected),
    ],
)
def test_no_answer_is_known_to_have_done_nothing_only_before_it_was_sent(
    error: Exception, read: type[BackendError], write: type[BackendError]
) -> None:
    """None of these is an ``ApiException``: urllib3's own errors are the ones that happen."""
    assert (read, write) == (type(failure(_GET, error)), type(failure(_POST, error)))


@given(st.integers(min_value=300, max_value=999), st.binary(max_size=200), st.sampled_from([_GET, _POST]))
def test_whatever_comes_is_some_error_of_ours(code: int, body: bytes, request_: Request) -> None:
    """A load balancer's page, half a document, or nothing: never an exception of another kind."""
    error = refusal(request_, code, {}, body)
    assert isinstance(error, BackendError)
    assert len(str(error)) < 3_000
