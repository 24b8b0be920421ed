"""The load of one deployment as a fluid: what arrives, what its servers get done, and what waits.

An approximation, and said to be one: requests have no size but their mean, every serving replica gets its share, and
what is due in a stretch of time is done in it as far as the servers can. It is exact about what matters to a scaler:
how much is in flight, how it grows when there is too little, and how long what is left over takes to be done.
"""

from __future__ import annotations

import bisect

from roadstead.bench.scenario import Traffic
from roadstead.traffic import NO_LOAD, Latency, Load

__all__ = ["Flow"]


class Flow:
    """What became of the requests of one deployment, as of the last :meth:`advance`; ``began`` is in milliseconds."""

    def __init__(self, traffic: Traffic, began: int) -> None:
        self._traffic = traffic
        self._began = began
        self._at = began
        self._moments = [rate.at.ms for rate in traffic.rates]
        self._requests = 0.0
        self._failed = 0.0
        self._waiting = 0.0
        self._servers = 0
        self._load = NO_LOAD
        self._is_steady = False

    @property
    def load(self) -> Load:
        """What a gateway would tell."""
        return self._load

    @property
    def requests(self) -> int:
        """How many were sent so far."""
        return int(self._requests)

    @property
    def failed(self) -> int:
        """How many of them failed: nobody served, or they would have waited for too long."""
        return int(self._failed)

    def next_change(self) -> int | None:
        """Return when the rate changes next, in milliseconds, or ``None`` where it does not."""
        place = bisect.bisect_right(self._moments, self._at - self._began)
        return self._began + self._moments[place] if place < len(self._moments) else None

    @property
    def is_steady(self) -> bool:
        """Whether its load stays as it is told now, as long as the rate and the servers stay what they are."""
        return self._is_steady

    def advance(self, now: int, servers: int) -> None:
        """Let the time pass up to ``now``, in which so many servers answered."""
        requests, failed, since, rate = self._requests, self._failed, self._at, self._rate()
        was = (servers, rate, self._waiting)
        while self._at < now:
            change = self.next_change()
            until = now if change is None else min(now, change)
            self._pass(until - self._at, servers)
            self._at = until
        if since < now:
            self._load = self._told(servers, since, self._requests - requests, self._failed - failed)
            self._is_steady = was == (self._servers, self._rate(), self._waiting)
            self._servers = servers

    def _rate(self) -> float:
        """Return the requests per millisecond now."""
        place = bisect.bisect_right(self._moments, self._at - self._began) - 1
        return self._traffic.rates[place].milli / 1e6

    def _pass(self, ms: int, servers: int) -> None:
        arrived = self._rate() * ms
        self._requests += arrived
        speed = servers * self._traffic.parallel / self._traffic.service_time.ms
        there = self._waiting + arrived
        left = max(0.0, there - speed * ms)
        self._waiting = min(left, speed * self._traffic.patience.ms)
        self._failed += left - self._waiting

    def _told(self, servers: int, since: int, requests: float, failed: float) -> Load:
        seconds = (self._at - since) / 1000
        places = servers * self._traffic.parallel
        working = min(self._rate() * self._traffic.service_time.ms, places)
        latency = None
        if servers:
            waited = self._waiting * self._traffic.service_time.ms / places
            took = round(self._traffic.service_time.ms + waited, 3)
            latency = Latency(p50=took, p90=took, p99=took)
        return Load(
            in_flight=round(working + self._waiting),
            requests=self.requests,
            errors=self.failed,
            rate=requests / seconds if seconds else None,
            error_rate=failed / seconds if seconds else None,
            latency=latency if requests > failed else None,
        )
