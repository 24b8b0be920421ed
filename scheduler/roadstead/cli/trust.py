"""Connecting to a gateway that speaks TLS: whom to trust, and by which name."""

from __future__ import annotations

import functools
import http.client
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import click

__all__ = ["Trust", "trusting"]

F = TypeVar("F", bound=Callable[..., Any])


@attrs.frozen
class Trust:
    """Who signed a server's certificate (``None``: whom this machine trusts), and the name in it (its address)."""

    ca: str | None = None
    name: str | None = None

    def connection(self, host: str, port: int, timeout: float) -> http.client.HTTPConnection:
        """Return a connection over TLS that is not made yet; raises :class:`ssl.SSLError` for a bad file."""
        return _Named(host, port, timeout, ssl.create_default_context(cafile=self.ca), self.name or host)


class _Named(http.client.HTTPSConnection):
    """TLS to a server that is called otherwise in its certificate than by its address."""

    def __init__(  # an address, a limit, and how to trust
        self, host: str, port: int, timeout: float, context: ssl.SSLContext, name: str
    ) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls = context
        self._name = name

    def connect(self) -> None:
        """Connect, and hold the certificate to the name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def trusting(function: F) -> F:
    """Add the flags that say whom to trust; they reach the command together, as ``trust``."""

    @functools.wraps(function)
    def command(*given: Any, ca: str | None, server_name: str | None, **more: Any) -> Any:
        return function(*given, trust=Trust(ca, server_name), **more)

    decorate = (
        click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="Who signed the server's certificate."),
        click.option("--server-name", metavar="NAME", help="The name in that certificate. [default: its address]"),
    )
    made: Any = command
    for option in reversed(decorate):
        made = option(made)
    return made  # type: ignore[no-any-return]  # click's decorators lose the type
