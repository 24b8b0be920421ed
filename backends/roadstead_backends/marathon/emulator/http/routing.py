"""Which handler answers: by pattern of the address and by method, as Jersey chooses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import attrs

from roadstead_backends.marathon.emulator.http.messages import Answer, Request

__all__ = ["Method", "Param", "Route", "Router"]

Handler = Callable[..., Answer]


@attrs.frozen
class Param:
    """A parameter in the address's query, as WADL describes it; ``default`` makes it a boolean."""

    name: str
    default: str | None = None


@attrs.frozen(kw_only=True)
class Method:
    """A method of a resource, under the name that it has in the original.

    ``described`` is the media type that WADL tells of one that answers at once; the others say nothing of theirs.
    """

    verb: str
    name: str
    handler: Handler
    query: tuple[Param, ...] = ()
    consumes_json: bool = False
    produces: tuple[str, ...] = ("application/json",)
    described: str | None = None


@attrs.frozen(kw_only=True)
class Route:
    """Addresses of one form. ``template`` is how the original writes it, ``within`` that of the resource around it."""

    pattern: re.Pattern[str]
    template: str
    methods: tuple[Method, ...]
    within: str | None = None

    @property
    def names(self) -> list[str]:
        """What its template takes from an address, in order."""
        return [part.partition(":")[0] for part in self.template.replace("}", "{").split("{")[1::2]]

    @property
    def literals(self) -> int:
        """How many letters of its template stand for themselves."""
        return sum(len(part) for part in self.template.replace("}", "{").split("{")[0::2])

    def method(self, verb: str) -> Method | None:
        """The method that answers ``verb``; HEAD is answered as GET."""
        for wanted in (verb, "GET" if verb == "HEAD" else verb):
            for method in self.methods:
                if method.verb == wanted:
                    return method
        return None


class Router:
    """All routes. The one with the most letters that stand for themselves is tried first, as JAX-RS says."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._declared = routes
        self._routes = sorted(routes, key=lambda route: -route.literals)

    def find(self, request: Request) -> tuple[Route, Mapping[str, str]] | None:
        """The route of a request, and what its pattern took from the address."""
        path = request.path.rstrip("/") or "/"
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found is not None:
                return route, found.groupdict()
        return None

    def below(self, route: Route) -> list[Route]:
        """The routes that the original declares inside this one."""
        return [each for each in self._declared if each.within == route.template]
