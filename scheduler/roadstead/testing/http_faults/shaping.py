"""What a fault makes of the body of an answer, piece by piece: pure."""

from __future__ import annotations

import enum

import attrs

from roadstead.testing.http_faults.rules import Cut, Fault, Insert, Silence, Truncate

__all__ = ["Next", "Shaped", "Shaping"]


@enum.unique
class Next(enum.Enum):
    """What comes after a piece of a body: more of it, the end of the connection or of the answer, or nothing at all."""

    MORE = "more"
    CUT = "cut"
    END = "end"
    SILENCE = "silence"


@attrs.frozen
class Shaped:
    """What the client gets of a piece, and what then."""

    data: bytes
    next: Next


@attrs.define
class Shaping:
    """One answer on its way: how much of its body was passed on, and what its fault does when."""

    fault: Fault | None
    _passed: int = attrs.field(default=0, init=False)

    def changes_length(self) -> bool:
        """Return whether the answer's own length will not be that of what the client gets."""
        return isinstance(self.fault, (Truncate, Insert))

    def begin(self) -> Shaped:
        """Return what the client gets right after the head of the answer."""
        return self.pass_on(b"")

    def pass_on(self, data: bytes) -> Shaped:
        """Return what the client gets of the next piece of the body."""
        match self.fault:
            case Cut(after=most):
                return self._up_to(most, data, Next.CUT)
            case Truncate(after=most):
                return self._up_to(most, data, Next.END)
            case Silence(after=most):
                return self._up_to(most, data, Next.SILENCE)
            case Insert(lines=lines, after=most):
                return self._insert(lines, most, data)
            case _:
                return Shaped(data, Next.MORE)

    def _up_to(self, most: int, data: bytes, then: Next) -> Shaped:
        taken = data[: most - self._passed]
        self._passed += len(taken)
        return Shaped(taken, then if self._passed >= most else Next.MORE)

    def _insert(self, lines: bytes, after: int, data: bytes) -> Shaped:
        """Pass on lines until there were enough of them, then what is inserted."""
        end = 0
        while self._passed < after:
            found = data.find(b"\n", end)
            if found < 0:
                return Shaped(data, Next.MORE)
            end = found + 1
            self._passed += 1
        return Shaped(data[:end] + lines, Next.END)
