"""What happened on the data path, told from two turns. Pure, and nothing depends on it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from roadstead.act.events import Event, EventKind, Turn
from roadstead.plans import Evict, Restart, Shrink, deployment_of
from roadstead.reasons import ReasonCode
from roadstead.traffic import GatewayState, GatewayView, Load, Seen, Unseen
from roadstead.world import Endpoint, Member, OutcomeKind, World

__all__ = ["Overdue", "load_of", "overdue", "passed"]


def passed(before: Turn | None, after: Turn) -> tuple[Event, ...]:
    """Return what happened to gateways, routes and requests from one turn to the next.

    A gateway that does not answer at a first look has not been started yet, or is told of as what is held.
    """
    return (*_gateways(before, after), *(_of_overdue(one, after.at) for one in overdue(after)))


# ---- gateways ----


def _gateways(before: Turn | None, after: Turn) -> Iterator[Event]:
    was = before.world.data_path.gateways if before is not None else {}
    for name, state in sorted(after.world.data_path.gateways.items()):
        known = was.get(name)
        yield from _answers(name, known, state, after.at)
        if isinstance(state, Seen):
            yield from _problems(name, known.view if known is not None else None, state.view, after.at)


def _answers(name: str, known: GatewayState | None, state: GatewayState, at: int) -> Iterator[Event]:
    if isinstance(state, Unseen) and isinstance(known, Seen):
        text = f"gateway {name} does not answer: {state.error}"
        yield _of_gateway(EventKind.GATEWAY_LOST, text, name, state.since)
    elif isinstance(state, Seen) and isinstance(known, Unseen):
        yield _of_gateway(EventKind.GATEWAY_BACK, f"gateway {name} answers", name, at)


def _problems(name: str, known: GatewayView | None, view: GatewayView, at: int) -> Iterator[Event]:
    """Yield what is wrong now and was not, in the gateway's own words."""
    if view.problem and (known is None or known.problem != view.problem):
        if view.settled:
            yield _of_gateway(EventKind.GATEWAY_PROBLEM, f"gateway {name} has a problem: {view.problem}", name, at)
        else:
            text = f"gateway {name} does not use the newest table: {view.problem}"
            yield _of_gateway(EventKind.TABLE_REJECTED, text, name, at)
    if known is not None and known.routes is view.routes:
        return
    for deployment, route in view.routes.items():
        before = known.routes.get(deployment) if known is not None else None
        if route is not before and route.problem and (before is None or before.problem != route.problem):
            text = f"clients cannot use port {route.port} of gateway {name} for {deployment}: {route.problem}"
            yield _of_gateway(EventKind.ROUTE_PROBLEM, text, name, at, deployment)


def _of_gateway(kind: EventKind, text: str, gateway: str, at: int, deployment: str = "") -> Event:
    reason = "" if kind is EventKind.GATEWAY_BACK else ReasonCode.GATEWAY.value
    return Event(at=at, kind=kind, text=text, deployment=deployment, subject=gateway, reason=reason)


# ---- requests ----


@attrs.frozen
class Overdue:
    """A replica that was told to stop although its requests were not over; ``in_flight`` is ``None`` where unknown."""

    member: Member
    in_flight: int | None


def overdue(turn: Turn) -> Iterator[Overdue]:
    """Yield the replicas that a turn took down because their grace was over, with what was last seen in flight."""
    done = {(one.cluster, one.subject) for one in turn.outcomes if one.kind is OutcomeKind.DONE}
    for step in turn.plan.steps:
        if not isinstance(step, Shrink | Restart | Evict) or not step.overdue:
            continue
        if (step.cluster, step.subject) not in done:
            continue
        shard = turn.world.shards.get(deployment_of(step))
        for member in shard.members if shard is not None else ():
            if member.cluster == step.cluster and member.replica.id in step.overdue:
                load = load_of(turn.world, deployment_of(step), member.replica.endpoint)
                yield Overdue(member, load.in_flight if load is not None else None)


def load_of(world: World, deployment: str, endpoint: Endpoint | None) -> Load | None:
    """Return the load of one endpoint, in the first gateway that knows it."""
    for state in world.data_path.gateways.values():
        route = state.view.loads.get(deployment) if isinstance(state, Seen) else None
        if route is not None and endpoint is not None and endpoint in route.endpoints:
            return route.endpoints[endpoint]
    return None


def _of_overdue(one: Overdue, at: int) -> Event:
    replica, drain = one.member.replica, one.member.group.template.stop.drain_within
    busy = _counted(one.in_flight) if one.in_flight else "requests that may be"
    return Event(
        at=at,
        kind=EventKind.OVERDUE,
        text=f"{replica.id} was stopped with {busy} in flight: its {drain} to drain were over",
        cluster=one.member.cluster,
        deployment=one.member.group.key.deployment,
        subject=replica.id,
        reason=ReasonCode.DRAINING.value,
    )


def _counted(requests: int) -> str:
    return f"{requests} request{'s' if requests > 1 else ''}"
