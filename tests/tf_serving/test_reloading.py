"""Reload in place: a running server goes over to another version, under load, or stays with the one it has."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
import grpc
import pytest

from roadstead.errors import RoadsteadError
from roadstead.model import BatchingSpec, ModelSpec, Resources, RuntimeSpec, Template
from roadstead.spi.runtime import Server
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import ModelStatus
from roadstead_plugins.runtimes.tf_serving.answers import Answer, NoAnswer, VersionState
from roadstead_plugins.runtimes.tf_serving.reloading import NotReloaded, Steps
from roadstead_plugins.runtimes.tf_serving.runtime import TfServing
from roadstead_plugins.runtimes.tf_serving.tensors import array_of
from tests.tf_serving.clients import clients
from tests.tf_serving.conftest import Running, Start, launched, predict_request, until
from tests.tf_serving.saved_models import broken, half_plus, heavy

LONG = Duration(30_000)


@pytest.fixture
def runtime() -> Iterator[TfServing]:
    """The runtime, with its connections closed in the end."""
    found = TfServing()
    yield found
    found.close()


def _template(base: Path, *, batching: BatchingSpec | None = None, memory: int = 2 * 1024**3) -> Template:
    return Template(
        model=ModelSpec(name="default", source=str(base), version=1),
        runtime=RuntimeSpec(batching=batching),
        resources=Resources(cpu=Cpus(1000), memory=Memory(memory)),
    )


def _serving(start: Start, folder: Path, template: Template) -> tuple[Running, Server]:
    running, server = launched(start, folder, template)
    running.wait_for({1: "AVAILABLE"})
    return running, server


def test_a_reload_under_load_fails_no_request(start: Start, tmp_path: Path, runtime: TfServing) -> None:
    """While clients ask, versions change to and fro: every answer is right for the version it names."""
    half_plus(2, tmp_path / "model" / "1")
    half_plus(3, tmp_path / "model" / "2")
    running, server = _serving(start, tmp_path, _template(tmp_path / "model"))
    with clients(running.host, over_grpc=8, over_rest=4) as tally:
        for version in (2, 1, 2):
            runtime.reload(server, version, timeout=LONG)
        reloaded = time.monotonic()
        until(lambda: {(0, 5.0), (2, 5.0)} <= set(tally.ends(since=reloaded)), what="answers of the new version")
    assert {(1, 4.0), (2, 5.0), (0, 4.0), (0, 5.0)} == set(tally.ends())
    assert {(2, 5.0), (0, 5.0)} == set(tally.ends(since=reloaded))
    assert [5.0] == running.predict(version=2, x=[4])["y"].tolist()
    with pytest.raises(grpc.RpcError) as error:
        running.predict(version=1, x=[4])
    assert "NOT_FOUND" == error.value.code().name


def test_a_version_that_cannot_be_loaded_leaves_the_old_one(start: Start, tmp_path: Path, runtime: TfServing) -> None:
    """A damaged version and one without a folder say why; the old one serves on, and nothing changes by itself."""
    base = tmp_path / "model"
    half_plus(2, base / "1")
    broken(base / "3")
    running, server = _serving(start, tmp_path, _template(base))
    with clients(running.host, over_grpc=2) as tally:
        for version, why in ((3, "saved_model.pb"), (7, f"NOT_FOUND: no version 7 of model default under {base}")):
            with pytest.raises(
                RoadsteadError, match=f"version {version} of default .* did not become available"
            ) as error:
                runtime.reload(server, version, timeout=LONG)
            assert why in str(error.value)
            wanted = attrs.evolve(server, template=_template_of(server, version))
            found = runtime.probe(wanted, timeout=LONG)
            assert ((1,), version == 3) == (found.versions, found.status is ModelStatus.FAILED)
            assert version != 3 or why in found.error
    assert {(1, 4.0)} == set(tally.ends())
    half_plus(5, tmp_path / "mended")
    (tmp_path / "mended").rename(base / "7")
    assert {1: "AVAILABLE", 3: "END"} == running.states()
    runtime.reload(server, 7, timeout=LONG)
    assert [7.0] == running.predict(x=[4])["y"].tolist()
    shutil.rmtree(base / "3")
    half_plus(6, base / "3")
    runtime.reload(server, 3, timeout=LONG)
    assert [8.0] == running.predict(x=[4])["y"].tolist()


def _template_of(server: Server, version: int) -> Template:
    return attrs.evolve(server.template, model=attrs.evolve(server.template.model, version=version))


def test_a_version_without_room_leaves_the_old_one(start: Start, tmp_path: Path, runtime: TfServing) -> None:
    """Where the memory limit does not allow two versions at once, the new one is not even begun, and says so."""
    half_plus(2, tmp_path / "model" / "1")
    half_plus(3, tmp_path / "model" / "2")
    running, server = _serving(start, tmp_path, _template(tmp_path / "model", memory=1024**2))
    with pytest.raises(RoadsteadError, match=r"RESOURCE_EXHAUSTED: not enough memory to load it beside what is served"):
        runtime.reload(server, 2, timeout=LONG)
    assert {1: "AVAILABLE", 2: "END"} == running.states()
    assert [4.0] == running.predict(x=[4])["y"].tolist()


def test_what_is_in_flight_is_answered_by_the_version_that_took_it(
    start: Start, tmp_path: Path, runtime: TfServing
) -> None:
    """A request that waits while its version is replaced gets that version's answer, and the reload need not wait."""
    half_plus(2, tmp_path / "model" / "1")
    half_plus(3, tmp_path / "model" / "2")
    slow = BatchingSpec(max_batch_size=2, timeout=Duration(5_000), threads=1)
    running, server = _serving(start, tmp_path, _template(tmp_path / "model", batching=slow))
    in_flight = running.prediction.Predict.future(predict_request(x=[4]), timeout=20)
    assert {1: "AVAILABLE"} == running.states()
    runtime.reload(server, 2, timeout=LONG)
    assert {1: "UNLOADING", 2: "AVAILABLE"} == running.states()
    response = in_flight.result()
    assert (1, [4.0]) == (response.model_spec.version.value, array_of(response.outputs["y"]).tolist())
    running.wait_for({1: "END", 2: "AVAILABLE"})


def test_the_memory_of_an_old_version_is_given_back(start: Start, tmp_path: Path, runtime: TfServing) -> None:
    """After ten reloads the process holds as much as with its first version."""
    size = 16_000_000
    for version in (1, 2):
        heavy(size, tmp_path / "model" / str(version))
    running, server = _serving(start, tmp_path, _template(tmp_path / "model"))
    before = _held(running)
    for turn in range(10):
        runtime.reload(server, 2 - turn % 2, timeout=LONG)
    running.wait_for({1: "AVAILABLE", 2: "END"})
    assert _held(running) < before + size // 2


def _held(running: Running) -> int:
    """Return the bytes of memory that are the process's own."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


@attrs.define
class _Told:
    """A server as TensorFlow's own: it acts on what it is told some looks later, and until then shows what was."""

    answers: list[Answer]
    told: list[list[int]] = attrs.field(factory=list)

    def look(self, _left: float) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def tell(self, versions: Iterable[int], _left: float) -> str:
        self.told.append(sorted(versions))
        return ""

    def reload(self, version: int, *, stale: float) -> None:
        Steps(look=self.look, tell=self.tell, stale=stale).reload(version, deadline=time.monotonic() + 5)


_ONE = VersionState(version=1, state="AVAILABLE")
_TWO = VersionState(version=2, state="AVAILABLE")
_FAILED = VersionState(version=2, state="END", error="INTERNAL: x")


def test_an_old_failure_is_not_taken_for_a_new_one() -> None:
    """A server that still shows why the last attempt failed is given its time; what it did then counts."""
    server = _Told([(_ONE, _FAILED), (_ONE, _FAILED), NoAnswer("busy"), (_ONE, _TWO), (_ONE, _TWO), (_TWO,)])
    server.reload(2, stale=60)
    assert [[1, 2], [2]] == server.told


def test_a_failure_that_stays_is_one() -> None:
    """A failure that is shown for longer than the server needs to act is that of this attempt, and it goes back."""
    server = _Told([(_ONE, _FAILED)])
    with pytest.raises(NotReloaded, match="INTERNAL: x"):
        server.reload(2, stale=0.2)
    assert [[1, 2], [1]] == server.told


def test_a_version_that_serves_already_is_told_alone() -> None:
    """A reload that was interrupted is ended by asking again; nothing is loaded anew."""
    server = _Told([(_ONE, _TWO), (_TWO,)])
    server.reload(2, stale=60)
    assert [[2]] == server.told
