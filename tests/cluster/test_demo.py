"""What `make demo-kubernetes` runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cluster import prerequisites
from tests.cluster.places import ROOT

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]


def test_the_quickstart_model_answers_from_real_containers() -> None:
    """A cluster and a daemon are started, two pods serve behind the gateway, and the model tells what is alike."""
    assert prerequisites.lacking() is None
    if not (ROOT / "models/minilm/1").exists():
        pytest.skip("the model is not exported: make model")
    done = subprocess.run(
        [sys.executable, "-m", "configs.demo_kubernetes.serve", "--once"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=500,
        check=False,
    )
    assert 0 == done.returncode, done.stdout
    assert 2 == done.stdout.count("1/1     Running"), done.stdout
    assert "  0.761  'A man is eating food.' and 'Someone eats a meal.'" in done.stdout
