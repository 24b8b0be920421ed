"""The link from where the fleet file wants the access log to the bounded log that Envoy's shim keeps."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["link_log", "unlink_log"]


def link_log(link: Path, log: Path) -> str:
    """Make ``link`` point to ``log``, and return why that cannot be done, or nothing; never replaces a file."""
    try:
        if link.is_symlink():
            if link.readlink() == log:
                return ""
            link.unlink()
        link.symlink_to(log)
    except FileExistsError:
        return f"access log {link} is a file already; move it away, and it becomes a link to {log}"
    except OSError as error:
        return f"access log {link} cannot be made: {error.strerror}; what it would show is in {log}"
    return ""


def unlink_log(link: Path, log: Path) -> None:
    """Take the link away, if it is ours."""
    with contextlib.suppress(OSError):
        if link.readlink() == log:
            link.unlink()
