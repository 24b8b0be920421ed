"""What the whole of one gateway's configuration has in common."""

from __future__ import annotations

import attrs

from roadstead.model import Tls

__all__ = ["Settings"]


@attrs.frozen(kw_only=True)
class Settings:
    """What does not come from a route table.

    ``folder`` is where the configuration files are, absolute, and ``program`` is Envoy. ``workers`` is the number of
    threads that serve. ``max_request`` is in bytes.
    """

    name: str
    fleet: str
    address: str
    folder: str
    program: str
    workers: int
    tls: Tls | None
    max_connections: int
    max_request: int
    access_log: bool
