"""The control API: HTTP/1.1 and JSON on a unix socket, for the command line and for nobody else's network.

Every answer is an object with ``format_version``; values are in the form of :mod:`roadstead.wire`. What is refused
answers ``{"error": {"code", "message", "hint"}}`` with a fitting status. The same process answers ``/healthz`` and
``/metrics`` on TCP, where nothing can be changed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import attrs
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from roadstead.act.clock import Clock
from roadstead.act.journal import Selection
from roadstead.daemon.changes import nearest
from roadstead.daemon.errors import (
    BadRequest,
    CannotListen,
    NoRollout,
    NothingToUndo,
    NotNow,
    NotPaused,
    OtherFleet,
    Unknown,
    UnknownRevision,
)
from roadstead.daemon.metrics import Metrics
from roadstead.daemon.service import Service
from roadstead.daemon.steering import Steer
from roadstead.daemon.streams import Streams
from roadstead.daemon.view import View
from roadstead.decide.report import Replay, explanation, fleet_drift, fleet_limits, fleet_status, intents_of, plan_view
from roadstead.decide.scaling import replayed
from roadstead.errors import BackendError, Conflict, Denied, Forbidden, RoadsteadError, StateError, Unreachable
from roadstead.spi.backend import KeepsLogs
from roadstead.wire import from_wire, to_wire

__all__ = ["FORMAT_VERSION", "Api"]

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

FORMAT_VERSION = 1
FLEET_HEADER = "roadstead-fleet"
_LARGEST_BODY = 64 * 1024
_EVENTS_AT_ONCE = 1000

_STATUS: tuple[tuple[type[RoadsteadError], HTTPStatus], ...] = (
    (Unknown, HTTPStatus.NOT_FOUND),
    (UnknownRevision, HTTPStatus.NOT_FOUND),
    (NoRollout, HTTPStatus.CONFLICT),
    (NotPaused, HTTPStatus.CONFLICT),
    (NothingToUndo, HTTPStatus.CONFLICT),
    (BadRequest, HTTPStatus.BAD_REQUEST),
    (NotNow, HTTPStatus.SERVICE_UNAVAILABLE),
    (OtherFleet, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Denied, HTTPStatus.FORBIDDEN),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (Unreachable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Conflict, HTTPStatus.CONFLICT),
    (BackendError, HTTPStatus.BAD_GATEWAY),
    (StateError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (CannotListen, HTTPStatus.INTERNAL_SERVER_ERROR),
)


@attrs.frozen(kw_only=True)
class _Apply:
    """The body of ``POST /v1/apply``."""

    confirm_removals: bool = False


@attrs.frozen
class _Scale:
    """The body of ``POST /v1/scale``."""

    deployment: str
    replicas: int


@attrs.frozen
class _Delete:
    """The body of ``POST /v1/delete``."""

    deployment: str


@attrs.frozen
class _Migrate:
    """The body of ``POST /v1/migrate``; without ``to``, back to where the file says."""

    deployment: str
    to: str | None = None


@attrs.frozen(kw_only=True)
class _Rollout:
    """The body of ``POST /v1/rollout``; ``to`` is a revision or version, for ``undo`` only."""

    deployment: str
    asked: Steer
    to: str | None = None


@attrs.frozen
class _Stop:
    """The body of ``POST /v1/stop``."""

    stop_replicas: bool = False


class Api:
    """Answers requests from the service's view, and hands commands to its loop."""

    def __init__(self, service: Service, metrics: Metrics, clock: Clock) -> None:
        self._service = service
        self._metrics = metrics
        self._clock = clock
        self.streams = Streams()

    def control(self) -> Starlette:
        """Return the application for the control socket."""
        return _application(
            Route("/v1/status", self._status),
            Route("/v1/plan", self._plan),
            Route("/v1/why/{deployment}", self._why),
            Route("/v1/scaling/{deployment}", self._scaling),
            Route("/v1/endpoints", self._endpoints),
            Route("/v1/limits", self._limits),
            Route("/v1/drift", self._drift),
            Route("/v1/events", self._events),
            Route("/v1/logs/{replica}", self._logs),
            Route("/v1/apply", self._apply, methods=["POST"]),
            Route("/v1/scale", self._scale, methods=["POST"]),
            Route("/v1/delete", self._delete, methods=["POST"]),
            Route("/v1/migrate", self._migrate, methods=["POST"]),
            Route("/v1/rollout", self._rollout, methods=["POST"]),
            Route("/v1/stop", self._stop, methods=["POST"]),
            *self._monitoring_routes(),
            middleware=[Middleware(_ForOneFleet, fleet=self._service.session.fleet.name)],
        )

    def monitoring(self) -> Starlette:
        """Return the application for TCP: nothing on it changes anything."""
        return _application(*self._monitoring_routes())

    def _monitoring_routes(self) -> tuple[Route, ...]:
        return Route("/healthz", self._health), Route("/metrics", self._prometheus)

    # ---- looking ----

    def _seen(self) -> View:
        """Return a view with a turn in it."""
        view = self._service.view
        if view.turn is None:
            problem = f": {view.problems[0]}" if view.problems else ""
            raise NotNow(f"the daemon has not completed a turn yet{problem}", hint="try again in a moment")
        return view

    async def _status(self, _: Request) -> Response:
        return _answer(to_wire(self._fleet_status(self._seen())))

    def _fleet_status(self, view: View) -> Any:
        turn = view.turn
        assert turn is not None
        service = view.service(pid=os.getpid(), started_at=self._service.started_at, file=str(self._service.file))
        return fleet_status(turn.fleet, turn.world, turn.plan, self._clock.now(), service)

    async def _plan(self, request: Request) -> Response:
        staged = request.query_params.get("staged") == "1"
        look = await asyncio.wrap_future(self._service.foresee(staged=staged))
        then = await asyncio.to_thread(self._service.session.reconciler.beyond, look)
        return _answer(to_wire(plan_view(look.fleet, look.world, look.plan, look.at, then)))

    async def _why(self, request: Request) -> Response:
        view = self._seen()
        assert view.turn is not None
        name = request.path_params["deployment"]
        status = self._fleet_status(view).deployment(name)
        if status is None:
            raise Unknown(f"there is no deployment {name!r}", hint=nearest(name, view.turn.fleet.deployments))
        orders = intents_of(view.turn.fleet, name)
        return _answer(to_wire(explanation(status, view.turn.world, view.turn.plan, self._clock.now(), orders)))

    async def _scaling(self, request: Request) -> Response:
        """Answer with the last change by load until ``at``, asked again."""
        view, name = self._seen(), request.path_params["deployment"]
        at = _number(request.query_params.get("at", str(self._clock.now())), "at")
        session = self._service.session
        kept = await asyncio.to_thread(session.journal.scaling, name, at)
        if kept is None:
            assert view.turn is not None
            known = name in view.turn.fleet.deployments
            hint = "`roadstead events` has what did" if known else nearest(name, view.turn.fleet.deployments)
            raise Unknown(f"load changed nothing of {name!r} until then", hint=hint)
        differences = replayed(kept.decided, session.reconciler.scalers)
        return _answer(to_wire(Replay(at=kept.at, turn=kept.turn, decided=kept.decided, differences=differences)))

    async def _endpoints(self, _: Request) -> Response:
        return _answer(to_wire(self._seen().table))

    async def _limits(self, _: Request) -> Response:
        turn = self._seen().turn
        assert turn is not None
        return _answer(to_wire(fleet_limits(turn.fleet, turn.world, turn.plan, self._clock.now())))

    async def _drift(self, _: Request) -> Response:
        turn = self._seen().turn
        assert turn is not None
        return _answer(to_wire(fleet_drift(turn.fleet, turn.world, turn.plan, self._clock.now())))

    async def _health(self, _: Request) -> Response:
        view = self._service.view
        allowed = 3 * view.fleet.daemon.turn.seconds + 60.0
        stuck = view.turned_at is not None and self._clock.monotonic() - view.turned_at > allowed
        problems = (*view.wrong, *((f"no turn was completed for {allowed:g} s",) if stuck else ()))
        sick = stuck or not view.acts
        state = "failing" if sick else "degraded" if problems else "ok"
        content = {"status": state, "problems": list(problems), "turn": view.turn.number if view.turn else 0}
        return _answer(content, HTTPStatus.SERVICE_UNAVAILABLE if sick else HTTPStatus.OK)

    async def _prometheus(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    # ---- following ----

    async def _events(self, request: Request) -> Response:
        query = request.query_params
        since = _number(query.get("since", "0"), "since")
        follow = query.get("follow") == "1"
        return StreamingResponse(
            self._told(since, query.get("deployment"), follow=follow), media_type="application/x-ndjson"
        )

    async def _told(self, since: int, deployment: str | None, *, follow: bool) -> AsyncIterator[bytes]:
        """Yield events as lines, the newest of the past first asked for, and then those to come."""
        journal = self._service.session.journal
        async with self.streams.news(journal.listening) as news:
            while True:
                selection = Selection(since=since, deployment=deployment, limit=_EVENTS_AT_ONCE)
                for event in await asyncio.to_thread(journal.events, selection):
                    since = event.seq
                    yield _line(to_wire(event))
                if not follow or not await news.wait():
                    return

    async def _logs(self, request: Request) -> Response:
        replica = request.path_params["replica"]
        tail = request.query_params.get("tail")
        lines = _number(tail, "tail") if tail is not None else None
        follow = request.query_params.get("follow") == "1"
        backend = self._backend_of(replica)
        return StreamingResponse(
            self.streams.pumped(lambda: backend.logs(replica, tail=lines, follow=follow)),
            media_type="text/plain; charset=utf-8",
        )

    def _backend_of(self, replica: str) -> KeepsLogs:
        turn = self._seen().turn
        assert turn is not None
        members = {member.replica.id: member for shard in turn.world.shards.values() for member in shard.members}
        member = members.get(replica)
        if member is None:
            raise Unknown(f"there is no replica {replica!r}", hint=nearest(replica, members))
        cluster = self._service.session.clusters.get(member.cluster)
        backend: object = cluster.backend if cluster is not None else None
        if isinstance(backend, KeepsLogs):
            return backend
        words = f"cluster {member.cluster!r} keeps no logs that can be shown here"
        raise Unknown(words, hint="look where its servers print to")

    # ---- changing ----

    async def _apply(self, request: Request) -> Response:
        body = await _body(request, _Apply)
        return _answer({"turn": await asyncio.wrap_future(self._service.apply(confirm_removals=body.confirm_removals))})

    async def _scale(self, request: Request) -> Response:
        body = await _body(request, _Scale)
        return _answer({"turn": await asyncio.wrap_future(self._service.scale(body.deployment, body.replicas))})

    async def _delete(self, request: Request) -> Response:
        body = await _body(request, _Delete)
        return _answer({"turn": await asyncio.wrap_future(self._service.delete(body.deployment))})

    async def _migrate(self, request: Request) -> Response:
        body = await _body(request, _Migrate)
        return _answer({"turn": await asyncio.wrap_future(self._service.migrate(body.deployment, body.to))})

    async def _rollout(self, request: Request) -> Response:
        body = await _body(request, _Rollout)
        turn = await asyncio.wrap_future(self._service.steer(body.deployment, body.asked, body.to))
        return _answer({"turn": turn})

    async def _stop(self, request: Request) -> Response:
        body = await _body(request, _Stop)
        self._service.stop(stop_replicas=body.stop_replicas)
        return _answer({"stopping": True})


# ---- the wire ----


class _ForOneFleet:
    """Refuses a request that says it is for another fleet: two fleet files may name one state directory."""

    def __init__(self, app: ASGIApp, fleet: str) -> None:
        self._app = app
        self._fleet = fleet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope).get(FLEET_HEADER, self._fleet) if scope["type"] == "http" else self._fleet
        if asked == self._fleet:
            await self._app(scope, receive, send)
            return
        refusal = _error(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            OtherFleet.code,
            f"the daemon of this state directory runs fleet {self._fleet}, not {asked}",
            "give each fleet a state directory of its own (daemon.state), or put the fleet's name back",
        )
        await refusal(scope, receive, send)


def _application(*routes: Route, middleware: Sequence[Middleware] = ()) -> Starlette:
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={RoadsteadError: _refused, HTTPException: _not_of_ours, Exception: _broken},
    )


def _answer(content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(_line({"format_version": FORMAT_VERSION, **content}), status, media_type="application/json")


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n"


def _error(status: int, code: str, message: str, hint: str | None) -> Response:
    error = {"code": code, "message": message, "hint": hint}
    return Response(_line({"format_version": FORMAT_VERSION, "error": error}), status, media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RoadsteadError)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
    if status is None:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if error.exit_code == 65 else HTTPStatus.INTERNAL_SERVER_ERROR
    return _error(status, error.code, str(error), error.hint)


async def _not_of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail.lower()}"
    return _error(error.status_code, Unknown.code, message, "this daemon may be older or newer than its caller")


async def _broken(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    text = f"{type(error).__name__}: {error}"
    return _error(
        HTTPStatus.INTERNAL_SERVER_ERROR, RoadsteadError.code, text, "this is a fault of roadstead: see its log"
    )


async def _body(request: Request, kind: type[T]) -> T:
    """Return the request's body as ``kind``; raises :class:`BadRequest` for anything else."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _LARGEST_BODY:
            raise BadRequest(f"the request is larger than {_LARGEST_BODY} bytes")
    try:
        return from_wire(json.loads(data or b"{}"), kind)
    except ValueError as error:
        raise BadRequest(f"the request is not understood: {error}") from error


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise BadRequest(f"{name}={text!r} is no number", hint="0 or more")
    return int(text)
