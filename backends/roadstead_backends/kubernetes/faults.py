"""What a refusal or a failure of the API server means, as our errors: pure, and the only place that decides it.

A *read* changes nothing, so a lost answer to one is just no answer. A *write* whose answer was lost may have happened:
:class:`~roadstead.errors.OutcomeUnknown`. What never left this machine did not.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Final

import attrs
import msgspec
import urllib3.exceptions as http

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
from roadstead.spi.asked import Request, pause_asked, why_lost
from roadstead_backends.kubernetes.meta import Cause, Status

__all__ = ["AlreadyExists", "Contested", "Expired", "FieldOwner", "NotFound", "failure", "refusal", "status"]

_TEXT_LIMIT: Final = 2_000
_MANAGER: Final = re.compile(r'conflict with "(?P<manager>[^"]*)"')
_NOT_ALLOWED: Final = re.compile(r'User "[^"]*" cannot ')
_STATUS: Final = msgspec.json.Decoder(Status)


class NotFound(Rejected):
    """There is no such object, or no such kind of object."""


class AlreadyExists(Conflict):
    """There is an object of that name."""


class Expired(Retryable):
    """The server does not remember what happened since then: list anew."""


@attrs.frozen
class FieldOwner:
    """Who else manages a field, and which."""

    manager: str
    field: str


class Contested(Conflict):
    """An apply would take fields from others that manage them."""

    def __init__(self, message: str, *, cluster: str, subject: str = "", owners: tuple[FieldOwner, ...]) -> None:
        super().__init__(message, cluster=cluster, subject=subject, hint="see who changes the object beside us")
        self.owners = owners


# ---- answers ----


def status(body: bytes) -> Status:
    """Return what the body of a refusal says; a body that is no ``Status`` is its message, shortened."""
    try:
        said = _STATUS.decode(body)
    except msgspec.DecodeError:
        return Status(message=body[:_TEXT_LIMIT].decode(errors="replace").strip())
    return said


def refusal(request: Request, code: int, headers: Mapping[str, str], body: bytes) -> BackendError:
    """Return what an answer with the HTTP status ``code`` (300 and more) means; names of ``headers`` in lower case."""
    said = status(body)
    message = _message(code, said)
    where = {"cluster": request.cluster, "subject": request.subject}
    if code >= 500:
        return _broken(request, code, message, _wait_ms(headers, said))
    match code:
        case 401:
            return Forbidden(message, hint="the credentials are not accepted: renew them", **where)
        case 403:
            return _forbidden(request, said, message)
        case 404:
            return NotFound(message, **where)
        case 409:
            return _conflict(request, said, message)
        case 410:
            return Expired(message, after_ms=_wait_ms(headers, said), **where)
        case 429:
            return Retryable(message, after_ms=_wait_ms(headers, said), **where)
        case _:
            return Rejected(message, hint=_hint(code), **where)


def _broken(request: Request, code: int, message: str, after_ms: int | None) -> BackendError:
    where = {"cluster": request.cluster, "subject": request.subject}
    if code == 501:
        return Rejected(message, **where)
    if request.reads:
        return Retryable(message, after_ms=after_ms, **where)
    # A server that fails on the way may have stored it before: etcd's own time-outs come as 500 and 504.
    return OutcomeUnknown(message, **where)


def _forbidden(request: Request, said: Status, message: str) -> BackendError:
    """Tell apart who may not ask from what is not admitted: both are 403, and only the text says which."""
    where = {"cluster": request.cluster, "subject": request.subject}
    if "exceeded quota" in said.message:
        return OutOfCapacity(message, hint="a ResourceQuota of the namespace is full", **where)
    if any(cause.reason == "NamespaceTerminating" for cause in said.causes):
        return Rejected(message, hint="the namespace is being deleted", **where)
    if said.reason == "Forbidden" and not _NOT_ALLOWED.search(said.message):
        return Rejected(message, hint="a rule of the cluster does not admit it", **where)
    return Forbidden(
        message, hint=f"allow us {request.method} {request.path}: see the role that is bound to us", **where
    )


def _conflict(request: Request, said: Status, message: str) -> BackendError:
    if said.reason == "AlreadyExists":
        return AlreadyExists(message, cluster=request.cluster, subject=request.subject)
    owners = tuple(_owner(cause) for cause in said.causes if cause.reason == "FieldManagerConflict")
    if owners:
        return Contested(message, cluster=request.cluster, subject=request.subject, owners=owners)
    return Conflict(message, cluster=request.cluster, subject=request.subject)


def _owner(cause: Cause) -> FieldOwner:
    named = _MANAGER.search(cause.message)
    return FieldOwner(manager=named["manager"] if named else "", field=cause.field)


def _message(code: int, said: Status) -> str:
    text = said.message[:_TEXT_LIMIT] or said.reason or "no reason given"
    return f"the API server answered {code}: {text}"


def _hint(code: int) -> str | None:
    return "the address answers with a redirect, which is not followed" if code < 400 else None


def _wait_ms(headers: Mapping[str, str], said: Status) -> int | None:
    """Return how long the server asks to be left alone, in milliseconds, if it does."""
    otherwise = said.details.retry_after_s if said.details is not None else 0
    return pause_asked(headers.get("retry-after", ""), otherwise=otherwise)


# ---- no answers ----


def failure(request: Request, error: Exception) -> BackendError:
    """Return what it means that ``request`` ended with an exception and not with an answer."""
    where = {"cluster": request.cluster, "subject": request.subject}
    words = why_lost(error)[:_TEXT_LIMIT]
    match error:
        case http.SSLError(args=(ssl.CertificateError(), *_)):
            return Unreachable(f"the API server is not trusted: {words}", hint=_TLS_HINT, **where)
        case http.ConnectTimeoutError() | http.ProxyError() | http.ClosedPoolError():
            return Unreachable(f"the API server cannot be reached: {words}", hint=_ADDRESS_HINT, **where)
        case http.LocationValueError():
            return Rejected(f"{request.path!r} is no address: {error}", **where)
        case _ if request.reads:
            return Unreachable(f"the API server did not answer: {words}", **where)
        case _:
            return OutcomeUnknown(f"the answer to {request.method} {request.path} was lost: {words}", **where)


_TLS_HINT: Final = "see `certificate-authority` and `tls-server-name` in the kubeconfig"
_ADDRESS_HINT: Final = "see `server` in the kubeconfig, and whether the cluster is up"
