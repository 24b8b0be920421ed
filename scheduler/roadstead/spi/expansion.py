"""What a launch leaves open, filled in: the variables that :mod:`roadstead.spi.runtime` defines."""

from __future__ import annotations

import re
from collections.abc import Mapping

from roadstead.spi.runtime import Launch

__all__ = ["expand", "own_ports"]

_VARIABLE = re.compile(r"\$\(([A-Z_]+)\)")


def expand(text: str, meanings: Mapping[str, str]) -> str:
    """Return a text with ``$(NAME)`` replaced; a name without a meaning is left as it is.

    >>> expand("--host=$(HOST) $(OTHER)", {"HOST": "127.16.0.1"})
    '--host=127.16.0.1 $(OTHER)'
    """
    return _VARIABLE.sub(lambda match: meanings.get(match[1], match[0]), text)


def own_ports(launch: Launch) -> dict[str, str]:
    """Return what the ports of a launch mean where a server can have the very ones that it asks for."""
    ports = {"GRPC_PORT": launch.grpc_port, "REST_PORT": launch.rest_port}
    return {name: str(port) for name, port in ports.items() if port is not None}
