"""Raw calls of the API server, for tests: JSON in, JSON out, and nothing between that could hide what it does."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import attrs
import urllib3

from tests.cluster.certificates import Credentials
from tests.cluster.waiting import PATIENCE_S, until

__all__ = ["Api", "ApiError", "Json", "when_answered"]

Json = dict[str, Any]
"""An object as the API server has it."""

_PATCHES: Final = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_TIMEOUT: Final = urllib3.Timeout(connect=20, read=60)
"""So long that only who does not answer at all takes longer: on a busy machine a handshake alone may take seconds."""

_LATER: Final = {429, 500, 503, 504}
"""What is answered by a server that cannot answer now."""

T = TypeVar("T")


class ApiError(Exception):
    """An answer of 400 and above."""

    def __init__(self, status: int, body: bytes, call: str) -> None:
        self.status = status
        self.body: Json = {}
        if body.startswith(b"{"):
            self.body = json.loads(body)
        self.reason: str = self.body.get("reason", "")
        said = self.body.get("message") or body.decode(errors="replace")[:500]
        super().__init__(f"{call} was answered {status} {self.reason}: {said}")


@attrs.define(eq=False)
class Api:
    """Calls to one server as one user; to be shared by threads."""

    server: str
    _pool: urllib3.PoolManager
    _headers: Mapping[str, str] = {}

    @classmethod
    def connect(
        cls, server: str, authority: bytes, folder: Path, *, credentials: Credentials | None = None, token: str = ""
    ) -> Api:
        """Return an API of a user with a certificate or a token; the certificate is written into ``folder``."""
        context = ssl.create_default_context(cadata=authority.decode())
        if credentials is not None:
            context.load_cert_chain(*credentials.write(folder, "user"))
        pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=_TIMEOUT, maxsize=16)
        return cls(server, pool, {"Authorization": f"Bearer {token}"} if token else {})

    def close(self) -> None:
        """Close its connections."""
        self._pool.clear()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        kind: str = "application/json",
        query: Mapping[str, object] | None = None,
    ) -> bytes:
        """Return the bytes of an answer, or raise :class:`ApiError`; a connection's failure is urllib3's error."""
        encoded = None if body is None else json.dumps(body)
        headers = {**self._headers, "Content-Type": kind, "Accept": "application/json, text/plain, */*"}
        asked = urlencode({key: str(value) for key, value in (query or {}).items()})
        url = f"{self.server}{path}{'?' if asked else ''}{asked}"
        answer = self._pool.request(method, url, headers=headers, body=encoded)
        if answer.status >= 400:
            raise ApiError(answer.status, answer.data, f"{method} {path}")
        return answer.data

    def stream(self, path: str, **query: object) -> urllib3.BaseHTTPResponse:
        """Begin to GET an answer that goes on, such as a watch; its body is read by the caller, who closes it."""
        asked = urlencode({key: str(value) for key, value in query.items()})
        headers = {**self._headers, "Accept": "application/json"}
        answer = self._pool.request("GET", f"{self.server}{path}?{asked}", headers=headers, preload_content=False)
        if answer.status >= 400:
            raise ApiError(answer.status, answer.read(), f"GET {path}")
        return answer

    def get(self, path: str, **query: object) -> Json:
        """Return an object or a list."""
        return self._json(self.call("GET", path, query=query))

    def text(self, path: str, **query: object) -> str:
        """Return what is no JSON: logs and metrics."""
        return self.call("GET", path, query=query).decode()

    def create(self, path: str, body: Json, **query: object) -> Json:
        """POST an object to its collection."""
        return self._json(self.call("POST", path, body=body, query=query))

    def replace(self, path: str, body: Json, **query: object) -> Json:
        """PUT an object."""
        return self._json(self.call("PUT", path, body=body, query=query))

    def patch(self, path: str, body: object, kind: str = "merge", **query: object) -> Json:
        """PATCH an object; kinds are merge, strategic, json and apply, which takes ``fieldManager`` and ``force``."""
        return self._json(self.call("PATCH", path, body=body, kind=_PATCHES[kind], query=query))

    def delete(self, path: str, *, missing_ok: bool = False, body: Json | None = None, **query: object) -> Json:
        """DELETE an object or a collection."""
        try:
            return self._json(self.call("DELETE", path, body=body, query=query))
        except ApiError as error:
            if missing_ok and error.status == 404:
                return {}
            raise

    def find(self, path: str) -> Json | None:
        """Return an object, or ``None`` where there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def wait(
        self, path: str, holds: Callable[[Json], object], *, within: float = PATIENCE_S, every: float = 0.1
    ) -> Json:
        """Return an object once something holds for it; one that is not there yet is waited for, and so is a server."""

        def seen() -> Json | None:
            found = self.find(path)
            return found if found is not None and holds(found) else None

        return until(when_answered(seen), within=within, every=every, what=f"{path} to be as asked")

    def gone(self, path: str, *, within: float = PATIENCE_S) -> None:
        """Wait until an object is no more."""
        until(when_answered(lambda: self.find(path) is None), within=within, every=0.1, what=f"the end of {path}")

    def wait_ready(self, within: float = PATIENCE_S) -> None:
        """Wait until the server says of itself that it is ready."""
        until(when_answered(lambda: bool(self.text("/readyz"))), within=within, every=0.05, what="the API server")

    @staticmethod
    def _json(answer: bytes) -> Json:
        decoded: Json = json.loads(answer)
        return decoded


def when_answered(question: Callable[[], T]) -> Callable[[], T | None]:
    """Return the same question, to which ``None`` is the answer as long as the server cannot be asked."""

    def asked() -> T | None:
        try:
            return question()
        except urllib3.exceptions.HTTPError:
            return None
        except ApiError as error:
            if error.status not in _LATER:
                raise
            return None

    return asked
