"""The records that are no single answer: streams of events, counts over time, placements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tests.marathon.comparing import Difference
from tests.marathon.world import World

__all__ = ["CAPTURES"]

CAPTURES: Final[Mapping[str, Callable[[World, Mapping[str, Any]], Iterable[Difference]]]] = {}
