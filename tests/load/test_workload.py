"""The quickstart's model under load: both versions of it, each held against its own computation in numpy."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
import pytest

from configs.minilm.embed import tokens
from configs.minilm.export import export
from configs.minilm.reference import Reference
from configs.minilm.weights import weights_of
from configs.minilm.workload import sentences, write
from roadstead.cli.workload import expected_in, requests_in
from roadstead.load.course import Closed, Course
from roadstead.load.engine import measure
from roadstead.spi.load import Destination, Wire, Work
from roadstead_plugins.runtimes.tf_serving.runtime import TfServing
from tests.load.conftest import ROOT
from tests.tf_serving.conftest import Running, Start

pytestmark = pytest.mark.timeout(600)

COURSE = Course(pace=Closed(4), duration=1.0, warm_up=0.0, deadline=20.0)
VERSIONS = (1, 2)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Six sentences and what both versions say of each, read from the files that the script writes."""
    requests, expected = write(tmp_path_factory.mktemp("work"), count=6, versions=VERSIONS)
    asked = requests_in(requests)
    return Work(model="minilm", requests=asked, expected=expected_in(expected, len(asked)))


@pytest.fixture(scope="module")
def base() -> Path:
    """The folder with both versions; exporting takes seconds, and nothing where it was done before."""
    folder = ROOT / "models" / "minilm"
    for version in VERSIONS:
        export(folder, version)
    return folder


@pytest.fixture(scope="module")
def running(start_for_module: Start, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A server of version 2."""
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "minilm" base_path: "{base}" model_platform: "tensorflow" '
        "model_version_policy { specific { versions: 2 } } } }"
    )
    server = start_for_module(f"--model_config_file={config}")
    server.wait_for({2: "AVAILABLE"}, "minilm")
    return server


def test_no_answer_of_one_version_is_one_of_the_other() -> None:
    """Each embedding differs by more than a hundred times the tolerance, so that a mix-up cannot go unseen."""
    first, second, third = (Reference(weights_of(version)) for version in (1, 2, 3))
    for sentence in ["", "one", *sentences(3)]:
        ids = tokens([sentence])[0][0].tolist()
        answers = [one.embed(ids) for one in (first, second, third)]
        assert all(np.abs(before - after).max() > 0.01 for before, after in pairwise(answers))


def test_the_files_are_the_same_every_time(tmp_path: Path) -> None:
    """Two measurements can be compared."""
    files = [write(tmp_path / name, count=3, versions=(1,)) for name in ("first", "second")]
    for before, after in zip(*files, strict=True):
        assert before.read_text() == after.read_text()
    assert 3 == len({json.dumps(request) for request in requests_in(files[0][0])})


@pytest.mark.parametrize("wire", list(Wire))
def test_what_a_server_says_is_what_numpy_computes(running: Running, work: Work, wire: Wire) -> None:
    """Every answer under load, over both protocols, is that of the version which the server has."""
    port = 8500 if wire is Wire.GRPC else 8501
    destination = Destination(wire=wire, addresses=(f"{running.host}:{port}",), connections=4)
    account = measure(TfServing().caller(destination, work), COURSE, requests=6, every=1.0).record.account
    assert {} == dict(account.failures)
    assert {2: account.sent} == dict(account.versions)
    assert account.sent >= 6


def test_an_answer_of_the_version_that_went_is_wrong(running: Running, work: Work) -> None:
    """That is how a client sees that it was sent to a replica which should not be there."""
    destination = Destination(wire=Wire.GRPC, addresses=(f"{running.host}:8500",), connections=1)
    only_first = attrs.evolve(work, versions=frozenset({1}))
    account = measure(TfServing().caller(destination, only_first), COURSE, requests=6, every=1.0).record.account
    assert {"WRONG": account.sent} == dict(account.failures)
    assert "version 2 answered, not version 1" == account.detail("WRONG")
