"""One gateway in our hands: the plugin's object, the one thread that calls it, and what it last showed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import MappingProxyType

import attrs

from roadstead.act.clock import Clock
from roadstead.act.worker import Hire, hire
from roadstead.errors import BackendError, RoadsteadError
from roadstead.model import GatewaySpec
from roadstead.spi.gateway import Gateway, Route, RouteTable, WatchesTraffic
from roadstead.traffic import GatewayState, GatewayView, Passage, RouteView, Seen, Unseen
from roadstead.units import Duration

__all__ = ["AGAIN", "HANGS", "DrivenGateway", "is_news", "steadied"]

_LOG = logging.getLogger(__name__)

SELDOM = Duration(1_000)
OFTEN = Duration(50)
"""How often a gateway is looked at: seldom at rest. While more is to come of what it was asked, often for half a second
after something about it changed, and then after each tenth of the time for which nothing has."""

AGAIN = Duration(2_000)
"""How soon a table that is not in force is offered once more."""

HANGS = Duration(5_000)
"""How long a call may take before the gateway counts as one that does not answer."""

_READ_WITHIN = Duration(2_000)
_STOP_WITHIN = Duration(20_000)
_CLOSE_WITHIN = Duration(5_000)


@attrs.frozen
class _Call:
    """A call that is under way: when it began, on both clocks."""

    began: float
    at: int


class _Compared:
    """Compares what a gateway shows with a table, looking only at routes of which one side is another object."""

    def __init__(self) -> None:
        self._alike: dict[str, tuple[RouteView | None, Route]] = {}

    def holds(self, view: GatewayView, table: RouteTable) -> bool:
        """Return whether ``view`` lists what ``table`` says, and nothing else for the deployments in it."""
        if self._alike.keys() - table.routes.keys():
            self._alike = {name: known for name, known in self._alike.items() if name in table.routes}
        for name, route in table.routes.items():
            shown, known = view.routes.get(name), self._alike.get(name)
            if known is None or known[0] is not shown or known[1] is not route:
                if not _lists(shown, route):
                    return False
                self._alike[name] = shown, route
        return True


def _lists(shown: RouteView | None, route: Route) -> bool:
    passages = shown.passages if shown is not None else {}
    listed = {endpoint for endpoint, passage in passages.items() if passage.listed}
    return listed == {one.endpoint for one in route.destinations if not one.draining}


class DrivenGateway:
    """Calls one gateway from one thread, as its contract says, and never has anybody wait for it.

    It is looked at all the time, and ``wake`` is called when it shows something that a decision depends on and that
    :meth:`state` has not returned yet; that only the load changed is no such thing. Whatever a plugin raises, or does
    not come back from, is something that is wrong with this gateway, and with nothing else.
    """

    def __init__(
        self, spec: GatewaySpec, gateway: Gateway, wake: Callable[[], None], clock: Clock, *, hiring: Hire = hire
    ) -> None:
        self.spec = spec
        self._gateway = gateway
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._offered: RouteTable | None = None
        self._offered_at = 0.0
        self._to_offer: RouteTable | None = None
        self._refusal = ""
        self._nudged = False
        self._under_way: _Call | None = None
        self._newest: GatewayState | None = None
        self._shown: GatewayState | None = None
        self._moved_at = clock.monotonic()
        self._more_to_come = False
        self._answered = threading.Event()
        self._said: set[str] = set()
        self._compared = _Compared()
        self._worker = hiring(f"gateway-{spec.name}", chore=self._look, pause=self._pause)
        self._worker.submit(self._watch)
        self._nudge()

    # ---- from any thread ----

    @property
    def newest(self) -> GatewayState:
        """What it last showed, with the newest load."""
        newest = self._newest
        if (call := self._hanging()) is not None:
            return self._unseen("a call to it does not come back", call.at)
        return newest if newest is not None else self._unseen("it has not been looked at yet", self._clock.now())

    def state(self) -> GatewayState:
        """Return what it last showed, as what the next decision knows; what is different after that wakes."""
        self._shown = shown = self.newest
        return shown

    def wait(self, seconds: float) -> None:
        """Wait until it was looked at for the first time, or that long."""
        self._answered.wait(seconds)

    def look(self) -> Future[GatewayState]:
        """Have it looked at now, after all that was offered to it so far; one that hangs is not asked more and more."""
        if self._hanging() is not None:
            silent: Future[GatewayState] = Future()
            silent.set_result(self.newest)
            return silent
        return self._worker.submit(self._looked)

    def state_of(self, asked: Future[GatewayState], seconds: float) -> GatewayState:
        """Return what became of :meth:`look` after at most ``seconds``; no answer by then is an answer too."""
        try:
            return asked.result(seconds)
        except TimeoutError:
            return self._unseen(f"no answer within {max(0.0, seconds):.1f} s", self._clock.now())

    def offer(self, table: RouteTable) -> None:
        """Have the gateway follow ``table``, and return at once; what is in force already is not offered again."""
        now = self._clock.monotonic()
        if table == self._offered and (self._is_in_force(table) or now - self._offered_at < AGAIN.seconds):
            return
        with self._lock:
            self._offered, self._offered_at = table, now
            waits, self._to_offer = self._to_offer is not None, table
        if not waits:
            self._worker.submit(self._route)

    def ports(self) -> Mapping[str, int]:
        """Return the ports that the gateway itself has kept, by deployment; none where it cannot tell in time."""
        try:
            return self._worker.submit(self._gateway.ports).result(_READ_WITHIN.seconds)
        except Exception as error:  # noqa: BLE001  # a stranger's code: it cannot tell
            _LOG.warning("gateway %s does not say which ports it gave: %s", self.spec.name, _words(error))
            return {}

    def take_down(self) -> str:
        """Take the gateway down, and return why that did not work, or nothing."""
        try:
            self._worker.submit(self._gateway.stop).result(_STOP_WITHIN.seconds)
        except TimeoutError:
            return f"it did not stop within {_STOP_WITHIN}"
        except Exception as error:  # noqa: BLE001  # a stranger's code: what it says is why
            return _words(error)
        return ""

    def close(self) -> None:
        """Let go of it once its calls are done, and leave it serving; does not wait for a call that hangs."""
        closed = self._worker.submit(self._gateway.close)
        self._worker.end()
        try:
            closed.result(_CLOSE_WITHIN.seconds)
        except TimeoutError:
            _LOG.warning("gateway %s is not let go of: a call is still under way", self.spec.name)
        except Exception:  # noqa: BLE001  # a stranger's code, and the last thing asked of it
            _LOG.warning("the plugin of gateway %s failed to close", self.spec.name, exc_info=True)

    def _nudge(self) -> None:
        """Look soon: the plugin says that something happened; saying so often is saying it once."""
        with self._lock:
            nudged, self._nudged = self._nudged, True
        if not nudged:
            self._worker.submit(self._look)

    def _hanging(self) -> _Call | None:
        call = self._under_way
        return call if call is not None and self._clock.monotonic() - call.began > HANGS.seconds else None

    def _is_in_force(self, table: RouteTable) -> bool:
        """Return whether the gateway follows ``table``: one that is settled may have settled on somebody else's."""
        newest = self._newest
        return isinstance(newest, Seen) and newest.view.settled and self._compared.holds(newest.view, table)

    def _unseen(self, error: str, since: int) -> Unseen:
        """Return that there is no answer, since the first time that there was none."""
        newest = self._newest
        if isinstance(newest, Unseen):
            return attrs.evolve(newest, error=error)
        return Unseen(since=since, error=error, view=newest.view if newest is not None else None)

    # ---- on the gateway's thread ----

    def _pause(self) -> float:
        if not self._more_to_come:
            return SELDOM.seconds
        quiet = self._clock.monotonic() - self._moved_at
        return min(SELDOM.seconds, max(OFTEN.seconds, quiet / 10))

    def _watch(self) -> None:
        if isinstance(self._gateway, WatchesTraffic):
            try:
                self._gateway.watch(self._nudge)
            except Exception as error:  # noqa: BLE001  # a stranger's code: it is looked at all the same
                self._wrong(error)

    def _route(self) -> None:
        with self._lock:
            table, self._to_offer = self._to_offer, None
        assert table is not None
        with self._call():
            try:
                self._gateway.route(table)
                self._refusal = ""
            except Exception as error:  # noqa: BLE001  # a stranger's code: its faults are its gateway's alone
                self._refusal = self._wrong(error)
        self._moved_at = self._clock.monotonic()
        self._look()

    def _look(self) -> None:
        self._looked()

    def _looked(self) -> GatewayState:
        self._nudged = False
        with self._call() as call:
            state = self._seen(call)
        is_other = is_news(self._newest, state)
        if is_other:
            self._moved_at = self._clock.monotonic()
        if isinstance(state, Unseen):
            self._more_to_come = self._offered is not None
        elif is_other:
            self._more_to_come = _awaits(state.view)
        self._newest = state
        self._answered.set()
        if is_news(self._shown, state):
            self._wake()
        return state

    def _seen(self, call: _Call) -> GatewayState:
        before = self._newest.view if self._newest is not None else None
        try:
            view = steadied(before, self._gateway.view())
        except Exception as error:  # noqa: BLE001  # a stranger's code: its faults are its gateway's alone
            return self._unseen(self._refusal or self._wrong(error), call.at)
        return Seen(attrs.evolve(view, settled=False, problem=self._refusal) if self._refusal else view)

    @contextlib.contextmanager
    def _call(self) -> Iterator[_Call]:
        call = _Call(self._clock.monotonic(), self._clock.now())
        self._under_way = call
        try:
            yield call
        finally:
            self._under_way = None

    def _wrong(self, error: Exception) -> str:
        """Return in words what a call raised; what the contract does not allow is logged, once for each kind."""
        text = _words(error)
        if not isinstance(error, BackendError) and text not in self._said:
            self._said.add(text)
            _LOG.warning("the plugin of gateway %s failed", self.spec.name, exc_info=error)
        return text


def is_news(known: GatewayState | None, state: GatewayState) -> bool:
    """Return whether a decision made with ``known`` might be another one with ``state``; pure."""
    if isinstance(known, Unseen) and isinstance(state, Unseen):
        return False
    if not (isinstance(known, Seen) and isinstance(state, Seen)):
        return True
    old, new = known.view, state.view
    return old.routes is not new.routes or (old.settled, old.problem) != (new.settled, new.problem)


def steadied(before: GatewayView | None, view: GatewayView) -> GatewayView:
    """Return ``view`` with every route that equals that of ``before`` as that very object, and all of them too; pure.

    Whoever compares by identity then sees what changed, whatever the plugin does about that.
    """
    if before is None or before.routes is view.routes:
        return view
    routes = {
        name: known if (known := before.routes.get(name)) is route or known == route else route
        for name, route in view.routes.items()
    }
    same = routes.keys() == before.routes.keys() and all(before.routes[name] is route for name, route in routes.items())
    return attrs.evolve(view, routes=before.routes if same else MappingProxyType(routes))


def _awaits(view: GatewayView) -> bool:
    """Return whether more is to come of what was asked: a table accepted, an endpoint in use, another one drained."""
    return not view.settled or any(
        _is_on_its_way(passage) for route in view.routes.values() for passage in route.passages.values()
    )


def _is_on_its_way(passage: Passage) -> bool:
    return not passage.serving if passage.listed else not passage.idle


def _words(error: Exception) -> str:
    if isinstance(error, RoadsteadError):
        message = str(error.args[0])
        return f"{message} ({error.hint})" if error.hint else message
    return f"its plugin failed: {type(error).__name__}: {error}"
