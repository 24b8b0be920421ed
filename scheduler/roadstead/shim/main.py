"""The shim's entry: one per replica, one spec, one state to go on from."""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import os
import sys

from roadstead.shim.files import read_json
from roadstead.shim.hold import take_hold, wake_holder
from roadstead.shim.spawn import become_subreaper
from roadstead.shim.spec import SPEC_FILE, spec_from_json
from roadstead.shim.state import ShimState, read_state
from roadstead.shim.supervisor import Supervisor

ALREADY_RUNNING = 3
BAD_SPEC = 2


def main(argv: list[str]) -> int:
    """Run the shim of the replica whose folder is the first argument.

    Returns `BAD_SPEC` or `ALREADY_RUNNING` for what would only fail again.
    """
    directory = argv[1]
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # whatever the daemon's libraries left open
    os.chdir("/")
    hold = take_hold(directory)
    if hold is None:
        sys.stderr.write(f"replica {directory} already has a shim\n")
        wake_holder(directory)
        return ALREADY_RUNNING
    try:
        spec = spec_from_json(read_json(os.path.join(directory, SPEC_FILE)) or {})
    except (KeyError, TypeError, ValueError) as error:
        sys.stderr.write(f"spec of {directory} cannot be read: {error!r}\n")
        return BAD_SPEC
    become_subreaper()
    Supervisor(directory, spec, read_state(directory) or ShimState(spec.replica), hold).run()
    return 0
