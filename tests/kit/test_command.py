"""`roadstead backend test`: the kit, asked of a cluster as a fleet file declares it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from roadstead.cli import main

_FLEET = """
version: 1
fleet: shop
clusters:
  here: {backend: local, options: {cpu: 2, memory: 1Gi, model_roots: [models]}}
  nowhere: {backend: simulated}
deployments:
  minilm: {model: {source: models/minilm}, clusters: [here]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A fleet file with a real cluster and a pretended one."""
    (tmp_path / "models" / "minilm" / "1").mkdir(parents=True)
    (tmp_path / "fleet.yaml").write_text(_FLEET)
    return tmp_path / "fleet.yaml"


@pytest.mark.parametrize(
    ("cluster", "said"),
    [("there", "there is no cluster 'there'"), ("nowhere", "cluster 'nowhere' is pretended")],
)
def test_a_cluster_that_cannot_be_asked_is_told(
    file: Path, capsys: pytest.CaptureFixture[str], cluster: str, said: str
) -> None:
    """One that the file does not name, and one that is gone as soon as nobody drives it."""
    assert 0 != main(["-f", str(file), "backend", "test", cluster])
    assert said in capsys.readouterr().err


@pytest.mark.nightly
def test_this_machine_is_asked_everything_and_passes(file: Path) -> None:
    """As declared, with its own options; servers are those of the kit."""
    command = [sys.executable, "-m", "roadstead", "-f", str(file), "backend", "test", "here"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "SideBySide" in done.stdout
