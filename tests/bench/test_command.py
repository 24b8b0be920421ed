"""`roadstead sim`: what it prints, draws and writes, and the page that tells how to use it."""

from __future__ import annotations

import json
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.bench.picture import picture
from roadstead.bench.record import Account, Count, Happening, Simulated
from roadstead.bench.sketch import sketch
from roadstead.cli.entry import main
from tests.bench.scenes import CLUSTERS, FLEET

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "simulate.md"
_BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a fleet and a scenario, which commands run in."""
    (tmp_path / "fleet.yaml").write_text(FLEET, encoding="utf-8")
    events = "events: [{at: 5m, crash: buoy}]\n"
    (tmp_path / "scenario.yaml").write_text(f"version: 1\nfor: 10m\n{CLUSTERS}{events}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
class TestCommand:
    """The command as it is run."""

    def test_it_draws_every_deployment_and_tells_the_main_events(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A strip for each, and what the scenario did."""
        assert 0 == main(["sim", "--scenario", "scenario.yaml"])
        out = capsys.readouterr().out
        assert out.startswith("0:10:00 simulated with seed 0, in ")
        assert ["anchor:", "buoy:"] == re.findall(r"^[a-z]+:", out, re.MULTILINE)
        assert "0:05:00  scenario               1 of 3 servers of buoy crash" in out
        assert "replica-started" not in out

    def test_verbose_tells_everything(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With every replica that started."""
        assert 0 == main(["sim", "--scenario", "scenario.yaml", "-v"])
        assert 5 == capsys.readouterr().out.count("  replica-ready") - 1

    def test_programs_get_all_of_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One object with the counts of each deployment over time, and the seed that was taken."""
        assert 0 == main(["sim", "--scenario", "scenario.yaml", "--seed", "5", "-o", "json"])
        found = json.loads(capsys.readouterr().out)
        assert (1, 600_000, 5, ["anchor", "buoy"]) == (
            found["format_version"],
            found["lasted"],
            found["seed"],
            [one["name"] for one in found["deployments"]],
        )
        assert {"at", "wanted", "serving", "pending", "leaving"} >= found["deployments"][0]["counts"][-1].keys()

    def test_events_and_picture_are_written(self, here: Path) -> None:
        """One JSON object a line in the order in which they were told, and a document that can be drawn."""
        assert 0 == main(["sim", "--scenario", "scenario.yaml", "--events", "e.jsonl", "--plot", "p.svg"])
        events = [json.loads(line) for line in (here / "e.jsonl").read_text(encoding="utf-8").splitlines()]
        assert {
            "at": 300_000,
            "deployment": "buoy",
            "kind": "scenario",
            "text": "1 of 3 servers of buoy crash",
        } in events
        assert "{http://www.w3.org/2000/svg}svg" == parsed((here / "p.svg").read_text(encoding="utf-8")).tag

    def test_a_bad_scenario_is_told_like_a_bad_fleet_file(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Every problem with its place, and the exit code of invalid input."""
        (here / "bad.yaml").write_text(
            "version: 1\nfor: 1h\nclusters: {here: {}, there: {nodez: 1}}\n", encoding="utf-8"
        )
        assert 65 == main(["sim", "--scenario", "bad.yaml"])
        assert "bad.yaml:3:30: clusters.there.nodez: there is no key 'nodez'" in capsys.readouterr().err

    def test_a_folder_that_is_not_there_is_found_out_before(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Nobody waits for a simulation that cannot be written down."""
        assert 64 == main(["sim", "--scenario", "scenario.yaml", "--events", "no/e.jsonl"])
        assert "there is no folder for no/e.jsonl" in capsys.readouterr().err


def test_the_how_to_is_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's files and command give the output that it shows, to the letter."""
    blocks = [match.groups() for match in _BLOCK.finditer(HOW_TO.read_text(encoding="utf-8"))]
    for kind, name, text in blocks:
        if kind == "yaml" and name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    (command,) = (text for kind, _, text in blocks if kind == "sh")
    (shown,) = (text for kind, _, text in blocks if kind == "text")
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(command)
    assert ("roadstead", 0) == (program, main(words))
    assert shown == "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    assert (tmp_path / "events.jsonl").stat().st_size > 0
    assert (tmp_path / "replicas.svg").stat().st_size > 0


# ---- pictures of anything ----


def parsed(document: str) -> ET.Element:
    """Return the root of a document of our own."""
    return ET.fromstring(document)  # noqa: S314  # nobody else wrote it


_COUNTS = st.lists(st.tuples(st.integers(1, 10_000), *[st.integers(0, 20)] * 4), max_size=8).map(
    lambda rows: (
        Count(at=0, wanted=0, serving=0, pending=0, leaving=0),
        *(
            Count(at=at, wanted=wanted, serving=serving, pending=pending, leaving=leaving)
            for at, wanted, serving, pending, leaving in sorted({row[0]: row for row in rows}.values())
        ),
    )
)


def simulated(*accounts: tuple[Count, ...]) -> Simulated:
    """Return a simulation of ten seconds with these deployments."""
    return Simulated(
        lasted=10_000,
        seed=0,
        turns=3,
        steps={"grow": 1},
        refused={},
        deployments=tuple(
            Account(name=f"d{number}", counts=counts, short_ms=0, down_ms=0) for number, counts in enumerate(accounts)
        ),
        happenings=(Happening(at=5, kind="scenario", text="it <rains> & pours"),),
    )


@given(st.lists(_COUNTS, max_size=4), st.integers(8, 100))
@settings(max_examples=40, deadline=None)
def test_every_strip_is_as_wide_as_the_picture(accounts: list[tuple[Count, ...]], width: int) -> None:
    """Whatever there was: one block for each column, and nothing that was there is shown as nothing."""
    text = sketch(simulated(*accounts), width=width)
    for line in text.splitlines():
        if line.startswith(("  wanted", "  serving", "  pending", "  leaving")):
            assert len("  wanted   ") + width == len(line)
    for name, counts in zip(re.findall(r"^d\d+: at most (\d+)", text, re.MULTILINE), accounts, strict=True):
        assert int(name) == max(max(one.wanted, one.serving, one.pending, one.leaving) for one in counts)


def test_a_column_shows_its_worst_moment() -> None:
    """A gap of a hundredth of the time is seen, wherever it is."""
    counts = (
        Count(at=0, wanted=2, serving=2, pending=0, leaving=0),
        Count(at=5_010, wanted=2, serving=0, pending=0, leaving=0),
        Count(at=5_020, wanted=2, serving=2, pending=0, leaving=0),
    )
    text = sketch(simulated(counts), width=10)
    assert "  serving  █████ ████" in text
    assert "  wanted   ██████████" in text


@given(st.lists(_COUNTS, max_size=15))
@settings(max_examples=20, deadline=None)
def test_every_picture_is_a_document(accounts: list[tuple[Count, ...]]) -> None:
    """Well formed, with up to twelve deployments."""
    root = parsed(picture(simulated(*accounts)))
    names = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text") if re.fullmatch(r"d\d+", one.text or "")]
    assert min(12, len(accounts)) == len(names)


def test_of_many_deployments_those_with_trouble_are_shown() -> None:
    """The others are counted."""
    quiet = (Count(at=0, wanted=1, serving=1, pending=0, leaving=0),)
    found = simulated(*[quiet] * 30)
    hurt = attrs.evolve(found.deployments[17], down_ms=7)
    found = attrs.evolve(found, deployments=(*found.deployments[:17], hurt, *found.deployments[18:]))
    text = sketch(found, most=3)
    assert ["d0", "d1", "d17"] == re.findall(r"^(d\d+): at", text, re.MULTILINE)
    assert "and 27 more deployments that had less trouble" in text
