"""From records and a shim's state to what a snapshot says of a replica. Pure."""

from __future__ import annotations

import datetime as dt

import attrs

from roadstead.reasons import Reason, ReasonCode
from roadstead.shim import state as phases
from roadstead.shim.identity import ProcessIdentity
from roadstead.shim.state import Exit as ShimExit
from roadstead.shim.state import ShimState
from roadstead.spi.runtime import Launch
from roadstead.world import Endpoint, Exit, Phase, Replica
from roadstead_backends.local.records import ReplicaRecord

__all__ = ["Seen", "incarnation", "replica_view"]

_LONGEST_WORDS = 300


@attrs.frozen(kw_only=True)
class Seen:
    """What was found of one replica: its shim's state, whether it was told to stop, and what we could not do for it.

    ``node`` is this machine's name now. Where the last run ended badly, ``raw`` is the end of the log, and ``no_model``
    the folder of the model's version if that is not there.
    """

    state: ShimState | None
    stopping: bool
    node: str
    trouble: str | None = None
    raw: str = ""
    no_model: str | None = None


def replica_view(record: ReplicaRecord, launch: Launch, seen: Seen) -> Replica:
    """Return a replica as a snapshot shows it."""
    if record.node is None:
        return Replica(id=record.id, phase=Phase.SLOT)
    state = seen.state
    ended = state.exits[-1] if state is not None and state.exits else None
    return Replica(
        id=record.id,
        phase=_phase(seen),
        node=seen.node,
        devices=record.devices,
        endpoint=Endpoint(host=record.host, grpc=launch.grpc_port, rest=launch.rest_port),
        incarnation="" if state is None else incarnation(state.server),
        restarts=0 if state is None else state.restarts,
        started_at=None if state is None or state.started is None else round(state.started * 1000),
        reason=_reason(seen, ended),
        last_exit=None if ended is None else _exit(ended),
        earlier_exits=() if state is None else tuple(map(_exit, state.exits[:-1])),
    )


def incarnation(server: ProcessIdentity | None) -> str:
    """Return a name for one run of a server, empty without one.

    >>> incarnation(ProcessIdentity(pid=17, started=4711, boot="0badcafe-1"))
    '0badcafe.4711.17'
    """
    return "" if server is None else f"{server.boot[:8]}.{server.started}.{server.pid}"


def _phase(seen: Seen) -> Phase:
    if seen.stopping:
        return Phase.STOPPING
    if seen.state is not None and seen.state.phase == phases.RUNNING:
        return Phase.RUNNING
    return Phase.STARTING


def _exit(ended: ShimExit) -> Exit:
    return Exit(
        at=round(ended.at * 1000),
        code=ended.code,
        signal=ended.signal,
        out_of_memory=ended.out_of_memory,
        # How a server ended is told by its numbers; of what kept it from running only the shim can tell.
        detail={"start": f"could not be started: {ended.detail}", "prepare": ended.detail}.get(ended.what, ""),
        asked=ended.asked is not None,
    )


def _reason(seen: Seen, ended: ShimExit | None) -> Reason | None:
    if seen.trouble is not None:
        return Reason(code=ReasonCode.CONFIG, detail=seen.trouble)
    state = seen.state
    if state is None or seen.stopping:
        return None
    if ended is not None and ended.asked is None and state.crashes > 0:
        code, story = _code(ended), _story(state, ended, _last_words(seen.raw))
        if seen.no_model is not None:
            code, story = ReasonCode.MODEL, f"{seen.no_model} is not there; {story}"
        return Reason(code=code, detail=story, count=state.crashes, raw=seen.raw)
    if state.phase == phases.PREPARING:
        return Reason(code=ReasonCode.STARTING, detail="the model's files are being checked")
    if state.trouble is not None:
        return Reason(code=ReasonCode.REFUSED, detail=state.trouble)
    return None


def _code(ended: ShimExit) -> ReasonCode:
    if ended.out_of_memory:
        return ReasonCode.OUT_OF_MEMORY
    return {"prepare": ReasonCode.MODEL, "start": ReasonCode.CONFIG}.get(ended.what, ReasonCode.CRASH)


def _story(state: ShimState, ended: ShimExit, words: str) -> str:
    """Return how the last run ended and what comes next, in moments: lengths would change with every look.

    ``words`` are the last that were printed: of a check they say what is wrong, of a server they often do.
    """
    if ended.what == "prepare" and words:
        parts = [words, f"checked at {_moment(ended.at)}"]
    else:
        parts = [f"{ended.detail} at {_moment(ended.at)}"]
    if ended.what == "server" and ended.code is not None and words:
        parts.append(f"it said last: {words}")
    if state.crashes > 1:
        parts.append(f"{state.crashes} times in a row")
    if state.next_start is not None:
        parts.append(f"next start at {_moment(state.next_start)}")
    elif state.phase == phases.RUNNING:
        parts.append("running again")
    if state.trouble is not None:
        parts.append(state.trouble)
    return "; ".join(parts)


def _last_words(raw: str) -> str:
    """Return the last line of a log that is not the shim's own, cut where it is too long for one."""
    lines = (line.strip() for line in reversed(raw.splitlines()) if not line.startswith("[shim]"))
    words = next(filter(None, lines), "")
    return words if len(words) <= _LONGEST_WORDS else f"{words[:_LONGEST_WORDS]} ..."


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
