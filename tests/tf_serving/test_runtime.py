"""The runtime plugin: what it launches, held against a real server that was launched so, probed and reloaded."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import RoadsteadError
from roadstead.model import BatchingSpec, GpuPart, HealthSpec, ModelSpec, Resources, RuntimeSpec, Template
from roadstead.spi.expansion import expand, own_ports
from roadstead.spi.runtime import Program, Server
from roadstead.testing.strategies import templates
from roadstead.units import Cpus, Duration, GpuShare
from roadstead.world import Endpoint, ModelState, ModelStatus
from roadstead_plugins.runtimes.tf_serving.answers import NoAnswer, VersionState, verdict
from roadstead_plugins.runtimes.tf_serving.launch import problems
from roadstead_plugins.runtimes.tf_serving.runtime import TfServing
from roadstead_plugins.runtimes.tf_serving.server.configs import read_batching, read_models, read_monitoring
from roadstead_plugins.runtimes.tf_serving.server.flags import parse
from roadstead_plugins.runtimes.tf_serving.server.versions import Specific
from tests.tf_serving.conftest import Start, launched, own_address, until, written
from tests.tf_serving.saved_models import broken, half_plus

TEMPLATE = Template(model=ModelSpec(name="half", source="/models/half"))
LONG = Duration(20_000)


@given(templates())
def test_what_is_launched_is_understood_by_the_server(template: Template) -> None:
    """For any template that has no problems, the embedded server's own parser accepts every flag."""
    template = attrs.evolve(template, runtime=attrs.evolve(template.runtime, engine="embedded", args=()))
    if problems(template):
        return
    launch = TfServing().launch(template)
    assert launch == TfServing().launch(template)
    options = parse([expand(argument, {"HOST": "127.0.0.1", **own_ports(launch)}) for argument in launch.args])
    assert (launch.grpc_port, launch.rest_port) == (options.grpc_port, options.rest_port)
    assert options.session.threads.intra_op == max(1, -(-template.resources.cpu.milli // 1000))
    assert 0 == options.max_load_retries
    assert (("grpc.so_reuseport", 0),) == options.channel_arguments


def test_the_files_say_what_the_template_says(tmp_path: Path) -> None:
    """The generated files, read by the server's own parser: one exact version, metrics, the template's batching."""
    batching = BatchingSpec(max_batch_size=8, timeout=Duration(7), threads=2, max_enqueued=3)
    template = attrs.evolve(TEMPLATE, runtime=RuntimeSpec(batching=batching))
    written(TfServing().launch(template), tmp_path, Path("/models/half"), "127.0.0.1")
    (model,) = read_models(tmp_path / "models.config")
    assert ("half", "/models/half", Specific(frozenset({1}))) == (model.name, model.base_path, model.policy)
    assert "/monitoring/prometheus/metrics" == read_monitoring(tmp_path / "monitoring.config")
    read = read_batching(tmp_path / "batching.config")
    assert (8, 0.007, 2, 3) == (read.max_batch_size, read.timeout, read.threads, read.max_enqueued_batches)
    assert read.pad_variable_length_inputs


def test_without_batching_nothing_about_it_islaunched() -> None:
    """``batching: null`` leaves out the flag and the file."""
    launch = TfServing().launch(attrs.evolve(TEMPLATE, runtime=RuntimeSpec(batching=None)))
    assert [] == [argument for argument in launch.args if "batching" in argument]
    assert ["models.config", "monitoring.config"] == [file.name for file in launch.files]


def test_the_two_engines_differ_in_program_and_address() -> None:
    """TensorFlow's own server is a program from the PATH, and has no flag for the address and the memory."""
    embedded = TfServing().launch(TEMPLATE)
    other = TfServing().launch(attrs.evolve(TEMPLATE, runtime=RuntimeSpec(engine="tensorflow_model_server")))
    assert Program(module="roadstead_plugins.runtimes.tf_serving.server") == embedded.program
    assert Program(executable="tensorflow_model_server") == other.program
    limit = f"--memory_limit_bytes={TEMPLATE.resources.memory.bytes}"
    assert {"--host=$(HOST)", limit} == set(embedded.args) - set(other.args)


def test_only_the_embedded_server_finishes_at_sigterm_and_says_when_its_model_is_available() -> None:
    """TensorFlow's own has no handler, and its word says nothing of a model; a flag switches the word off."""
    off = RuntimeSpec(args=("--enable_grpc_healthcheck_service=false",))
    specs = (RuntimeSpec(), off, RuntimeSpec(engine="tensorflow_model_server"))
    made = [TfServing().launch(attrs.evolve(TEMPLATE, runtime=spec)) for spec in specs]
    assert [(True, True), (True, False), (False, False)] == [(one.finishes, one.says_health) for one in made]


def test_a_share_of_a_gpu_is_a_share_of_its_memory() -> None:
    """A server with half a GPU takes half of its memory; one without a GPU sees none."""
    half = attrs.evolve(TEMPLATE, resources=Resources(cpu=Cpus(2500), gpu=GpuPart(share=GpuShare(500))))
    assert "--per_process_gpu_memory_fraction=0.5" in TfServing().launch(half).args
    assert "CUDA_VISIBLE_DEVICES" not in dict(TfServing().launch(half).env)
    assert "-1" == dict(TfServing().launch(TEMPLATE).env)["CUDA_VISIBLE_DEVICES"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (attrs.evolve(TEMPLATE, runtime=RuntimeSpec(engine="triton")), "engine 'triton' is not known"),
        (attrs.evolve(TEMPLATE, model=ModelSpec(name="a/b", source="/m")), "model name 'a/b' cannot stand in a URL"),
        (attrs.evolve(TEMPLATE, model=ModelSpec(name="a", source="/m", format="onnx")), "model format 'onnx'"),
        (attrs.evolve(TEMPLATE, model=ModelSpec(name="a", source="/m", version=-1)), "model version -1 is negative"),
        (attrs.evolve(TEMPLATE, runtime=RuntimeSpec(args=("--port=1",))), "argument '--port=1' is ours to set"),
        (attrs.evolve(TEMPLATE, runtime=RuntimeSpec(args=("verbose",))), "argument 'verbose' is not a flag"),
        (attrs.evolve(TEMPLATE, runtime=RuntimeSpec(batching=BatchingSpec(threads=0))), "batching.threads is 0"),
    ],
)
def test_a_template_that_cannot_be_served_is_found_before_it_is(template: Template, text: str) -> None:
    """Each problem is a sentence that names the value."""
    (problem,) = TfServing().check(template)
    assert problem.startswith(text)


_STATES = st.sampled_from(["START", "LOADING", "AVAILABLE", "UNLOADING", "END"])
_VERSIONS = st.builds(
    VersionState, version=st.integers(0, 4), state=_STATES, error=st.sampled_from(["", "INTERNAL: x"])
)


@given(st.lists(_VERSIONS, unique_by=lambda entry: entry.version).map(tuple), st.integers(0, 4))
def test_only_the_exact_version_makes_a_replica_available(answer: tuple[VersionState, ...], version: int) -> None:
    """Available means that this version is; what else is served is listed, and never counts."""
    found = verdict(answer, version)
    available = {entry.version for entry in answer if entry.state == "AVAILABLE"}
    assert available == set(found.versions)
    assert (version in available) == (found.status is ModelStatus.AVAILABLE)


def test_no_answer_is_unknown_and_never_failed() -> None:
    """A server that cannot be reached says nothing about its model."""
    assert ModelStatus.UNKNOWN is verdict(NoAnswer("connection refused"), 1).status


def _template(model: Path, *, version: int = 1, canary: str | None = None) -> Template:
    return Template(model=ModelSpec(name="half", source=str(model), version=version), health=HealthSpec(canary=canary))


def test_a_launched_server_is_probed_and_reloaded(start: Start, tmp_path: Path) -> None:
    """The template's version is served, not the latest; a reload takes another; a bad version is refused."""
    half_plus(2, tmp_path / "half" / "1")
    half_plus(3, tmp_path / "half" / "2")
    broken(tmp_path / "half" / "3")
    running, server = launched(start, tmp_path, _template(tmp_path / "half"))
    runtime = TfServing()
    until(lambda: runtime.probe(server, timeout=LONG).status is ModelStatus.AVAILABLE, what=running.text())
    assert ModelState(status=ModelStatus.AVAILABLE, incarnation=server.incarnation, versions=(1,)) == runtime.probe(
        server, timeout=LONG
    )
    runtime.reload(server, 2, timeout=LONG)
    wanted_two = attrs.evolve(server, template=_template(tmp_path / "half", version=2))
    assert ModelStatus.AVAILABLE is runtime.probe(wanted_two, timeout=LONG).status
    assert [5.0] == running.predict("half", x=[4])["y"].tolist()
    with pytest.raises(RoadsteadError, match=r"version 3 of half .* did not become available"):
        runtime.reload(server, 3, timeout=LONG)
    assert [5.0] == running.predict("half", x=[4])["y"].tolist()
    runtime.close()


def test_rest_says_the_same_as_grpc(start: Start, tmp_path: Path) -> None:
    """Where a server has no gRPC port, or we have no gRPC, the state comes over REST and is the same."""
    half_plus(2, tmp_path / "half" / "1")
    running, server = launched(start, tmp_path, _template(tmp_path / "half"))
    runtime = TfServing()
    until(lambda: runtime.probe(server, timeout=LONG).status is ModelStatus.AVAILABLE, what=running.text())
    over_rest = attrs.evolve(server, endpoint=attrs.evolve(server.endpoint, grpc=None))
    assert runtime.probe(server, timeout=LONG) == runtime.probe(over_rest, timeout=LONG)
    missing = attrs.evolve(over_rest, template=_template(tmp_path / "half", version=7))
    assert ModelStatus.LOADING is runtime.probe(missing, timeout=LONG).status
    assert "the server knows no version 7; it serves 1" == runtime.probe(missing, timeout=LONG).error
    runtime.close()


def test_what_a_gateway_asks_tells_whether_some_version_is_available(start: Start, tmp_path: Path) -> None:
    """The check's path answers 200 whatever became of the versions, and the text it expects only while one serves."""
    template = _template(tmp_path / "half", version=7)
    half_plus(2, tmp_path / "half" / "1")
    running, server = launched(start, tmp_path, template)
    check = TfServing().launch(template).check
    assert check is not None
    assert check == TfServing().launch(_template(tmp_path / "half", version=1)).check
    running.wait_for({7: "END"}, "half")
    status, body = running.text_at(check.path)
    assert (200, False) == (status, check.expects in body)
    runtime = TfServing()
    runtime.reload(server, 1, timeout=LONG)
    status, body = running.text_at(check.path)
    assert (200, True) == (status, check.expects in body)
    runtime.close()


def test_a_version_without_a_folder_has_failed(start: Start, tmp_path: Path) -> None:
    """A server asked for a version that is not on disk says so, over gRPC and REST, instead of loading for ever."""
    half_plus(2, tmp_path / "half" / "1")
    running, server = launched(start, tmp_path, _template(tmp_path / "half", version=7))
    runtime = TfServing()
    failed = ModelState(
        status=ModelStatus.FAILED,
        incarnation=server.incarnation,
        error=f"NOT_FOUND: no version 7 of model half under {tmp_path / 'half'}",
    )
    until(lambda: runtime.probe(server, timeout=LONG) == failed, what=running.text())
    over_rest = attrs.evolve(server, endpoint=attrs.evolve(server.endpoint, grpc=None))
    assert failed == runtime.probe(over_rest, timeout=LONG)
    runtime.close()


def test_a_canary_must_be_answered_before_the_model_counts(start: Start, tmp_path: Path) -> None:
    """A canary that the model refuses keeps it from being available, with the model's own words."""
    half_plus(2, tmp_path / "half" / "1")
    running, server = launched(start, tmp_path, _template(tmp_path / "half", canary='{"instances":["text"]}'))
    running.wait_for({1: "AVAILABLE"}, "half")
    runtime = TfServing()
    state = runtime.probe(server, timeout=LONG)
    assert ModelStatus.FAILED is state.status
    assert state.error.startswith("the canary was answered 400: Failed to process element: 0 key: x")
    good = attrs.evolve(server, template=_template(tmp_path / "half", canary='{"instances":[1]}'))
    assert ModelStatus.AVAILABLE is runtime.probe(good, timeout=LONG).status
    runtime.close()


def test_a_server_that_is_not_there_is_unknown() -> None:
    """Refused connections, and ports where nobody answers, are UNKNOWN with the reason, within the time given."""
    host = own_address()
    runtime = TfServing()
    server = Server(endpoint=Endpoint(host=host, grpc=8500, rest=8501), template=TEMPLATE, incarnation="1")
    refused = runtime.probe(server, timeout=Duration(500))
    assert (ModelStatus.UNKNOWN, "1") == (refused.status, refused.incarnation)
    assert "UNAVAILABLE" in refused.error
    with socket.create_server((host, 8501)):
        silent = attrs.evolve(server, endpoint=Endpoint(host=host, grpc=None, rest=8501))
        assert "timed out" in runtime.probe(silent, timeout=Duration(300)).error
    runtime.close()


def test_a_server_that_is_late_over_grpc_is_asked_over_rest(start: Start, tmp_path: Path) -> None:
    """Calls over gRPC stand in line with predictions: one that waits too long is no sign that the model is gone."""
    half_plus(2, tmp_path / "half" / "1")
    template = _template(tmp_path / "half")
    running, server = launched(start, tmp_path, template, "--port=0")
    until(lambda: running.listens(8501), what=running.text())
    runtime = TfServing()
    with socket.create_server((running.host, 8500)):  # takes connections and says nothing
        until(lambda: runtime.probe(server, timeout=Duration(2_000)).status is ModelStatus.AVAILABLE, what="a state")
    runtime.close()


def test_naming_the_plugin_imports_no_client() -> None:
    """Registering the runtime, checking and launching need neither gRPC nor numpy nor TensorFlow's messages."""
    script = (
        "import sys; import roadstead_plugins.runtimes.tf_serving.plugin as plugin\n"
        "from roadstead_plugins.runtimes.tf_serving.runtime import TfServing\n"
        "from roadstead.model import ModelSpec, Template\n"
        "(record,) = plugin.roadstead_runtimes()\n"
        "TfServing().launch(Template(model=ModelSpec(name='m', source='/m')))\n"
        "print(sorted({'grpc', 'numpy', 'tensorflow', 'google'} & set(sys.modules)), record.engines[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "[] embedded" == done.stdout.strip()
