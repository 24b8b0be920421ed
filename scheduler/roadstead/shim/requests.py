"""What the daemon asks of a shim: durable files, so that no request is lost with the process that it was made to.

The asker writes the file and then sends `WAKE` to the shim. A shim that was started again reads the files first.
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import json
import os
import signal
from typing import Any, NamedTuple

from roadstead.shim.files import read_json, write_json

STOP_FILE = "stop.json"
RESTART_FILE = "restart.json"
WAKE = signal.SIGUSR1


class StopRequest(NamedTuple):
    """Stop for good: SIGTERM, after ``grace`` seconds SIGKILL; never taken back, but the grace may be made shorter."""

    grace: float
    reason: str


class RestartRequest(NamedTuple):
    """Start the server anew, once per ``id``: SIGTERM, after ``grace`` seconds SIGKILL, a start without back-off."""

    id: str
    grace: float
    reason: str


def ask_to_stop(directory: str, request: StopRequest) -> None:
    """Write a stop request into a replica's folder; it survives a loss of power."""
    write_json(os.path.join(directory, STOP_FILE), request._asdict(), durable=True)


def ask_to_restart(directory: str, request: RestartRequest) -> None:
    """Write a restart request into a replica's folder; an older one that was not carried out yet is replaced."""
    write_json(os.path.join(directory, RESTART_FILE), request._asdict(), durable=True)


def stop_request(directory: str) -> StopRequest | None:
    """Return the stop request of a replica, if there is one."""
    value = read_json(os.path.join(directory, STOP_FILE))
    return None if value is None else StopRequest(**value)


def restart_request(directory: str) -> RestartRequest | None:
    """Return the last restart request of a replica, carried out or not, if there is one."""
    value: dict[str, Any] | None = read_json(os.path.join(directory, RESTART_FILE))
    return None if value is None else RestartRequest(**value)


def notify(pipe: str | None, replica: str) -> None:
    """Tell a daemon that listens at a named pipe which replica changed; nobody listening is fine.

    It looks at the state files anyway: the message only saves it the wait.
    """
    if pipe is None:
        return
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # no pipe, or no reader
    try:
        os.write(descriptor, json.dumps(replica).encode() + b"\n")
    except (BlockingIOError, BrokenPipeError):
        pass  # the reader is behind and will wake anyway, or has just gone
    finally:
        os.close(descriptor)
