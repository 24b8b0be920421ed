"""Recorded answers against given ones, with placeholders on the recorded side (see ``recordings/README.md``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

__all__ = ["STAND_INS", "Comparison", "Difference"]

_PLACEHOLDER: Final = re.compile(r"<(uuid|ts|hostPort|servicePort)#(\d+)>|<(marathon-host:port|int|http-date)>")
_KINDS: Final = {
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "ts": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "hostPort": r"\d+",
    "servicePort": r"\d+",
    "marathon-host:port": r"[0-9.]+:\d+",
    "int": r"-?\d+",
    "http-date": r".+",
}
_ADDRESS: Final = re.compile(r"127\.0\.0\.\d+/<unresolved>:\d+")
STAND_INS: Final = frozenset(
    {
        "host", "hostname", "zone", "slaveId", "agentId", "agentHostname", "agentZone", "addresses", "ipAddress",
        "averageSeconds", "medianSeconds",
    }
)  # fmt: skip
"""Keys whose values are the stand-in's or the moment's: which agent offered first, and how long ago that was."""
_UNORDERED: Final = frozenset({"groups", "apps", "versions", "affectedApps", "tasks", "instances", "lastUnusedOffers"})
"""Lists that a hash map orders; only their members are compared."""


@attrs.frozen
class Difference:
    """Where an answer is not what was recorded."""

    path: str
    recorded: Any
    given: Any

    def __str__(self) -> str:
        return f"{self.path}: recorded {_short(self.recorded)}, given {_short(self.given)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


class Comparison:
    """One record's comparison: the same placeholder is the same value throughout."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def differences(self, recorded: Any, given: Any, path: str = "") -> Iterator[Difference]:
        """Where ``given`` does not fit ``recorded``."""
        key = path.rpartition("/")[2].partition("[")[0]
        if (key in STAND_INS or path.endswith("/offer/id")) and type(recorded) is type(given):
            return
        if isinstance(recorded, Mapping) and isinstance(given, Mapping):
            yield from self._in_objects(recorded, given, path)
        elif isinstance(recorded, list) and isinstance(given, list):
            yield from self._in_lists(recorded, given, path, unordered=key in _UNORDERED)
        elif isinstance(recorded, str):
            if not self._fits(recorded, given):
                yield Difference(path, recorded, given)
        elif recorded != given or isinstance(recorded, bool) != isinstance(given, bool):
            yield Difference(path, recorded, given)

    def _in_objects(self, recorded: Mapping[str, Any], given: Mapping[str, Any], path: str) -> Iterator[Difference]:
        for key in [*recorded, *(key for key in given if key not in recorded)]:
            if key not in given:
                yield Difference(f"{path}/{key}", recorded[key], "nothing")
            elif key not in recorded:
                yield Difference(f"{path}/{key}", "nothing", given[key])
            else:
                yield from self.differences(recorded[key], given[key], f"{path}/{key}")

    def _in_lists(self, recorded: list[Any], given: list[Any], path: str, *, unordered: bool) -> Iterator[Difference]:
        if len(recorded) != len(given):
            yield Difference(f"{path}[]", recorded, given)
            return
        matched = self._matched(recorded, given) if unordered and len(recorded) > 1 else list(given)
        for index, (one, other) in enumerate(zip(recorded, matched, strict=True)):
            yield from self.differences(one, other, f"{path}[{index}]")

    def _matched(self, recorded: list[Any], given: list[Any]) -> list[Any]:
        """The given items, each where the recorded one that it fits best stands."""
        left, found = list(given), list[Any]()
        for one in recorded:
            best = min(left, key=lambda other: self._distance(one, other))
            left.remove(best)
            found.append(best)
        return found

    def _distance(self, recorded: Any, given: Any) -> int:
        trial = Comparison()
        trial._values = dict(self._values)
        return sum(1 for _ in trial.differences(recorded, given))

    def _fits(self, recorded: str, given: Any) -> bool:
        if isinstance(given, str):
            recorded, given = _ADDRESS.sub("<address>", recorded), _ADDRESS.sub("<address>", given)
        if _PLACEHOLDER.search(recorded) is None:
            return bool(recorded == given)
        if not isinstance(given, str):
            return (
                _PLACEHOLDER.fullmatch(recorded) is not None and isinstance(given, int) and not isinstance(given, bool)
            )
        pattern, names, at = "", [], 0
        for found in _PLACEHOLDER.finditer(recorded):
            pattern += re.escape(recorded[at : found.start()])
            kind = found[1] or found[3]
            pattern += f"({_KINDS[kind]})"
            names.append(found[0] if found[1] else "")
            at = found.end()
        matched = re.fullmatch(pattern + re.escape(recorded[at:]), given, re.DOTALL)
        if matched is None:
            return False
        return all(
            not name or self._values.setdefault(name, value) == value
            for name, value in zip(names, matched.groups(), strict=True)
        )
