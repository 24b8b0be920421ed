"""What servers count of their own requests, in a status: a second word about load, after the gateway's."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from roadstead.traffic import ServerReading, sum_of
from roadstead.units import Duration
from roadstead.world import Member, World

__all__ = ["ServerLoadStatus", "server_load_of"]


@attrs.frozen(kw_only=True)
class ServerLoadStatus:
    """The load of one server, or of several together, as they count it themselves.

    ``replicas`` is how many of them said so, and ``age`` how long ago the one that was read first did. ``rate`` and
    ``error_rate`` are per second over the time between two readings; ``latency`` in milliseconds and ``in_flight`` are
    means over it, of requests that went well. Each is ``None`` where it is not known, which is not the same as 0.
    """

    replicas: int
    rate: float | None
    error_rate: float | None
    latency: float | None
    in_flight: float | None
    age: Duration | None


_UNKNOWN = ServerLoadStatus(replicas=0, rate=None, error_rate=None, latency=None, in_flight=None, age=None)


def server_load_of(world: World, members: Iterable[Member], now: int) -> ServerLoadStatus:
    """Return what the servers of these members say of their load, as far as it is known at ``now``."""
    said = (world.server_load(member.replica) for member in members)
    readings: list[ServerReading] = [one for one in said if one is not None and one.mean is not None]
    mean = sum_of(one.mean for one in readings if one.mean is not None)
    if mean is None:
        return _UNKNOWN
    return ServerLoadStatus(
        replicas=len(readings),
        rate=mean.rate,
        error_rate=mean.error_rate,
        latency=mean.latency,
        in_flight=mean.in_flight,
        age=Duration(max(0, now - min(one.at for one in readings))),
    )
