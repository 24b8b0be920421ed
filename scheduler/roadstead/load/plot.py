"""A timeline as a picture: SVG, written by hand, because it is four kinds of shapes. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

import attrs

from roadstead.load.timeline import Row

__all__ = ["Mark", "plot"]

_WIDTH: Final = 960
_LEFT: Final = 64
_RIGHT: Final = 16
_TOP: Final = 56
_PANEL: Final = 170
_GAP: Final = 44
_STEPS: Final = (1, 2, 5)

_OK: Final = "#2a7f62"
_FAILED: Final = "#c1121f"
_P50: Final = "#1d5c9c"
_P99: Final = "#e07a1f"
_GRID: Final = "#dddddd"
_INK: Final = "#333333"


@attrs.frozen
class Mark:
    """Something that happened, ``at`` seconds after the measurement's beginning."""

    at: float
    label: str


@attrs.frozen(kw_only=True)
class _Panel:
    """One diagram: what its axes show, and where it stands."""

    top: float
    seconds: float
    most: float
    title: str

    def x(self, at: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / self.seconds

    def y(self, value: float) -> float:
        return self.top + _PANEL * (1 - min(value, self.most) / self.most)


def plot(rows: Sequence[Row], *, every: float, title: str, marks: Iterable[Mark] = ()) -> str:
    """Return an SVG document: answers and failures a second above, latency below, ``marks`` as lines through both."""
    seconds = every * max(1, len(rows))
    busiest = max((row.sent for row in rows), default=0) / every
    slowest = max((row.p99 or 0.0 for row in rows), default=0.0)
    rates = _Panel(top=_TOP, seconds=seconds, most=_ceiling(busiest), title="requests a second")
    times = _Panel(top=_TOP + _PANEL + _GAP, seconds=seconds, most=_ceiling(slowest), title="latency in ms")
    height = times.top + _PANEL + 40
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}">',
        f"<style>text {{ font: 12px sans-serif; fill: {_INK} }}</style>",
        f'<rect width="{_WIDTH}" height="{height:g}" fill="white"/>',
        _text(_LEFT, 20, title),
        *_axes(rates),
        *_axes(times),
        *_bars(rates, rows, every),
        *_line(times, [(row.at + every / 2, row.p99) for row in rows], _P99, "p99"),
        *_line(times, [(row.at + every / 2, row.p50) for row in rows], _P50, "p50"),
        *_marks(rates, times, marks),
        *_legend(rates, (("ok", _OK), ("failed", _FAILED))),
        *_legend(times, (("p50", _P50), ("p99", _P99))),
        "</svg>",
    ]
    return "\n".join(shapes) + "\n"


def _ceiling(value: float) -> float:
    """Return the next number that begins with 1, 2 or 5.

    >>> [_ceiling(value) for value in (0, 0.7, 1, 3, 60, 4200)]
    [1.0, 1.0, 1.0, 5.0, 100.0, 5000.0]
    """
    if value <= 0:
        return 1.0
    scale: float = 10.0 ** math.floor(math.log10(value))
    return next((step * scale for step in _STEPS if value <= step * scale), 10 * scale)


def _axes(panel: _Panel) -> Iterator[str]:
    for part in range(5):
        value = panel.most * part / 4
        y = panel.y(value)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 6, y + 4, f"{value:g}", anchor="end")
    step = _ceiling(panel.seconds / 12)
    for number in range(math.floor(panel.seconds / step + 1e-9) + 1):
        yield _text(panel.x(number * step), panel.top + _PANEL + 16, f"{number * step:g}s", anchor="middle")
    yield _text(_LEFT, panel.top - 8, panel.title)


def _bars(panel: _Panel, rows: Sequence[Row], every: float) -> Iterator[str]:
    """Yield a bar for each row: failures stand on top of the answers, and are never thinner than can be seen."""
    width = panel.x(every) - panel.x(0)
    for row in rows:
        x = panel.x(row.at)
        top = panel.y(row.ok / every)
        if row.ok:
            yield _bar(x, top, width, panel.y(0) - top, _OK)
        if row.failed:
            height = max(2.0, panel.y(row.ok / every) - panel.y((row.ok + row.failed) / every))
            yield _bar(x, top - height, width, height, _FAILED)


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{colour}"/>'


def _line(panel: _Panel, points: Iterable[tuple[float, float | None]], colour: str, name: str) -> Iterator[str]:
    """Yield a line that is broken where nothing was answered; a point alone is a dot."""
    path, drawing = [], False
    for at, value in points:
        if value is None:
            drawing = False
            continue
        path.append(f"{'L' if drawing else 'M'}{panel.x(at):.1f} {panel.y(value):.1f}" + ("" if drawing else "h0"))
        drawing = True
    if path:
        style = 'fill="none" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"'
        yield f'<path class="{name}" d="{"".join(path)}" stroke="{colour}" {style}/>'


def _marks(first: _Panel, last: _Panel, marks: Iterable[Mark]) -> Iterator[str]:
    for mark in marks:
        x = first.x(mark.at)
        yield f'<path d="M{x:.1f} {first.top}V{last.top + _PANEL}" stroke="{_INK}" stroke-dasharray="4 3"/>'
        yield _text(x + 4, first.top + 12, mark.label)


def _legend(panel: _Panel, entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    for number, (name, colour) in enumerate(reversed(entries)):
        x = _WIDTH - _RIGHT - 60 * (number + 1)
        yield _bar(x, panel.top - 17, 10, 10, colour)
        yield _text(x + 14, panel.top - 8, name)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
