"""A package by somebody else, installed in a clean environment, does all that a backend of ours does."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from tests.outsider.guide import commands, quotations
from tests.ports import free_port
from tests.tf_serving.saved_models import half_plus

ROOT = Path(__file__).parents[2]
PIER = Path(__file__).with_name("pier")
GUIDE = ROOT / "docs" / "how-to" / "write-a-backend.md"
OURS = ("roadstead", "roadstead_backends", "roadstead_plugins")
SOURCES = ("scheduler/roadstead", "backends/roadstead_backends", "plugins/roadstead_plugins")
LET_IN = ("roadstead.spi", "roadstead.testing")

# pip's own names: nothing is fetched, and what builds the package is what is there already.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "false", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@attrs.frozen(kw_only=True)
class Yard:
    """A copy of the outsider's package, and an environment in which Roadstead's wheel is installed."""

    folder: Path
    variables: Mapping[str, str]

    def run(self, *words: str) -> str:
        """Run one command as a person in that folder would, and return what it printed."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


def _environment(folder: Path) -> dict[str, str]:
    """Make an environment with nothing of ours: what the project depends on is behind a path, not installed again."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ROADSTEAD_", "PIP_"))}
    return {**kept, **OFFLINE, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(folder)}


def _wheel(folder: Path) -> Path:
    """Build Roadstead's wheel from a copy of what it is built from."""
    tree = folder / "tree"
    nothing_compiled = shutil.ignore_patterns("__pycache__")
    for source in SOURCES:
        shutil.copytree(ROOT / source, tree / source, ignore=nothing_compiled)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """The package's copy beside an environment with Roadstead's wheel; a daemon left over there is stopped."""
    folder = tmp_path_factory.mktemp("yard")
    variables = {**_environment(folder / "env"), "XDG_STATE_HOME": str(folder / "state")}
    made = Yard(folder=folder / "pier", variables=variables)
    shutil.copytree(PIER, made.folder, ignore=shutil.ignore_patterns("__pycache__", ".*", "build", "*.egg-info"))
    install = ("python", "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-installed")
    made.run(*install, str(_wheel(folder)))
    _settle(made.folder)
    yield made
    made.run("roadstead", "daemon", "stop", "--stop-replicas", "--yes")


def _settle(folder: Path) -> None:
    """Give the fleet a port that is free, a model, and a request: the quick start's where it is, else a tiny one."""
    port = free_port()
    fleet = folder / "fleet.yaml"
    fleet.write_text(fleet.read_text().replace("127.0.0.1:7071", f"127.0.0.1:{port}"))
    request: object
    if (ROOT / "models" / "minilm" / "1").exists():
        (folder / "models").symlink_to(ROOT / "models")
        request = {"instances": [{"input_ids": [101, 7592, 102], "attention_mask": [1, 1, 1]}]}
    else:
        half_plus(1.0, folder / "models" / "minilm" / "1")
        request = {"instances": [1.0, 2.0]}
    (folder / "request.json").write_text(json.dumps(request))


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def test_the_outsider_imports_nothing_of_ours_but_the_contract_and_the_kit() -> None:
    """Whatever else it needed would be missing from them."""
    imported = {name for file in PIER.rglob("*.py") for name in _imports(file) if name.partition(".")[0] in OURS}

    assert imported
    assert set() == {name for name in imported if not name.startswith(LET_IN)}


def test_what_the_guide_quotes_stands_in_the_package() -> None:
    """A reader who compares finds the same lines."""
    quoted = list(quotations(GUIDE))

    assert quoted
    for quotation in quoted:
        assert quotation.lines in (PIER / quotation.file).read_text(), f"{quotation.file} has no\n{quotation.lines}"


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_guide_leads_to_a_backend_that_keeps_the_contract_and_serves(yard: Yard) -> None:
    """Every command of the guide, in its order: installed, asked everything, and serving the model."""
    printed = {" ".join(words): yard.run(*words) for words in commands(GUIDE)}

    whose = "import roadstead, roadstead_pier; print(roadstead.__file__, roadstead_pier.__file__)"
    assert 2 == yard.run("python", "-c", whose).count(yard.variables["VIRTUAL_ENV"]), "both are the installed ones"
    assert "pier" in printed["roadstead backend list"]
    assert "one-to-spare" in printed["roadstead backend list"]
    assert "predictions" in json.loads(printed["roadstead predict minilm request.json"])
