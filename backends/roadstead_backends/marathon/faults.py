"""What a refusal or a failure of Marathon means, as our errors: pure, and the only place that decides it.

A *read* changes nothing, so a lost answer to one is just no answer. A *write* whose answer was lost may have happened:
:class:`~roadstead.errors.OutcomeUnknown`. What never left this machine did not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import requests.exceptions as http
import urllib3.exceptions as wire

from roadstead.errors import (
    BackendError,
    Conflict,
    Forbidden,
    OutcomeUnknown,
    Rejected,
    Retryable,
    Unreachable,
)
from roadstead.spi.asked import Request, pause_asked, why_lost
from roadstead_backends.marathon.messages import Refusal

__all__ = ["AlreadyExists", "Busy", "Locked", "NotFound", "failure", "never_left", "refusal", "said"]

_TEXT_LIMIT: Final = 2_000
_REFUSAL: Final = msgspec.json.Decoder(Refusal)
_GATEWAYS: Final = frozenset({502, 503, 504})


class NotFound(Rejected):
    """There is no such app, deployment or task."""


class AlreadyExists(Conflict):
    """There is an app of that name."""


class Locked(Conflict):
    """The app is being changed already, by ``deployments``."""

    def __init__(self, message: str, *, cluster: str, subject: str = "", deployments: tuple[str, ...]) -> None:
        super().__init__(
            message, cluster=cluster, subject=subject, hint="see which deployment of Marathon does not end"
        )
        self.deployments = deployments


class Busy(Retryable):
    """Marathon carries out as many deployments as it ever does at once."""


# ---- answers ----


def said(body: bytes) -> Refusal:
    """Return what the body of a refusal says; one that is no JSON is its message, shortened."""
    try:
        return _REFUSAL.decode(body)
    except msgspec.DecodeError:
        return Refusal(message=body[:_TEXT_LIMIT].decode(errors="replace").strip())


def refusal(request: Request, code: int, headers: Mapping[str, str], body: bytes) -> BackendError:
    """Return what an answer with the HTTP status ``code`` (300 and more) means."""
    found = said(body)
    message = _message(code, found)
    where = {"cluster": request.cluster, "subject": request.subject}
    if code >= 500:
        return _broken(request, code, found, headers)
    match code:
        case 401:
            return Forbidden(message, hint="the credentials are not accepted: renew them", **where)
        case 403:
            return _forbidden(request, found, message)
        case 404:
            return NotFound(message, **where)
        case 409:
            return _conflict(request, found, message)
        case 429:
            return Retryable(message, after_ms=pause_asked(headers.get("Retry-After", "")), **where)
        case _:
            return Rejected(message, hint=_hint(code), **where)


def _forbidden(request: Request, found: Refusal, message: str) -> BackendError:
    """Tell apart who may not ask from who comes too early: both are 403."""
    where = {"cluster": request.cluster, "subject": request.subject}
    if "max_running_deployments" in found.message:
        hint = "wait until some of its deployments have ended"
        return Busy(message, cluster=request.cluster, subject=request.subject, hint=hint)
    return Forbidden(message, hint=f"allow us {request.method} {request.path}", **where)


def _conflict(request: Request, found: Refusal, message: str) -> BackendError:
    where = {"cluster": request.cluster, "subject": request.subject}
    if "already exists" in found.message:
        return AlreadyExists(message, **where)
    return Locked(message, deployments=tuple(one.id for one in found.deployments), **where)


def _broken(request: Request, code: int, found: Refusal, headers: Mapping[str, str]) -> BackendError:
    """Tell apart who has not asked the leader at all from who failed on the way."""
    where = {"cluster": request.cluster, "subject": request.subject}
    message = _message(code, found)
    if found.message == "URI not found":
        return Rejected(message, hint="this address is no Marathon, or one older than 1.8", **where)
    if request.reads or (code == 503 and "current leader" in message):
        return Retryable(
            message,
            after_ms=pause_asked(headers.get("Retry-After", "")),
            hint=_NO_LEADER if code in _GATEWAYS else None,
            **where,
        )
    return OutcomeUnknown(message, **where)


_NO_LEADER: Final = "no instance of Marathon leads at the moment, or the leader cannot be reached from the others"


def _message(code: int, found: Refusal) -> str:
    details = _details(found.details)
    text = ": ".join(part for part in (found.message, details) if part)[:_TEXT_LIMIT] or "no reason given"
    return f"Marathon answered {code}: {text}"


def _details(details: object) -> str:
    r"""Return what is wrong, in one line, from either shape.

    >>> _details([{"path": "/cpus", "errors": ["error.min"]}]), _details("Unexpected end")
    ('/cpus error.min', 'Unexpected end')
    """
    if isinstance(details, str):
        return details
    if not isinstance(details, list):
        return ""
    found = []
    for one in details:
        if isinstance(one, dict):
            errors = one.get("errors")
            words = ", ".join(map(str, errors)) if isinstance(errors, list) else ""
            found.append(f"{one.get('path', '/')} {words}".strip())
    return "; ".join(found)


def _hint(code: int) -> str | None:
    return "the address answers with a redirect that is not followed" if code < 400 else None


# ---- no answers ----


def never_left(error: Exception) -> bool:
    """Return whether a request certainly reached nobody: there was no connection to send it over."""
    if isinstance(error, http.ConnectTimeout | http.SSLError | http.ProxyError):
        return True
    if not isinstance(error, http.ConnectionError) or not error.args:
        return False
    cause = error.args[0]
    reason = cause.reason if isinstance(cause, wire.MaxRetryError) else cause
    return isinstance(reason, wire.NewConnectionError)


def failure(request: Request, error: Exception) -> BackendError:
    """Return what it means that ``request`` ended with an exception and not with an answer."""
    where = {"cluster": request.cluster, "subject": request.subject}
    words = why_lost(error)[:_TEXT_LIMIT]
    if isinstance(error, http.SSLError):
        return Unreachable(f"Marathon is not trusted: {words}", hint="see `ca` in the cluster's options", **where)
    if never_left(error):
        return Unreachable(f"Marathon cannot be reached: {words}", hint="see `urls` in the cluster's options", **where)
    if request.reads:
        return Unreachable(f"Marathon did not answer: {words}", **where)
    return OutcomeUnknown(f"the answer to {request.method} {request.path} was lost: {words}", **where)
