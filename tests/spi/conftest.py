"""Real distributions, good and broken, installed by pip into a folder that only a test has on its path."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

_HEAD = "from roadstead.spi.hookspecs import hookimpl\nfrom roadstead.spi.records import BackendPlugin, RuntimePlugin\n"
_RECORD = "BackendPlugin(name={name!r}, factory='acme.backend:connect', summary='a cluster')"


def _bringing(name: str) -> str:
    return f"{_HEAD}\n@hookimpl\ndef roadstead_backends():\n    yield {_RECORD.format(name=name)}\n"


SOURCES = {
    "acme-good": _bringing("nomad"),
    "acme-again": _bringing("nomad"),
    "acme-no-client": "import a_client_that_is_not_installed\n",
    "acme-leaves": "raise SystemExit(3)\n",
    "acme-misspelt": _bringing("harbour")
    + f"\n@hookimpl\ndef roadstead_backend():\n    yield {_RECORD.format(name='x')}\n",
    "acme-arguments": f"{_HEAD}\n@hookimpl\ndef roadstead_planned(plan, colour):\n    pass\n",
    "acme-wrong-type": f"{_HEAD}\n@hookimpl\ndef roadstead_runtimes():\n    yield {_RECORD.format(name='pier')}\n",
    "acme-half": _bringing("quay") + "    yield 'not a record'\n",
    "acme-raises": f"{_HEAD}\n@hookimpl\ndef roadstead_backends():\n    raise LookupError('no licence')\n",
    "acme-bad-name": _bringing("No Good"),
    "acme-nothing": f"{_HEAD}\n@hookimpl\ndef roadstead_backends():\n    return ()\n",
}


def _wheel(folder: Path, name: str, source: str) -> Path:
    """Return a wheel of one module with one entry point, written as the format says."""
    module = name.replace("-", "_")
    info = f"{module}-1.2.dist-info"
    files = {
        f"{module}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[roadstead]\nmain = {module}\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    path = folder / f"{module}-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inner, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(inner, text)
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which all of them were installed."""
    folder = tmp_path_factory.mktemp("wheels")
    target = tmp_path_factory.mktemp("site")
    wheels = [str(_wheel(folder, name, source)) for name, source in SOURCES.items()]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(target), *wheels], check=True, capture_output=True
    )
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Distribution]]]:
    """Give the installed distributions of these names, importable for the length of the test."""
    monkeypatch.syspath_prepend(str(site))

    def chosen(*names: str) -> list[Distribution]:
        found = [one for one in distributions(path=[str(site)]) if one.name in names]
        assert sorted(names) == sorted(one.name for one in found)
        return found

    yield chosen
    for name in SOURCES:
        sys.modules.pop(name.replace("-", "_"), None)
