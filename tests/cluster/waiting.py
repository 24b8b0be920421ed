"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["PATIENCE_S", "TooLate", "until"]

PATIENCE_S: Final = 120.0
"""The deadline where none is given: seconds that pass only on a machine with very much else to do, or in vain."""

T = TypeVar("T")


class TooLate(AssertionError):
    """What was waited for did not come in time."""


def until(
    question: Callable[[], T | bool | None], *, within: float = PATIENCE_S, every: float = 0.02, what: str = ""
) -> T:
    """Return the first answer that is neither ``None`` nor ``False``; ``within`` and ``every`` are seconds.

    Raises :class:`TooLate`, which names ``what`` was waited for.
    """
    pause = threading.Event()
    deadline = time.monotonic() + within
    while True:
        found = question()
        if found is not None and found is not False:
            return found  # type: ignore[return-value]  # what is left is a T
        if time.monotonic() > deadline:
            raise TooLate(f"not within {within:g} s: {what or question}")
        pause.wait(every)
