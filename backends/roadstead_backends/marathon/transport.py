"""Requests to one instance of Marathon, by its official client: the only module that imports it.

Of ``marathon`` only the method that sends a request is used, with one client per instance and a session of ours: it
then has nobody to send a timed-out request to again, and nothing to make of an answer that its models do not know. What
went wrong leaves the session as exceptions that the client lets pass: by itself it forgets why nobody answered, and
which deployments hold a lock. No answer is longer, or takes longer, than ``Limits`` says.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import requests
from marathon import MarathonClient  # type: ignore[import-untyped]  # it has no types
from requests.auth import AuthBase, HTTPBasicAuth

import roadstead
from roadstead.units import Duration

__all__ = ["Answer", "Instance", "Limits", "Missed", "Refused", "Session", "Token", "basic"]

logging.getLogger("marathon").setLevel(logging.WARNING)  # it has a line for each request, several in a turn

_PIECE: Final = 1 << 16


@attrs.frozen(kw_only=True)
class Limits:
    """How long is waited for what, and how much is taken.

    ``connect``: for a connection. ``read``: for the next bytes of an answer. ``whole``: for all of an answer. ``body``
    in bytes.
    """

    connect: Duration = Duration(3_000)
    read: Duration = Duration(15_000)
    whole: Duration = Duration(60_000)
    body: int = 256 << 20


@attrs.frozen(kw_only=True)
class Answer:
    """What an instance answered, whatever the status; header names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Missed(Exception):
    """There was no answer; ``cause`` is what happened instead."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Refused(Exception):
    """An answer with a status of 300 or more."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Token(AuthBase):
    """Signs requests with a token, as the client would by itself."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"token={self._token}"
        return request


def basic(user: str, password: str) -> AuthBase:
    """Return what signs requests with a name and a password, in UTF-8."""
    return HTTPBasicAuth(user.encode(), password.encode())


class Instance:
    """One instance of Marathon, by its address; used from one thread at a time."""

    def __init__(
        self,
        url: str,
        *,
        auth: AuthBase | None = None,
        verify: str | bool = True,
        certificate: tuple[str, str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.url = url
        chosen = limits if limits is not None else Limits()
        self._session = Session(chosen)
        self._session.auth = auth
        self._session.cert = certificate
        timeout: Any = (chosen.connect.seconds, chosen.read.seconds)
        self._client = MarathonClient(url, timeout=timeout, session=self._session, verify=verify)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | Sequence[str]] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Ask once; raises :class:`Refused` or :class:`Missed` for anything but success."""
        self._client._do_request(method, path, params=query, data=body)  # noqa: SLF001  # nothing else of it can be used
        return self._session.taken()

    def close(self) -> None:
        """Let go of its connections."""
        self._session.close()


def _hollow(status: int) -> requests.Response:
    """Return an answer without a body: the client would guess its encoding for a log line, which takes seconds."""
    response = requests.Response()
    response.status_code = status
    response.raw = io.BytesIO()
    return response


class Session(requests.Session):
    """A session that follows nobody, believes no environment, and takes answers within limits."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["User-Agent"] = f"roadstead/{roadstead.__version__}"
        self._limits = limits
        self._answer: Answer | None = None

    def taken(self) -> Answer:
        """Return the answer that came last, once."""
        answer, self._answer = self._answer, None
        assert answer is not None, "asked before there was an answer"
        return answer

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request and take all of its answer."""
        deadline = time.monotonic() + self._limits.whole.seconds
        kwargs |= {"allow_redirects": False, "stream": True}
        try:
            response = super().request(method, url, *args, **kwargs)
            with response:
                body = self._all_of(response, deadline)
        except requests.RequestException as error:
            raise Missed(error) from error
        answer = Answer(status=response.status_code, headers=response.headers, body=body)
        if answer.status >= 300:
            raise Refused(answer)
        self._answer = answer
        return _hollow(answer.status)

    def _all_of(self, response: requests.Response, deadline: float) -> bytes:
        pieces, taken = [], 0
        for piece in response.iter_content(_PIECE):
            pieces.append(piece)
            taken += len(piece)
            if taken > self._limits.body:
                raise requests.exceptions.ContentDecodingError(f"more than {self._limits.body} bytes")
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout(f"not all of it came within {self._limits.whole.seconds} s")
        return b"".join(pieces)
