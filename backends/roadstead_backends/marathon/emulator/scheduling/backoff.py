"""How long nothing is launched after failures (``RateLimiter``): first delay, times a factor, up to a limit."""

from __future__ import annotations

from typing import Final

import attrs

from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["COUNTED", "RateLimiter"]

COUNTED: Final = frozenset({"Error", "Failed", "Finished", "Dropped", "Gone"})
"""Ends of an instance after which the next launch waits. Killed and unreachable ones are nobody's fault."""


@attrs.frozen(kw_only=True)
class _Delay:
    reference: int
    """When the delay began, or the instance that waited for it last did well."""
    length: int
    """Milliseconds."""
    longest: int

    @property
    def until(self) -> int:
        return self.reference + self.length


class RateLimiter:
    """The delays of all apps and pods, by id and last change of their configuration."""

    def __init__(self) -> None:
        self._delays: dict[tuple[PathId, int], _Delay] = {}

    def until(self, spec: RunSpec) -> int | None:
        """When the next instance may be launched, in milliseconds since the epoch; None for at once."""
        delay = self._delays.get(_key(spec))
        return delay.until if delay is not None else None

    def failed(self, spec: RunSpec, now: int) -> int:
        """Lengthen the delay after a failure; return until when it lasts."""
        first, factor, longest = (each * 1000 for each in spec.backoff)
        old = self._delays.get(_key(spec))
        length = first if old is None else old.length * (factor / 1000)
        delay = _Delay(reference=now, length=int(min(length, longest)), longest=int(longest))
        self._delays[_key(spec)] = delay
        return delay.until

    def progressed(self, spec: RunSpec, now: int) -> None:
        """Note that an instance came further; the delay that it waited for is counted from then."""
        delay = self._delays.get(_key(spec))
        if delay is not None and delay.until < now:
            self._delays[_key(spec)] = attrs.evolve(delay, reference=now - delay.length)

    def reset(self, spec: RunSpec) -> bool:
        """Forget the delay; say whether there was one."""
        return self._delays.pop(_key(spec), None) is not None

    def clear(self) -> None:
        """Forget every delay."""
        self._delays.clear()

    def forget_old(self, now: int) -> None:
        """Forget delays whose longest length has passed since they began."""
        self._delays = {key: delay for key, delay in self._delays.items() if now < delay.until + delay.longest}


def _key(spec: RunSpec) -> tuple[PathId, int]:
    return spec.id, spec.stamps.last_config_change
