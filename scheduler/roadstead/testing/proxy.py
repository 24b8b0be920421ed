"""What really is in a simulated gateway: the tables it was offered, the one in force, and requests on their way.

Nothing is hidden here: what a gateway does not show, or does not answer, is the business of
:mod:`roadstead.testing.gateway`, which stands in front. A proxy outlives whoever drives it, as a real one does.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import attrs

from roadstead.spi.gateway import Route, RouteTable
from roadstead.traffic import Endpoint, Passage
from roadstead.units import Duration

__all__ = ["Answer", "Answers", "Counts", "Faults", "Proxy", "Request", "Traffic"]


@attrs.frozen
class Answer:
    """The server process with a model behind an address; one that ``hangs`` takes requests and ends none."""

    incarnation: str
    hangs: bool = False


Answers = Callable[[Endpoint], Answer | None]
"""Who serves at an address now, ``None`` where nobody does."""


@attrs.frozen(kw_only=True)
class Traffic:
    """What clients send by themselves.

    In each interval up to ``most`` requests to each endpoint, that take as long as one of ``service``; ``None`` is for
    ever.
    """

    most: int = 0
    service: tuple[int | None, ...] = (500,)


@attrs.define(kw_only=True)
class Faults:
    """The faults in force; a test sets them, the proxy reads them.

    ``mute``: it serves on and does not say what it does. ``down``: once it is dead it does not start. ``late``: how
    long after it was offered a table it looks at it. ``refused``: the deployments whose routes it does not accept, and
    ``refuses`` for all of them. ``unhealthy``: endpoints that it sees so. ``problems``: why clients cannot use a route.
    """

    mute: bool = False
    down: bool = False
    late: Duration = Duration(0)
    refuses: bool = False
    refused: set[str] = attrs.field(factory=set)
    unhealthy: set[Endpoint] = attrs.field(factory=set)
    problems: dict[str, str] = attrs.field(factory=dict)

    def clear(self) -> None:
        """End every fault; what was offered late is still looked at late."""
        self.mute = self.down = self.refuses = False
        self.late = Duration(0)
        self.refused.clear()
        self.unhealthy.clear()
        self.problems.clear()


@attrs.define(kw_only=True, eq=False)
class Request:
    """One request on its way to a server process; it ends at ``ends``, or never.

    ``hidden``: the proxy does not show it any more, as its endpoint left the table since.
    """

    deployment: str
    endpoint: Endpoint
    incarnation: str
    ends: int | None
    hidden: bool = False


@attrs.define(kw_only=True)
class Counts:
    """What an endpoint did since the proxy started."""

    requests: int = 0
    errors: int = 0


@attrs.define(kw_only=True)
class _Offer:
    """A route that was offered and is not in force; ``None`` takes the route away. It is looked at when ``due``."""

    route: Route | None
    due: int
    refused: bool = False


@attrs.define(kw_only=True)
class _Way:
    """One deployment's route in the proxy: ``offers`` are those after the one in force, oldest first.

    ``warm`` says from when on an endpoint that is listed is used: it is checked before.
    """

    in_force: Route | None = None
    offers: list[_Offer] = attrs.field(factory=list)
    warm: dict[Endpoint, int] = attrs.field(factory=dict)

    @property
    def newest(self) -> Route | None:
        """What it was asked for last."""
        return self.offers[-1].route if self.offers else self.in_force


class Proxy:
    """One gateway's process and what it keeps, in the time that ``now`` tells (ms since the epoch).

    Every route is accepted, or refused, by itself. ``checked_for`` is how long an endpoint is checked before it is
    used. ``offers`` counts the routes that it was asked for and did not have. Whoever uses it beside another thread
    holds ``lock``.
    """

    def __init__(
        self,
        *,
        now: Callable[[], int],
        answers: Answers,
        traffic: Traffic | None = None,
        starts_in: Duration = Duration(0),
        checked_for: Duration = Duration(0),
        seed: int = 0,
    ) -> None:
        self.lock = threading.RLock()
        self.faults = Faults()
        self.traffic = traffic if traffic is not None else Traffic()
        self.offers = 0
        self.counts: dict[tuple[str, Endpoint], Counts] = {}
        self.wakes: list[Callable[[], None]] = []
        self._now = now
        self._answers = answers
        self._starts_in = starts_in
        self._checked_for = checked_for
        self._random = random.Random(seed)  # noqa: S311  # repeatable on purpose
        self._ways: dict[str, _Way] = {}
        self._requests: list[Request] = []
        self._runs = False
        self._starts_at: int | None = None
        self._at = now()

    # ---- what happens to it ----

    def offer(self, table: RouteTable) -> bool:
        """Keep ``table`` as the newest one, start where it does not run, and return whether it runs or will."""
        self.advance()
        for name in self._ways.keys() | table.routes.keys():
            self._offer(self._ways.setdefault(name, _Way()), table.routes.get(name))
        self.start()
        self.advance()
        return self._runs or self._starts_at is not None

    def start(self) -> None:
        """Start it where it does not run, unless it is held down."""
        if not self._runs and self._starts_at is None and not self.faults.down:
            self._starts_at = self._now() + self._starts_in.ms

    def die(self) -> None:
        """End it, with every request on its way; it starts again by itself, unless it is held down."""
        self.advance()
        self._runs, self._starts_at = False, None
        self._requests.clear()
        self.counts.clear()
        kept = {name: newest for name, way in self._ways.items() if (newest := way.newest) is not None}
        self._ways = {name: _Way(offers=[_Offer(route=route, due=self._at)]) for name, route in kept.items()}
        self.start()
        for wake in list(self.wakes):
            wake()

    def forget(self) -> None:
        """End it for good, and forget its tables."""
        self.die()
        self._runs, self._starts_at = False, None
        self._ways.clear()

    def send(self, deployment: str, takes: int | None) -> Endpoint | None:
        """Send a request that takes so many milliseconds, or for ever; return where it went, if anybody was there."""
        self.advance()
        used = sorted(self._used(deployment), key=str)
        if not used:
            return None
        endpoint = self._random.choice(used)
        self._begin(deployment, endpoint, takes)
        return endpoint

    def advance(self) -> None:
        """Let everything happen that fell due."""
        now = self._now()
        if now > self._at:
            self._at = now
            self._end_requests()
            self._let_clients_send()
        if self._starts_at is not None and self._starts_at <= now:
            self._runs, self._starts_at = True, None
        if self._runs:
            for name, way in list(self._ways.items()):
                self._look_at_offers(name, way)

    # ---- what is ----

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._runs

    @property
    def requests(self) -> tuple[Request, ...]:
        """All that is on its way, hidden or not."""
        return tuple(self._requests)

    @property
    def settled(self) -> bool:
        """Whether the newest table is in force."""
        return self._runs and not any(way.offers for way in self._ways.values())

    @property
    def refusals(self) -> tuple[str, ...]:
        """The deployments whose newest route it has refused."""
        return tuple(sorted(name for name, way in self._ways.items() if way.offers and way.offers[-1].refused))

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of every route that it was asked for last."""
        newest = ((name, way.newest) for name, way in self._ways.items())
        return MappingProxyType({name: route.port for name, route in newest if route is not None})

    def port(self, deployment: str) -> int:
        """Return where clients of a deployment connect, or are going to; 0 where it only has requests left."""
        way = self._ways.get(deployment, _Way())
        return next((route.port for route in _routes(way) if route is not None), 0)

    def in_force(self, deployment: str) -> Route | None:
        """Return the route that requests follow now."""
        way = self._ways.get(deployment)
        return way.in_force if way is not None else None

    def passages(self, *, hidden: bool) -> Mapping[str, Mapping[Endpoint, Passage]]:
        """Return how requests get to each endpoint, by deployment; with ``hidden``, also what it does not show."""
        on_their_way = Counter((one.deployment, one.endpoint) for one in self._requests if hidden or not one.hidden)
        found: dict[str, dict[Endpoint, Passage]] = {}
        for name in self._ways.keys() | {deployment for deployment, _ in on_their_way}:
            way = self._ways.get(name, _Way())
            there = {endpoint for route in _routes(way) for endpoint in _endpoints(route)}
            there |= {endpoint for deployment, endpoint in on_their_way if deployment == name}
            used = set(self._used(name))
            listed = self._may_be_sent_requests(way)
            found[name] = {
                endpoint: Passage(
                    listed=endpoint in listed,
                    serving=endpoint in used,
                    idle=endpoint not in listed and not on_their_way[name, endpoint],
                )
                for endpoint in sorted(there, key=str)
            }
        return found

    # ---- how it works ----

    def _offer(self, way: _Way, route: Route | None) -> None:
        if way.offers and route == way.newest:
            if way.offers[-1].refused:
                way.offers[-1] = self._offered(route)
            return
        # What was refused is out of question once something else is asked for.
        way.offers = [offer for offer in way.offers if not offer.refused]
        if route != way.newest:
            way.offers.append(self._offered(route))
            self.offers += 1

    def _offered(self, route: Route | None) -> _Offer:
        return _Offer(route=route, due=self._at + self.faults.late.ms)

    def _look_at_offers(self, name: str, way: _Way) -> None:
        """Take or refuse what is due; with that, all that was offered before is past."""
        due = [place for place, offer in enumerate(way.offers) if offer.due <= self._at]
        for place in due:
            offer = way.offers[place]
            offer.refused = offer.refused or self.faults.refuses or name in self.faults.refused
            if not offer.refused:
                self._take(name, way, offer.route)
        if due:
            last, after = way.offers[due[-1]], way.offers[due[-1] + 1 :]
            way.offers = after if after or not last.refused else [last]
        if way.in_force is None and not way.offers:
            del self._ways[name]

    def _take(self, name: str, way: _Way, route: Route | None) -> None:
        before = _listed(way.in_force)
        way.in_force = route
        way.warm = {
            endpoint: way.warm[endpoint] if endpoint in before else self._at + self._checked_for.ms
            for endpoint in _listed(route)
        }
        kept = _endpoints(route)
        for request in self._requests:
            if request.deployment == name and request.endpoint not in kept:
                request.hidden = True

    def _used(self, deployment: str) -> Iterator[Endpoint]:
        """Yield the endpoints that requests for a deployment are sent to."""
        way = self._ways.get(deployment)
        if way is not None and self._runs:
            for endpoint in _listed(way.in_force):
                if way.warm[endpoint] <= self._at and endpoint not in self.faults.unhealthy:
                    yield endpoint

    def _may_be_sent_requests(self, way: _Way) -> frozenset[Endpoint]:
        return frozenset(endpoint for route in _routes(way) for endpoint in _listed(route))

    def _let_clients_send(self) -> None:
        if not self.traffic.most:
            return
        for name in sorted(self._ways):
            for endpoint in sorted(self._used(name), key=str):
                for _ in range(self._random.randint(0, self.traffic.most)):
                    self._begin(name, endpoint, self._random.choice(self.traffic.service))

    def _begin(self, deployment: str, endpoint: Endpoint, takes: int | None) -> None:
        counts = self.counts.setdefault((deployment, endpoint), Counts())
        counts.requests += 1
        answer = self._answers(endpoint)
        if answer is None:
            counts.errors += 1
            return
        ends = self._at + takes if takes is not None else None
        self._requests.append(
            Request(deployment=deployment, endpoint=endpoint, incarnation=answer.incarnation, ends=ends)
        )

    def _end_requests(self) -> None:
        """Drop what was answered, and what was on its way to a process that is gone."""
        left = []
        for request in self._requests:
            answer = self._answers(request.endpoint)
            if answer is None or answer.incarnation != request.incarnation:
                self._count_error(request)
            elif answer.hangs or request.ends is None or request.ends > self._at:
                left.append(request)
        self._requests = left

    def _count_error(self, request: Request) -> None:
        counts = self.counts.get((request.deployment, request.endpoint))
        if counts is not None:
            counts.errors += 1


def _routes(way: _Way) -> tuple[Route | None, ...]:
    return (way.in_force, *(offer.route for offer in way.offers))


def _endpoints(route: Route | None) -> frozenset[Endpoint]:
    return frozenset(one.endpoint for one in route.destinations) if route is not None else frozenset()


def _listed(route: Route | None) -> frozenset[Endpoint]:
    if route is None:
        return frozenset()
    return frozenset(one.endpoint for one in route.destinations if not one.draining)
