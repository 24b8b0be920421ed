"""``python shifted_daemon.py OFFSET FILE --ready-fd N``: a daemon whose wall clock is off by what a file says.

The file OFFSET holds a number of milliseconds and is read at every look at the clock, so that a test can set the clock.
Nothing else of the machine sees it: shims and servers keep the true time, as after a clock that was set meanwhile.
"""

from __future__ import annotations

import sys
from pathlib import Path

import attrs

from roadstead.act.clock import SystemClock
from roadstead.daemon.process import log_to, run, tell_ready
from roadstead.spi.host import PluginHost


@attrs.define
class ShiftedClock(SystemClock):
    """The machine's clocks, with another wall clock."""

    offset: Path

    def now(self) -> int:
        """Return the wall clock, as the file says."""
        return super().now() + int(self.offset.read_text())


if __name__ == "__main__":
    _, offset, file, _, descriptor = sys.argv
    log_to(None)
    run(
        Path(file),
        PluginHost.installed(),
        ready=lambda: tell_ready(int(descriptor)),
        clock=ShiftedClock(Path(offset)),
    )
