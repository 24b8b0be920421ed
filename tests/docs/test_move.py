"""The page about moving a deployment, carried out on the two simulated clusters that it names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.reader import Reader, reading
from tests.ports import free_ports

PAGE = ROOT / "docs" / "how-to" / "move-a-deployment.md"

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader with the page's own fleet file."""
    with reading(PAGE, tmp_path / "moved") as made:
        made.instead["7070"] = str(free_ports(1))
        (made.folder / "fleet.yaml").write_text(made.meant(made.next("yaml").text))
        yield made


def where(reader: Reader) -> Counter[str]:
    """Return how many replicas there are on which cluster."""
    printed = reader.run("roadstead status minilm -o json")
    (found,) = json.loads(printed)["deployments"]
    return Counter(one["cluster"] for one in found["replicas"])


def test_the_page_about_moving_a_deployment_does_what_it_says(reader: Reader) -> None:
    """There, back, refused, by the file, and away from a cluster that drains."""
    reader.type()
    assert {"here": 3} == where(reader)
    reader.type()
    assert {"there": 3} == where(reader)
    assert "migrate minilm to cluster there" in reader.type()
    reader.type()
    assert {"here": 3} == where(reader)
    assert "RS070" in reader.type()

    reader.edit(r"^    clusters: here$", reader.next("yaml").text.rstrip())
    reader.type()
    assert {"there": 3} == where(reader)

    reader.edit(r"^  there: .*$", reader.next("yaml").text.rstrip())
    reader.edit(r"^    clusters: there$", reader.next("yaml").text.rstrip())
    reader.type()
    assert {"here": 3} == where(reader)
    assert reader.at_the_end()
