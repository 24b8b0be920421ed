"""The shim's entry: one per replica, one spec, one state to go on from."""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import fcntl
import os
import sys

from roadstead.shim.files import PRIVATE_FILE, read_json
from roadstead.shim.spawn import become_subreaper
from roadstead.shim.spec import SPEC_FILE, spec_from_json
from roadstead.shim.state import STATE_FILE, ShimState, state_from_json
from roadstead.shim.supervisor import Supervisor

LOCK_FILE = "shim.lock"
ALREADY_RUNNING = 3
BAD_SPEC = 2


def main(argv: list[str]) -> int:
    """Run the shim of the replica whose folder is the first argument.

    Returns `BAD_SPEC` or `ALREADY_RUNNING` for what would only fail again.
    """
    directory = argv[1]
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # whatever the daemon's libraries left open
    os.chdir("/")
    # Held until this process ends, however it ends; the server does not inherit it.
    lock = os.open(os.path.join(directory, LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"replica {directory} already has a shim\n")
        return ALREADY_RUNNING
    try:
        spec = spec_from_json(read_json(os.path.join(directory, SPEC_FILE)) or {})
    except (KeyError, TypeError, ValueError) as error:
        sys.stderr.write(f"spec of {directory} cannot be read: {error!r}\n")
        return BAD_SPEC
    value = read_json(os.path.join(directory, STATE_FILE))
    state = ShimState(spec.replica) if value is None else state_from_json(value)
    become_subreaper()
    Supervisor(directory, spec, state).run()
    return 0
