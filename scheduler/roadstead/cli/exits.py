"""What a command ends with; scripts rely on these numbers."""

from __future__ import annotations

import enum

__all__ = ["Exit"]


@enum.unique
class Exit(enum.IntEnum):
    """The exit codes, each with one meaning; 64 and up are those of sysexits.h."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    UNPLACEABLE = 3
    TIMED_OUT = 4
    ROLLED_BACK = 5
    USAGE = 64
    INVALID = 65
    UNREACHABLE = 69
    DENIED = 77
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """One line about it."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.DONE: "done",
    Exit.ERROR: "failed, for a reason without a number of its own",
    Exit.CHANGES: "`plan --detailed-exitcode`: there is something to do",
    Exit.UNPLACEABLE: "something cannot be placed, or is over a quota",
    Exit.TIMED_OUT: "not done within `--timeout`",
    Exit.ROLLED_BACK: "the new revision failed and the old one serves",
    Exit.USAGE: "the command was not understood, or needs an answer and nobody can be asked",
    Exit.INVALID: "the fleet file, or another input, is wrong",
    Exit.UNREACHABLE: "the daemon, a cluster, a gateway or a server does not answer",
    Exit.DENIED: "not permitted",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
}
