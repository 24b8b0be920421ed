"""Cuts what a server prints where its lines end, for clusters that keep it (`roadstead.spi.backend.KeepsLogs`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

__all__ = ["WholeLines"]

_LONGEST: Final = 64 << 10
"""A line that is longer than this is cut, in bytes: nobody else would ever see what comes before its end."""


@attrs.define
class WholeLines:
    """A stream of bytes as whole lines; ``rest`` is the beginning of one that may still grow."""

    rest: bytes = b""

    def ended_by(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that ``data`` ends, in one piece, or a line that has no end."""
        data = self.rest + data
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) > _LONGEST:
            end = len(data)
        self.rest = data[end:]
        if end:
            yield data[:end]
