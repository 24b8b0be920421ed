"""``python -m roadstead.daemon FILE``: what ``roadstead daemon start --background`` starts; people use that."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from roadstead.daemon.process import log_to, run, tell_ready, tell_refused
from roadstead.errors import RoadsteadError
from roadstead.spi.host import PluginHost

_LOG = logging.getLogger("roadstead.daemon")


def main() -> int:
    """Run the daemon, and tell whoever started it how that went."""
    parser = argparse.ArgumentParser(prog="python -m roadstead.daemon")
    parser.add_argument("file", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--ready-fd", type=int)
    given = parser.parse_args()
    # No folder is kept from being unmounted; the paths that were given are absolute.
    os.chdir("/")
    log_to(given.log)
    told = False

    def ready() -> None:
        nonlocal told
        told = True
        if given.ready_fd is not None:
            tell_ready(given.ready_fd)

    def refuse(error: RoadsteadError) -> int:
        _LOG.critical("%s", error)
        if given.ready_fd is not None and not told:
            tell_refused(given.ready_fd, error)
        return int(error.exit_code)

    try:
        run(given.file, PluginHost.installed(), ready=ready)
    except RoadsteadError as error:
        return refuse(error)
    except Exception as error:  # noqa: BLE001  # whoever waits is told in every case
        _LOG.critical("unexpected", exc_info=True)
        text = f"unexpected {type(error).__name__}: {error}"
        return refuse(RoadsteadError(text, hint="this is a fault of roadstead: its log has the traceback"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
