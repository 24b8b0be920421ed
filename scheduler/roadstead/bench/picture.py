"""A simulation as an SVG document: for each deployment what was wanted, what served, and what was on its way. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from roadstead.bench.record import Account, Count, Simulated
from roadstead.bench.sketch import clock_text

__all__ = ["picture"]

_WIDTH: Final = 960
_LEFT: Final = 64
_RIGHT: Final = 16
_TOP: Final = 40
_PANEL: Final = 110
_GAP: Final = 44

_WANTED: Final = "#333333"
_SERVING: Final = "#2a7f62"
_PENDING: Final = "#e07a1f"
_GRID: Final = "#dddddd"
_MARK: Final = "#1d5c9c"


def picture(found: Simulated, *, most: int = 12) -> str:
    """Return the document, with up to ``most`` deployments, and what the scenario did as lines through all of them."""
    shown = sorted(found.deployments, key=lambda one: (-one.down_ms, -one.short_ms, one.name))[:most]
    shown.sort(key=lambda one: one.name)
    height = _TOP + len(shown) * (_PANEL + _GAP) + 8
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}">',
        f"<style>text {{ font: 12px sans-serif; fill: {_WANTED} }}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(_LEFT, 18, f"{clock_text(found.lasted)} simulated, seed {found.seed}: serving, pending, wanted (line)"),
    ]
    for number, account in enumerate(shown):
        shapes += _panel(account, _TOP + number * (_PANEL + _GAP) + 14, found.lasted)
    marks = dict.fromkeys(one.at for one in found.happenings if one.kind == "scenario")
    shapes += [
        f'<path d="M{_x(at, found.lasted):.1f} {_TOP}V{height - 24}" stroke="{_MARK}" stroke-dasharray="2 4"/>'
        for at in marks
    ]
    return "\n".join([*shapes, "</svg>"]) + "\n"


def _x(at: int, lasted: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / max(1, lasted)


def _panel(account: Account, top: int, lasted: int) -> Iterator[str]:
    highest = max((max(one.wanted, one.serving + one.pending) for one in account.counts), default=0) or 1

    def y(value: int) -> float:
        return top + _PANEL * (1 - value / highest)

    yield _text(_LEFT, top - 6, account.name)
    for value in sorted({0, highest}):
        yield f'<path d="M{_LEFT} {y(value):.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 6, y(value) + 4, str(value), anchor="end")
    for quarter in range(5):
        at = lasted * quarter // 4
        yield _text(_x(at, lasted), top + _PANEL + 16, clock_text(at // 1000 * 1000), anchor="middle")
    yield _area(account.counts, lasted, y, lambda one: one.serving + one.pending, _PENDING)
    yield _area(account.counts, lasted, y, lambda one: one.serving, _SERVING)
    yield f'<path d="{_steps(account.counts, lasted, y, lambda one: one.wanted)}" stroke="{_WANTED}" fill="none"/>'


def _steps(counts: Sequence[Count], lasted: int, y: Callable[[int], float], value: Callable[[Count], int]) -> str:
    """Return the path of a value that stays as it is until it is another one."""
    if not counts:
        return ""
    path = f"M{_x(counts[0].at, lasted):.1f} {y(value(counts[0])):.1f}"
    for one in counts[1:]:
        path += f"H{_x(one.at, lasted):.1f}V{y(value(one)):.1f}"
    return path + f"H{_x(lasted, lasted):.1f}"


def _area(
    counts: Sequence[Count], lasted: int, y: Callable[[int], float], value: Callable[[Count], int], colour: str
) -> str:
    path = _steps(counts, lasted, y, value)
    closed = f"{path}V{y(0):.1f}H{_x(counts[0].at, lasted):.1f}Z" if counts else ""
    return f'<path d="{closed}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
