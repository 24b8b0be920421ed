"""What a shim tells: the phase of its server, and how the last runs ended. Written by the shim alone."""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import os
import signal
from typing import Any, NamedTuple

from roadstead.shim.files import read_json
from roadstead.shim.identity import ProcessIdentity

STATE_FILE = "state.json"
EXITS_KEPT = 8

STARTING = "starting"
PREPARING = "preparing"
RUNNING = "running"
WAITING = "waiting"
STOPPING = "stopping"
STOPPED = "stopped"
HALTED = "halted"
"""The phases. `WAITING`: crashed, to be started again. `STOPPED`: for good, because it was asked for. `HALTED`: the
shim itself was told to go (the machine is shutting down); the next shim starts the server again."""


class Exit(NamedTuple):
    """How one run ended.

    ``at`` is in seconds since the epoch, ``what`` is ``server``, ``prepare`` or ``start`` (it never ran). Of ``code``
    and ``signal`` one is set, or neither where nobody could know (an adopted server on an older kernel). ``asked`` is
    the reason when we ended it ourselves. ``detail`` is a sentence for people.
    """

    at: float
    what: str
    code: int | None
    signal: int | None
    out_of_memory: bool
    ran_for: float
    asked: str | None
    detail: str


class ShimState(NamedTuple):
    """The whole state of one shim.

    Times are seconds since the epoch. ``starts`` counts starts of the server, ``crashes`` the crashes in a row.
    ``next_start`` is set while `WAITING`. ``oom_kills`` is the control group's counter when the server was started.
    ``restarted`` is the id of the last restart request carried out. ``log_lost`` counts the bytes of the log that
    could not be written, ``trouble`` says why something of the shim's own work fails at this moment.
    """

    replica: str
    phase: str = STARTING
    since: float = 0.0
    shim: ProcessIdentity | None = None
    server: ProcessIdentity | None = None
    step: int = 0
    started: float | None = None
    starts: int = 0
    crashes: int = 0
    next_start: float | None = None
    oom_kills: int | None = None
    restarted: str | None = None
    exits: tuple[Exit, ...] = ()
    log_lost: int = 0
    trouble: str | None = None

    @property
    def restarts(self) -> int:
        """Starts of the server beyond the first."""
        return max(0, self.starts - 1)


def with_exit(state: ShimState, ended: Exit) -> ShimState:
    """Return the state with one more exit; only the last `EXITS_KEPT` are kept."""
    return state._replace(exits=(*state.exits, ended)[-EXITS_KEPT:])


def describe_status(status: int | None) -> tuple[int | None, int | None, str]:
    """Return exit code, signal and a sentence for a status as ``os.wait`` encodes it.

    >>> describe_status(9)
    (None, 9, 'killed by SIGKILL')
    >>> describe_status(3 << 8)
    (3, None, 'exited with code 3')
    """
    if status is None:
        return None, None, "ended; how is not known, because the shim that started it was lost"
    number = status & 0x7F
    if number == 0:
        code = (status >> 8) & 0xFF
        return code, None, f"exited with code {code}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return None, number, f"killed by {name}"


def state_to_json(state: ShimState) -> dict[str, Any]:
    """Return a state as JSON values."""
    value = state._asdict()
    value["shim"] = None if state.shim is None else state.shim._asdict()
    value["server"] = None if state.server is None else state.server._asdict()
    value["exits"] = [ended._asdict() for ended in state.exits]
    return value


def state_from_json(value: dict[str, Any]) -> ShimState:
    """Return the state that JSON values say; unknown fields (of a newer version) are left out."""
    known = {name: value[name] for name in ShimState._fields if name in value}
    known["shim"] = None if known.get("shim") is None else ProcessIdentity(**known["shim"])
    known["server"] = None if known.get("server") is None else ProcessIdentity(**known["server"])
    known["exits"] = tuple(
        Exit(**{name: ended[name] for name in Exit._fields if name in ended}) for ended in known.get("exits", ())
    )
    return ShimState(**known)


def read_state(directory: str) -> ShimState | None:
    """Return what the shim of a replica wrote last, or None where that is nothing, or nothing that can be read."""
    value = read_json(os.path.join(directory, STATE_FILE))
    try:
        return None if value is None else state_from_json(value)
    except (AttributeError, KeyError, TypeError):
        return None
