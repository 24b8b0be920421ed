"""How requests pass: which endpoints stay in a gateway to drain, and what is held because of a gateway.

An endpoint that is taken out of the table stays in the gateway, without new requests, until it is seen idle: only there
does the gateway show what is in flight to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from roadstead.decide.case import Case
from roadstead.decide.rows import RowKey
from roadstead.memory import GroupMemory, place
from roadstead.plans import Held
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.traffic import GatewayState, Passage, Seen, Unseen
from roadstead.world import Listed, Member, World, listed

__all__ = ["draining", "held", "of_gateways", "of_route", "wrong_with"]


def draining(members: Iterable[Member], serving: Sequence[Member]) -> tuple[Listed, ...]:
    """Return where requests may still be in flight among ``members``, less those that are ``serving``."""
    passed = [member for member in members if member.passage is not None and not _is_past(member.passage)]
    if not passed:
        return ()
    kept = {(member.cluster, member.replica.id) for member in serving}
    return listed(member for member in passed if (member.cluster, member.replica.id) not in kept)


def _is_past(passage: Passage) -> bool:
    return passage.known and not passage.listed and passage.idle


def held(
    case: Case,
    groups: Mapping[str, GroupMemory],
    victims: Mapping[RowKey, tuple[Member, ...]],
    serving: Sequence[Member],
) -> Iterator[Held]:
    """Yield what does not go on because of the deployment's gateway.

    That a gateway sends nothing to a replica is said of proven groups only: of a new one it has to find out first.
    """
    gateway = case.world.data_path.via.get(case.name)
    state = case.world.data_path.gateways.get(gateway) if gateway is not None else None
    if gateway is None or state is None:
        return
    stuck = [member for chosen in victims.values() for member in chosen if not member.is_out]
    # A warning of one that follows the newest table is no reason why anybody still gets requests.
    wrong = None if isinstance(state, Seen) and state.view.settled else wrong_with(gateway, state)
    if stuck and wrong is not None:
        detail = f"{len(stuck)} to be stopped may still get requests: {wrong.detail}"
        yield _held(case.name, Reason(code=ReasonCode.GATEWAY, detail=detail, raw=wrong.raw, change=wrong.change))
    if isinstance(state, Seen) and state.view.settled:
        shunned = sum(
            _is_shunned(member.passage) and groups[place(member.cluster, member.group.key)].proven for member in serving
        )
        if shunned:
            detail = f"gateway {gateway} sends nothing to ready replicas that it sees unhealthy"
            yield _held(
                case.name,
                Reason(code=ReasonCode.GATEWAY, detail=detail, count=shunned, total=len(serving), change=_REACH),
            )


def _is_shunned(passage: Passage | None) -> bool:
    """Return whether a gateway lists an endpoint and sends it nothing."""
    return passage is not None and passage.listed and not passage.serving


def of_route(world: World, name: str) -> Iterator[Held]:
    """Yield why clients cannot use the address of a deployment, if they cannot."""
    gateway = world.data_path.via.get(name)
    route = world.data_path.routes(gateway).get(name) if gateway is not None else None
    if route is not None and route.problem:
        detail = f"gateway {gateway} does not serve port {route.port}: {route.problem}"
        yield _held(name, Reason(code=ReasonCode.GATEWAY, detail=detail, raw=route.problem, change=_PORT))


def of_gateways(world: World) -> Iterator[Held]:
    """Yield what is wrong with whole gateways."""
    for name, state in sorted(world.data_path.gateways.items()):
        reason = wrong_with(name, state)
        if reason is not None:
            yield _held("", reason)


def wrong_with(gateway: str, state: GatewayState) -> Reason | None:
    """Return what is wrong with a whole gateway, or ``None`` where nothing is."""
    if isinstance(state, Unseen):
        detail = f"gateway {gateway} does not answer"
        return Reason(code=ReasonCode.GATEWAY, detail=detail, raw=state.error, change=_WAIT)
    if state.view.problem:
        detail = f"gateway {gateway} reports a problem"
        return Reason(code=ReasonCode.GATEWAY, detail=detail, raw=state.view.problem, change=_FIX)
    return None


def _held(deployment: str, reason: Reason) -> Held:
    return Held(deployment=deployment, cluster="", reason=reason)


_WAIT = Change(
    ChangeKind.WAIT, "one that ended is started again by itself; of one that hangs or is missing, it says why"
)
_FIX = Change(ChangeKind.FIX_INPUT, "mend what it names; what it has accepted stays in force until then")
_PORT = Change(ChangeKind.FIX_INPUT, "free the port, or give the deployment another one with gateway.port")
_REACH = Change(ChangeKind.FIX_INPUT, "see whether the gateway can connect to the addresses of the replicas")
