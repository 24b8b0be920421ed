"""What stands on the screen, letter by letter, and in the files, of measurements that are made up."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import RenderableType

from roadstead.cli.text.load import progress_text, report_view
from roadstead.load.course import Closed, Course, Open
from roadstead.load.engine import Measured
from roadstead.load.plot import Mark, plot
from roadstead.load.record import Outcome, Record
from roadstead.load.report import Report, report, timeline_csv
from roadstead.load.timeline import Row
from roadstead.spi.load import OK, Destination, Wire, Work
from tests.cli.stage import rendered

GOLDEN = Path(__file__).parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"

COURSE = Course(pace=Open(rate=100.0), duration=10.0, warm_up=1.0, deadline=5.0)
DESTINATION = Destination(wire=Wire.GRPC, addresses=("127.0.0.1:18000",), connections=100)
WORK = Work(model="minilm", requests=({"instances": [1.0]},), versions=frozenset({1, 2}))


def recorded(*, failing: bool = False, flying: int = 0) -> Record:
    """Return a record of 1000 requests at equal distances, each a little slower than the one before."""
    record = Record(every=1.0)
    for number in range(-100, 1000 + flying):
        due = number / 100
        record.sent(due)
        record.handed_over(due, due + 0.0002)
        if number >= 1000:
            continue
        took = 0.008 + number * 1e-5
        outcome = Outcome(code=OK, version=1 if number < 600 else 2)
        if failing and 400 <= number < 430:
            outcome = Outcome(code="UNAVAILABLE", detail="127.0.0.1:18000: connection refused")
        elif failing and number == 700:
            outcome = Outcome(code="WRONG", detail="version 2: embedding differs by up to 0.02", version=2)
        record.ended(due, due + took, outcome)
    return record


def found(
    record: Record, *, seconds: float = 10.0, cpu: float = 0.123, course: Course = COURSE, interrupted: bool = False
) -> Report:
    """Return the report of a record."""
    measured = Measured(record=record, started_at=1.7e9, seconds=seconds, cpu=cpu, interrupted=interrupted)
    return report(measured, course, DESTINATION, WORK)


def overloaded() -> RenderableType:
    """A generator that could not keep up, over REST to several replicas, without answers to compare with."""
    record = recorded()
    for number in range(1000, 1100):
        record.sent(number / 100)
        record.handed_over(number / 100, number / 100 + 0.5)
        record.ended(number / 100, number / 100 + 1.2, Outcome(code=OK))
    course = attrs.evolve(COURSE, pace=Closed(8))
    shown = attrs.evolve(found(record, cpu=0.97, course=course), protocol="rest", checked=False)
    return report_view(attrs.evolve(shown, addresses=("127.0.0.1:8501", "127.0.0.2:8501"), connections=8))


SCENES: dict[str, Callable[[], RenderableType]] = {
    "right": lambda: report_view(found(recorded())),
    "failed": lambda: report_view(found(recorded(failing=True))),
    "interrupted": lambda: report_view(found(recorded(flying=7), seconds=10.07, interrupted=True)),
    "nothing": lambda: report_view(found(Record(every=1.0), seconds=0.0, interrupted=True)),
    "overloaded": overloaded,
    "progress": lambda: progress_text(recorded(failing=True, flying=3), 10.0, 60.0),
    "progress-warm-up": lambda: progress_text(Record(every=1.0), -1.0, 60.0),
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_looks_as_it_did(scene: str, width: int) -> None:
    """The whole screen, compared with the file of that name; ``ROADSTEAD_GOLDEN=write`` writes it anew."""
    text = rendered(SCENES[scene](), width)
    golden = GOLDEN / f"{scene}.{width}.txt"
    if os.environ.get("ROADSTEAD_GOLDEN") == "write":
        golden.write_text(text)
    assert golden.read_text() == text
    assert all(len(line) <= width for line in text.splitlines())


def test_every_golden_file_belongs_to_a_scene() -> None:
    """A scene that goes takes its files with it."""
    assert sorted(f"{scene}.{width}.txt" for scene in SCENES for width in (80, 120)) == sorted(
        path.name for path in GOLDEN.iterdir()
    )


times = st.one_of(st.none(), st.floats(min_value=0, max_value=1e7))
counts = st.integers(min_value=0, max_value=10_000)


@st.composite
def timelines(draw: st.DrawFn) -> tuple[float, list[Row]]:
    """Return the length of a row, and rows that follow each other."""
    every = draw(st.sampled_from([0.1, 1.0, 60.0]))
    rows = []
    for number in range(draw(st.integers(0, 30))):
        failures = draw(st.dictionaries(st.sampled_from(["WRONG", "HTTP 503", "UNAVAILABLE"]), st.integers(1, 100)))
        ok, flying = draw(counts), draw(st.integers(0, 5))
        sent = ok + sum(failures.values()) + flying
        p50, p99 = draw(times), draw(times)
        rows.append(Row(at=number * every, sent=sent, ok=ok, failures=failures, p50=p50, p99=p99, max=p99))
    return every, rows


@given(timelines())
def test_every_row_is_a_line_of_the_file(timeline: tuple[float, list[Row]]) -> None:
    """With its counts, and its failures by code."""
    _, rows = timeline
    read = list(csv.DictReader(io.StringIO(timeline_csv(rows))))
    assert [(row.sent, row.ok, row.failed) for row in rows] == [
        (int(line["sent"]), int(line["ok"]), int(line["failed"])) for line in read
    ]
    for row, line in zip(rows, read, strict=True):
        told = dict(part.split(":") for part in line["failures"].split())
        assert {code.replace(" ", "_"): str(count) for code, count in row.failures.items()} == told
        assert (row.p50 is None) == (line["p50_ms"] == "")


@given(timelines(), st.text(max_size=20))
def test_every_row_is_drawn_inside_the_picture(timeline: tuple[float, list[Row]], title: str) -> None:
    """A bar for what was answered, one on top for what failed and always to be seen, in a document that can be read."""
    every, rows = timeline
    printable = "".join(letter for letter in title if letter.isprintable())
    picture = ET.fromstring(plot(rows, every=every, title=printable, marks=[Mark(0.0, "<kill -9>")]))  # noqa: S314
    _, _, width, height = map(float, (picture.get("viewBox") or "").split())
    bars = [one for one in picture.iter(f"{SVG}rect") if one.get("fill") in ("#2a7f62", "#c1121f")]
    assert sum(row.ok > 0 for row in rows) + sum(row.failed > 0 for row in rows) + 2 == len(bars)
    for bar in bars:
        x, y, wide, high = (float(bar.get(key) or "") for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + wide <= width
        assert 0 <= y <= y + high <= height
        assert bar.get("fill") == "#2a7f62" or high >= 2
    texts = [one.text or "" for one in picture.iter(f"{SVG}text")]
    assert printable in texts
    assert "<kill -9>" in texts


def test_a_line_is_broken_where_nothing_was_answered() -> None:
    """An outage is a gap and not a slope."""
    ticks = [1.0, 2.0, None, None, 3.0, 4.0]
    rows = [
        Row(at=float(number), sent=1, ok=1, failures={}, p50=tick, p99=tick, max=tick)
        for number, tick in enumerate(ticks)
    ]
    picture = ET.fromstring(plot(rows, every=1.0, title=""))  # noqa: S314
    (line,) = (one for one in picture.iter(f"{SVG}path") if one.get("class") == "p99")
    assert (2, 2) == tuple((line.get("d") or "").count(move) for move in "ML")
