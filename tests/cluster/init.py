"""PID 1 of a machine: starts what it is told, collects the dead, and ends, with the machine, when its caller does.

It is run by path, in new namespaces, and knows nothing but the standard library. On its standard input comes one JSON
object a line, and each is answered by one on its standard output:

``{"start": {"argv": [...], "env": {...}, "log": "PATH"}}``  ``{"pid": 7}``, or ``{"error": "..."}``
``{"signal": {"pid": 7, "number": 9}}``                      ``{"sent": true}``; false where it has ended
``{"exit": {"pid": 7}}``                                     ``{"code": null}`` while it runs, else 0, 1, ... or -SIGNAL

The end of its input is the order to end. The kernel kills every other process of a namespace with its PID 1, so there
is no list to keep and nothing to forget.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any, Final

_LOG_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def main() -> None:
    """Answer requests until there are no more."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    exits: dict[int, int] = {}
    requests = sys.stdin.fileno()  # unbuffered: select does not see what Python has read ahead
    unread = b""
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        collect(exits)
        if requests in ready:
            read = os.read(requests, 65536)
            if not read:
                os._exit(0)
            *lines, unread = (unread + read).split(b"\n")
            for line in lines:
                sys.stdout.write(json.dumps(answer(json.loads(line), exits)) + "\n")
                sys.stdout.flush()


def collect(exits: dict[int, int]) -> None:
    """Take note of what has ended: our own children, and orphans, which are PID 1's to collect."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        exits[pid] = os.waitstatus_to_exitcode(status)


def answer(request: dict[str, Any], exits: dict[int, int]) -> dict[str, Any]:
    """Do what a request asks, and return what there is to say."""
    match request:
        case {"start": {"argv": argv, "env": env, "log": log}}:
            try:
                pid = start(argv, env, log)
            except OSError as error:
                return {"error": f"cannot start {argv[0]}: {error.strerror}"}
            exits.pop(pid, None)
            return {"pid": pid}
        case {"signal": {"pid": pid, "number": number}}:
            if pid in exits:
                return {"sent": False}
            os.kill(pid, number)
            return {"sent": True}
        case {"exit": {"pid": pid}}:
            return {"code": exits.get(pid)}
        case _:
            return {"error": f"not a request: {request!r}"}


def start(argv: list[str], env: dict[str, str], log: str) -> int:
    """Start a process that writes into a log, in a session of its own, and return its id."""
    return os.posix_spawnp(
        argv[0],
        argv,
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, _LOG_FLAGS, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE],  # Python ignores it, which would be inherited
    )


if __name__ == "__main__":
    main()
