"""The order in which Scala 2.12 walks its hash maps.

Marathon groups errors by their path in an immutable ``HashMap`` and lists them as that map is walked, which is neither
the order of the fields nor of the rules. Whoever reads the first error of such a list reads what the hash put first, so
an emulator has to hash alike. Sources: ``scala.util.hashing.MurmurHash3``, ``scala.collection.immutable.HashMap`` of
Scala 2.12, and the case classes ``JsPath``, ``KeyPathNode`` and ``IdxPathNode`` of play-json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

__all__ = ["by_json_path", "by_text", "members", "walked"]

_WORD: Final = 0xFFFFFFFF
_PRODUCT_SEED: Final = 0xCAFEBABE
_KEPT_IN_ORDER: Final = 4

T = TypeVar("T")


def walked(items: Iterable[T], hashed: Callable[[T], int]) -> list[T]:
    """The items as a ``HashMap`` with those hashes as keys is walked: five bits at a time, lowest first."""

    def branches(item: T) -> tuple[int, ...]:
        improved = _improved(hashed(item))
        return tuple((improved >> shift) & 31 for shift in range(0, 35, 5))

    return sorted(items, key=branches)


def members(items: list[Any]) -> list[Any]:
    """The members of a ``Set`` as it is walked: a few as they came, more of them by their hashes.

    Objects stay as they came: their hashes are those of all their fields.
    """
    if len(items) <= _KEPT_IN_ORDER or any(isinstance(item, dict) for item in items):
        return items
    return walked(items, _by_value)


def _by_value(item: Any) -> int:
    if isinstance(item, list):
        return _mixed(by_text("Seq"), [_by_value(each) for each in item])
    return by_text(item) if isinstance(item, str) else int(item) & _WORD


def by_text(text: str) -> int:
    """The hash of a ``java.lang.String``."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & _WORD
    return value


def by_json_path(path: Sequence[str | int]) -> int:
    """The hash of a ``JsPath`` of these keys and indices."""
    nodes = [
        _product("IdxPathNode", [part]) if isinstance(part, int) else _product("KeyPathNode", [by_text(part)])
        for part in path
    ]
    return _product("JsPath", [_mixed(by_text("Seq"), nodes)])


def _product(prefix: str, elements: Sequence[int]) -> int:
    seed = _mix(_PRODUCT_SEED, by_text(prefix))
    return _mixed(seed, elements)


def _mixed(seed: int, elements: Sequence[int]) -> int:
    value = seed
    for element in elements:
        value = _mix(value, element & _WORD)
    return _avalanche(value ^ len(elements))


def _mix(value: int, data: int) -> int:
    k = _rotated((data * 0xCC9E2D51) & _WORD, 15)
    value = (value ^ (k * 0x1B873593)) & _WORD
    return (_rotated(value, 13) * 5 + 0xE6546B64) & _WORD


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _WORD


def _avalanche(value: int) -> int:
    value ^= value >> 16
    value = (value * 0x85EBCA6B) & _WORD
    value ^= value >> 13
    value = (value * 0xC2B2AE35) & _WORD
    return value ^ (value >> 16)


def _improved(value: int) -> int:
    value = (value + ~(value << 9)) & _WORD
    value ^= value >> 14
    value = (value + (value << 4)) & _WORD
    return value ^ (value >> 10)
