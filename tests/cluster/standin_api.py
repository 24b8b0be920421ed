"""How stand-in nodes speak to the API server: one pool of connections, few at a time, every answer waited for."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
import attrs
import yaml

__all__ = ["Access", "Api", "Refused"]

_CONTENT = {"POST": "application/json", "DELETE": "application/json", "PATCH": "application/merge-patch+json"}
_STRATEGIC = "application/strategic-merge-patch+json"
_TRIES = 6


class Refused(Exception):  # named after what happened
    """The API server's answer to a request that it does not carry out; ``status`` is that of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:300]}")
        self.status = status


@attrs.frozen(kw_only=True)
class Access:
    """Where the API server is, and what it takes to be heard there."""

    server: str
    tls: ssl.SSLContext | None = None
    token: str = ""

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Self:
        """Return what the current context of a kubeconfig says: a token or a client certificate, in files or inline."""
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(document["contexts"], document["current-context"])["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
        data = cluster.get("certificate-authority-data")
        tls = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"),
            cadata=base64.b64decode(data).decode("ascii") if data else None,
        )
        if "client-certificate" in user:
            tls.load_cert_chain(user["client-certificate"], user["client-key"])
        elif "client-certificate-data" in user:
            both = base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
            with tempfile.NamedTemporaryFile() as file:  # OpenSSL takes a private key from a file only
                file.write(both)
                file.flush()
                tls.load_cert_chain(file.name)
        return cls(server=cluster["server"], tls=tls, token=user.get("token", ""))


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


class Api:
    """A client whose calls are tried again where the server has no time, and counted."""

    def __init__(self, access: Access, *, at_once: int = 12) -> None:
        self._access = access
        self._at_once = at_once
        self.writes = 0

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._access.token}"} if self._access.token else {}
        self._session = aiohttp.ClientSession(
            self._access.server,
            headers=headers,
            connector=aiohttp.TCPConnector(limit=self._at_once, ssl=self._access.tls or True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30),
        )
        # The watch has a connection of its own: it must not wait behind writes.
        self._watching = aiohttp.ClientSession(
            self._access.server,
            headers=headers,
            connector=aiohttp.TCPConnector(limit=2, ssl=self._access.tls or True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=330),
            read_bufsize=2**20,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._watching.close()
        await asyncio.sleep(0.1)  # closing a TLS connection takes the loop some rounds more, as aiohttp says

    async def call(self, method: str, path: str, body: object = None, *, strategic: bool = False) -> bytes:
        """Return the server's answer.

        Raises :class:`Refused`, and :class:`aiohttp.ClientError` or :class:`TimeoutError` where it does not answer.
        """
        data = json.dumps(body).encode("utf-8") if body is not None else None
        content = _STRATEGIC if strategic else _CONTENT.get(method, "")
        for attempt in range(1, _TRIES + 1):
            headers = {"Content-Type": content} if data is not None else {}
            async with self._session.request(method, path, data=data, headers=headers) as answer:
                answered = await answer.read()
                if answer.status < 400:
                    self.writes += method != "GET"
                    return answered
                if answer.status not in {429, 500, 503, 504} or attempt == _TRIES:
                    raise Refused(answer.status, answered.decode("utf-8", "replace"))
                await asyncio.sleep(float(answer.headers.get("Retry-After", "0.2")))
        raise AssertionError("the last try returns or raises")

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the lines of a watch until the server ends it."""
        async with self._watching.get(path, params={**query, "watch": "1", "timeoutSeconds": "300"}) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, await answer.text())
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
