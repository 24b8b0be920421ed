"""The page about leaving Marathon, carried out on the emulator: real servers, under load, there and back."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs
import psutil
import pytest

from tests.cluster.cluster import Cluster
from tests.docs.pages import ROOT, blocks_of
from tests.docs.reader import Reader, reading
from tests.ports import free_ports
from tests.tf_serving.conftest import until

PAGE = ROOT / "docs" / "how-to" / "leave-marathon.md"
RATE = "--rate 10/s --duration 30s"
MOVED = "--rate 5/s --duration 8m"

IMAGE = "localhost/roadstead/host:1"

pytestmark = pytest.mark.timeout(1800)


@attrs.define
class Place:
    """Somebody who reads the page, and the Marathon that it is about."""

    reader: Reader
    marathon: str

    def answer(self, path: str) -> object:
        """Return what Marathon answers, ``None`` while it does not."""
        try:
            with urllib.request.urlopen(f"{self.marathon}{path}", timeout=10) as found:  # noqa: S310  # our own address
                return json.loads(found.read())
        except OSError:
            return None

    def tasks(self) -> set[str]:
        """Return the tasks that run."""
        found = self.answer("/v2/tasks")
        assert isinstance(found, dict)
        return {one["id"] for one in found["tasks"] if one["state"] == "TASK_RUNNING"}

    def where(self) -> Counter[str]:
        """Return how many replicas there are on which cluster."""
        (found,) = json.loads(self.reader.run("roadstead status minilm -o json"))["deployments"]
        return Counter(one["cluster"] for one in found["replicas"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A reader in a folder, and the page's emulator in another terminal."""
    folder, port = tmp_path / "left", free_ports(8)
    emulator = None
    try:
        with reading(PAGE, folder) as made:
            made.instead |= {
                "/srv/models": str(ROOT / "models"),
                "127.0.0.1:8080": f"127.0.0.1:{port}",
                "18500-18509": f"{port + 2}-{port + 6}",
                "127.0.0.1:7070": f"127.0.0.1:{port + 7}",
            }
            alone = f"--port {port} --mesos-port {port + 1} --prefix 127.{16 + port % 230}"
            command = f"{made.next('sh').text.strip()} {alone}"
            with (folder / "emulator").open("wb") as out:
                emulator = subprocess.Popen(
                    ["/bin/bash", "-c", f"exec {command}"],
                    cwd=folder,
                    env=made.environment,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
            yield Place(made, f"http://127.0.0.1:{port}")
    finally:
        if emulator is not None:
            emulator.send_signal(signal.SIGTERM)
            emulator.wait(60)


@pytest.mark.nightly
def test_the_page_about_leaving_marathon_does_what_it_says(place: Place) -> None:
    """Imported, taken over as it runs, moved and back under load, and left for good: no request fails."""
    reader = place.reader
    _make(place)
    _import(place)
    _take_over(place)
    reader.type(within=900)
    assert re.search(r"^failed +0$", reader.printed, re.MULTILINE), reader.printed
    with _under_load(place):
        reader.type(within=600)
        assert {"here": 2} == place.where()
        assert set() == place.tasks()
        assert '"instances": 0' in reader.type()
        reader.type(within=600)
        assert {"dc1": 2} == place.where()
        assert 2 == len(place.tasks())

    reader.edit(r"^    adopt:\n.*\n.*\n", "")
    reader.edit(r"^    clusters: dc1$", "    clusters: here")
    reader.type(within=600)
    assert {"here": 2} == place.where()
    assert set() == place.tasks()
    assert '"instances": 0' in reader.run(f"curl -sS {place.marathon}/v2/apps//prod/minilm | python3 -m json.tool")
    reader.next("")
    assert reader.at_the_end()


def _make(place: Place) -> None:
    """Somebody's app runs."""
    reader = place.reader
    (reader.folder / "minilm.json").write_text(reader.meant(reader.next("json").text))
    until(lambda: place.answer("/v2/info") is not None, what="Marathon answers")
    reader.type()
    until(lambda: len(place.tasks()) == 2, what="both tasks run")


def _import(place: Place) -> None:
    reader = place.reader
    reader.type()
    reader.compare()
    reader.edit(r"^(      source: .*)$", rf"\1\n{reader.next('yaml').text.rstrip()}")
    here = reader.meant(reader.next("yaml").text.rstrip())
    reader.edit(r"^clusters:$", f"clusters:\n{here}")
    reader.edit(r"^    replicas: 2$", f"{reader.next('yaml').text}    replicas: 2")
    around = reader.meant(reader.next("yaml").text)
    reader.edit(r"^deployments:$", f"{around}deployments:")
    reader.type()


def _take_over(place: Place) -> None:
    """The tasks are the same ones."""
    reader, before = place.reader, place.tasks()
    reader.type(within=600)
    reader.compare()
    assert before == place.tasks()
    assert reader.next("yaml").text in (reader.folder / "fleet.yaml").read_text()


@pytest.mark.kubernetes
def test_it_leads_to_kubernetes_as_well_though_the_daemon_is_killed(
    place: Place, cluster: Cluster, namespace: str
) -> None:
    """Taken over as it runs, moved to a real cluster and back, with a new daemon each time: no request fails."""
    reader = place.reader
    kubeconfig = f"kubeconfig: {cluster.kubeconfig}, namespace: {namespace}"
    reader.instead["namespace: models"] = kubeconfig
    _make(place)
    _import(place)
    (other,) = (block for block in blocks_of(PAGE) if not block.language)
    reader.edit(r"^clusters:$", f"clusters:\n{reader.meant(other.text.rstrip())}")
    reader.edit(r"^    runtime:$", f"    runtime:\n      image: {IMAGE}")
    reader.run("roadstead validate")
    _take_over(place)
    begin, _ = reader.next("sh").text.strip().split("\n")
    reader.run(begin, within=900)
    with _under_load(place):
        for words, name in (("--to prod", "prod"), ("--undo", "dc1")):
            reader.run(f"roadstead migrate minilm {words} --detach")
            _replace_daemon(place)
            until(partial(_is_settled_on, place, name), what=f"all is on {name}", within=400)
    assert 2 == len(place.tasks())


def _replace_daemon(place: Place) -> None:
    """Kill the daemon in the middle of what it does, and start the next one."""
    pid = json.loads(place.reader.run("roadstead status -o json"))["service"]["daemon"]
    process = psutil.Process(pid)
    until(lambda: len(place.where()) == 2, what="there are replicas on both clusters", within=200)
    process.kill()
    process.wait(30)
    place.reader.run("roadstead daemon start --background")


def _is_settled_on(place: Place, cluster: str) -> bool:
    (found,) = json.loads(place.reader.run("roadstead status minilm -o json"))["deployments"]
    there = [one for one in found["replicas"] if one["cluster"] == cluster and one["life"] == "listed"]
    return found["state"] == "settled" and len(there) == len(found["replicas"]) == 2


@contextmanager
def _under_load(place: Place) -> Iterator[None]:
    """Have requests come all the while, as the page asks for them; not one fails."""
    reader = place.reader
    load = PAGE.read_text().split("python -m configs.minilm.workload")[1].split("\n")[1]
    loading = reader.start(f"exec {load.replace(RATE, MOVED)}")
    try:
        until(lambda: "warm-up" in (reader.folder / "loading").read_text(), what="the load begins")
        yield
        assert loading.poll() is None, "requests came all the while"
        loading.send_signal(signal.SIGINT)
        loading.wait(120)
    finally:
        loading.kill()
    account = (reader.folder / "loading").read_text()
    assert re.search(r"^failed +0$", account, re.MULTILINE), account
