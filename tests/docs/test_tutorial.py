"""The tutorial, carried out: every block is typed, and what it says that is printed is what is printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from roadstead.cli.exits import Exit
from tests.docs.pages import ROOT
from tests.docs.reader import Reader, reading
from tests.ports import free_ports
from tests.tf_serving.conftest import until

PAGE = ROOT / "docs" / "tutorial" / "first-model.md"
ADDRESS = re.compile(r"127\.\d+\.\d+\.\d+(?=:8500/8501)")

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader in a new folder, beside the models that were exported before."""
    with reading(PAGE, tmp_path / "first") as made:
        yield made


def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    """From nothing to a version that was rolled out under load, and a limit that says no."""
    _make(reader)
    _declare(reader)
    _serve(reader)
    _break(reader)
    _roll_out(reader)
    _ask_for_too_much(reader)
    # A person is asked first.
    reader.run(f"{reader.next('sh').text.strip()} --yes")
    assert reader.at_the_end()


def _make(reader: Reader) -> None:
    """Whoever runs this has the environment; the model is exported as `make model` does it."""
    first = reader.next("sh").text.splitlines()
    assert ["make env", "make model", "export PATH=$PWD/.venv/bin:$PATH"] == first
    assert {"env:", "model:"} <= set(re.findall(r"^\w+:", (ROOT / "Makefile").read_text(), re.MULTILINE))
    reader.run("python -m configs.minilm.export models/minilm", within=900)
    reader.type(within=900)


def _declare(reader: Reader) -> None:
    """The file as the page has it changed, at ports that are free here."""
    port = free_ports(10)
    reader.type()
    reader.edit(r"replicas: 1$", "replicas: 2")
    reader.edit(r"version: 2$", "version: 1")
    reader.edit(r"^# gateways: .*\n#   edge: .*$", f"gateways:\n  edge: {{kind: envoy, ports: {port}-{port + 8}}}")
    reader.edit(r"^deployments:", f'daemon: {{on_change: stage, http: "127.0.0.1:{port + 9}"}}\n\ndeployments:')
    reader.instead["18000"] = str(port)

    assert "is valid" in reader.type()
    reader.edit("replicas: 2", "replicsa: 2")
    reader.run("roadstead validate", expect=Exit.INVALID)
    reader.compare()
    reader.edit("replicsa: 2", "replicas: 2")

    reader.type()
    reader.compare()


def _serve(reader: Reader) -> None:
    """Start, follow, look, and ask, both ways."""
    reader.type()
    reader.follow()
    reader.type()
    reader.compare()
    for example, here in zip(
        dict.fromkeys(ADDRESS.findall(PAGE.read_text())), ADDRESS.findall(reader.printed), strict=True
    ):
        reader.instead[example] = here
    reader.type()
    reader.compare()
    assert '"predictions"' in reader.type()


def _break(reader: Reader) -> None:
    """The pattern of the page fits one process on the whole machine, and that is the one which is killed."""
    (pattern,) = re.findall(r"pkill -9 -f '(.*)'", reader.next("sh").text)
    host = next(here for example, here in reader.instead.items() if example in pattern)
    meant = [one for one in psutil.process_iter(["cmdline"]) if f"--host={host}" in (one.info["cmdline"] or ())]
    fits = pattern.replace(next(one for one, here in reader.instead.items() if here == host), host)
    (victim,) = [one for one in meant if fits in " ".join(one.info["cmdline"])]
    victim.kill()
    until(lambda: _is_back(reader.run("roadstead events minilm --tail 2")), what="it is back")
    reader.type()
    reader.compare()


def _is_back(events: str) -> bool:
    return "was restarted" in events and "is ready" in events


def _roll_out(reader: Reader) -> None:
    """The load goes on while the file is changed; its account is the page's, and no request failed."""
    begin, rest = reader.next("sh").text.strip().split("\n")
    reader.run(begin, within=900)
    loading = reader.start(rest)
    until(lambda: "warm-up" in (reader.folder / "loading").read_text(), what="the load begins")
    reader.edit("^      version: 1$", "      version: 2")
    reader.type()
    reader.compare()
    reader.run("roadstead apply --yes")
    reader.follow()
    assert 0 == loading.wait(300)
    account = (reader.folder / "loading").read_text()
    assert re.search(r"^failed +0$", account, re.MULTILINE), account
    reader.compare(account)


def _ask_for_too_much(reader: Reader) -> None:
    reader.type(expect=Exit.UNPLACEABLE)
    reader.run("roadstead scale minilm 2")
