"""How a server starts, follows its folders and its configuration, and ends."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from roadstead_plugins.runtimes.tf_serving.protos import get_model_status_pb2, model_management_pb2
from roadstead_plugins.runtimes.tf_serving.tensors import array_of
from tests.tf_serving.conftest import START, Running, Start, own_address, predict_request, until
from tests.tf_serving.saved_models import broken, half_plus

pytestmark = pytest.mark.slow


def _ends_with(server: Running, code: int) -> str:
    assert code == server.process.wait(timeout=START), server.text()
    return server.text()


def _last_words(text: str) -> str:
    """Return the last line, of a text in which nothing but our own log lines tells of the end."""
    for noise in ("Traceback", "Warning", "never awaited", "exception was never retrieved"):
        assert noise not in text
    return text.splitlines()[-1]


def test_an_unknown_flag_is_an_error(start: Start) -> None:
    """A misspelt flag, or one of TensorFlow Serving's that we do not act on, ends the process at once."""
    for flag in ("--modelname=x", "--ssl_config_file=tls.config"):
        text = _ends_with(start("--model_base_path=/nowhere", flag), 64)
        assert f"unrecognized arguments: {flag}" in text


def test_a_bad_configuration_file_is_named_with_its_line(start: Start, tmp_path: Path) -> None:
    """A file that is not the message it should be ends the process with the parser's position."""
    config = tmp_path / "models.config"
    config.write_text('model_config_list {\n  config { nam: "x" }\n}\n')
    text = _ends_with(start(f"--model_config_file={config}"), 78)
    assert f"{config}: invalid ModelServerConfig: 2:12" in text


def test_a_bad_model_ends_the_process(start: Start, tmp_path: Path) -> None:
    """A version that cannot be loaded ends the process at once, with the reason that TensorFlow gave."""
    broken(tmp_path / "model" / "1")
    text = _ends_with(start(f"--model_base_path={tmp_path / 'model'}"), 1)
    last = _last_words(text)
    assert "Failed to start server. Error: 1 servable(s) did not become available: {{name: default version: 1}" in last


@pytest.mark.parametrize(("port", "flag"), [(8500, "--port"), (8501, "--rest_api_port")])
def test_a_busy_port_is_an_error(start: Start, tmp_path: Path, port: int, flag: str) -> None:
    """A port that somebody listens on is never shared: the process ends and says which."""
    host = own_address()
    half_plus(2, tmp_path / "model" / "1")
    with socket.create_server((host, port)):
        text = _ends_with(start(f"--model_base_path={tmp_path / 'model'}", host=host), 71)
    assert f"cannot listen on {host}:{port} ({flag}): Address already in use" in _last_words(text)


def test_two_servers_do_not_share_a_port(start: Start, tmp_path: Path) -> None:
    """A second server on the same address ends; the first one serves on."""
    half_plus(2, tmp_path / "model" / "1")
    first = start(f"--model_base_path={tmp_path / 'model'}")
    first.wait_for({1: "AVAILABLE"})
    second = start(f"--model_base_path={tmp_path / 'model'}", "--rest_api_port=0", host=first.host)
    _ends_with(second, 71)
    assert [4.0] == first.predict(x=[4])["y"].tolist()


def test_versions_come_and_go_with_their_folders(start: Start, tmp_path: Path) -> None:
    """The latest version is served: a new one replaces it, a bad one does not, a deleted one gives way."""
    model = tmp_path / "model"
    model.mkdir()
    server = start(f"--model_base_path={model}", "--file_system_poll_wait_seconds=0.1")
    until(lambda: "no version to serve" in server.text(), what="the server's look into the empty folder")
    assert {} == server.states()
    half_plus(2, model / "1")
    server.wait_for({1: "AVAILABLE"})
    assert [4.0] == server.predict(x=[4])["y"].tolist()
    broken(model / "2")
    server.wait_for({1: "AVAILABLE", 2: "END"})
    assert [4.0] == server.predict(x=[4])["y"].tolist()
    half_plus(3, model / "3")
    server.wait_for({1: "END", 2: "END", 3: "AVAILABLE"})
    assert [5.0] == server.predict(x=[4])["y"].tolist()
    shutil.rmtree(model / "2")
    shutil.rmtree(model / "3")
    server.wait_for({1: "AVAILABLE", 2: "END", 3: "END"})


def test_a_failed_version_says_why(start: Start, tmp_path: Path) -> None:
    """The status of a version that could not be loaded carries the error of the attempt."""
    half_plus(2, tmp_path / "model" / "1")
    broken(tmp_path / "model" / "2")
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "default" base_path: "{tmp_path / "model"}" '
        'model_platform: "tensorflow" model_version_policy { specific { versions: 1 versions: 2 } } } }'
    )
    server = start(f"--model_config_file={config}")
    server.wait_for({1: "AVAILABLE", 2: "END"})
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "default"
    request.model_spec.version.value = 2
    (entry,) = server.models.GetModelStatus(request, timeout=20).model_version_status
    assert entry.status.error_code != 0
    assert "saved_model.pb" in entry.status.error_message


def test_a_version_that_is_not_there_is_told_until_it_comes(start: Start, tmp_path: Path) -> None:
    """A version asked for by number that has no folder has ended, says the status, and is served once it has one."""
    half_plus(2, tmp_path / "model" / "1")
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "default" base_path: "{tmp_path / "model"}" '
        'model_platform: "tensorflow" model_version_policy { specific { versions: 7 } } } }'
    )
    server = start(f"--model_config_file={config}", "--file_system_poll_wait_seconds=0.1")
    server.wait_for({7: "END"})
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "default"
    (entry,) = server.models.GetModelStatus(request, timeout=20).model_version_status
    missing = f"no version 7 of model default under {tmp_path / 'model'}"
    assert (5, missing) == (entry.status.error_code, entry.status.error_message)
    request.model_spec.version.value = 7
    with pytest.raises(grpc.RpcError) as error:
        server.models.GetModelStatus(request, timeout=20)
    assert ("NOT_FOUND", missing) == (error.value.code().name, error.value.details())
    half_plus(3, tmp_path / "come")
    (tmp_path / "come").rename(tmp_path / "model" / "7")
    server.wait_for({7: "AVAILABLE"})
    (tmp_path / "model").rename(tmp_path / "gone")
    until(lambda: "cannot read base path" in server.text(), what="the server's look for the folder")
    server.wait_for({7: "AVAILABLE"})


def _reload(server: Running, base: Path, name: str, *versions: int, **labels: int) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    config = request.config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")
    config.model_version_policy.specific.versions.extend(versions)
    for label, version in labels.items():
        config.version_labels[label] = version
    server.models.HandleReloadConfigRequest(request, timeout=START)


def test_a_configuration_given_by_call_replaces_the_first(start: Start, tmp_path: Path) -> None:
    """HandleReloadConfigRequest changes versions and models, waits for new models, and takes the others away."""
    half_plus(2, tmp_path / "a" / "1")
    half_plus(3, tmp_path / "a" / "2")
    half_plus(7, tmp_path / "b" / "1")
    server = start(f"--model_base_path={tmp_path / 'a'}")
    server.wait_for({2: "AVAILABLE"})
    _reload(server, tmp_path / "a", "default", 1)
    server.wait_for({1: "AVAILABLE", 2: "END"})
    _reload(server, tmp_path / "b", "other", 1)
    assert [9.0] == server.predict("other", x=[4])["y"].tolist()
    server.wait_for({1: "END", 2: "END"})


def test_a_configuration_that_cannot_be_is_refused(start: Start, tmp_path: Path) -> None:
    """A new model that cannot be loaded, and a label of a version that is not available, are errors of the call."""
    half_plus(2, tmp_path / "a" / "1")
    broken(tmp_path / "b" / "1")
    server = start(f"--model_base_path={tmp_path / 'a'}")
    server.wait_for({1: "AVAILABLE"})
    with pytest.raises(grpc.RpcError) as error:
        _reload(server, tmp_path / "a", "default", 1, stable=5)
    assert "FAILED_PRECONDITION" == error.value.code().name
    with pytest.raises(grpc.RpcError) as error:
        _reload(server, tmp_path / "b", "other", 1)
    assert "UNKNOWN" == error.value.code().name
    assert "1 servable(s) did not become available: {{name: other version: 1}" in str(error.value.details())
    with pytest.raises(grpc.RpcError) as error:
        server.models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=20)
    assert "INVALID_ARGUMENT" == error.value.code().name


def _slow_server(start: Start, folder: Path) -> Running:
    """Return a server that answers a prediction of one row after five seconds: it waits so long for a second one."""
    half_plus(2, folder / "model" / "1")
    batching = folder / "batching.config"
    batching.write_text("max_batch_size { value: 3 } batch_timeout_micros { value: 5000000 }")
    server = start(
        f"--model_base_path={folder / 'model'}", "--enable_batching", f"--batching_parameters_file={batching}"
    )
    server.wait_for({1: "AVAILABLE"})
    return server


def test_sigterm_finishes_what_is_in_flight(start: Start, tmp_path: Path) -> None:
    """What was asked before SIGTERM, over gRPC or REST, is answered, and the exit code is 0."""
    server = _slow_server(start, tmp_path)
    rest = http.client.HTTPConnection(server.host, 8501, timeout=20)
    rest.connect()
    in_flight = server.prediction.Predict.future(predict_request(x=[4]), timeout=20)
    rest.request("POST", "/v1/models/default:predict", b'{"inputs": [6]}')
    for _ in range(5):  # answers to later calls: by now the server has read the earlier ones
        assert {1: "AVAILABLE"} == server.states()
    assert not in_flight.done()
    assert 0 == server.stop()
    assert [4.0] == array_of(in_flight.result().outputs["y"]).tolist()
    with closing(rest):
        assert {"outputs": [5.0]} == json.loads(rest.getresponse().read())
    assert "drained" in server.text()


def test_health_says_that_the_server_is_going(start: Start, tmp_path: Path) -> None:
    """Who watches the health service sees NOT_SERVING while what is in flight is finished, and holds up nothing."""
    server = _slow_server(start, tmp_path)
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=START)
    assert health_pb2.HealthCheckResponse.SERVING == next(watch).status
    in_flight = server.prediction.Predict.future(predict_request(x=[4]), timeout=20)
    assert {1: "AVAILABLE"} == server.states()
    server.process.terminate()
    assert health_pb2.HealthCheckResponse.NOT_SERVING == next(watch).status
    assert not in_flight.done()
    assert 0 == server.process.wait(timeout=START)
    assert [4.0] == array_of(in_flight.result().outputs["y"]).tolist()


def test_status_says_loading_before_the_model_is_there(start: Start, tmp_path: Path) -> None:
    """While the only version is being loaded, the port is open: LOADING, and UNAVAILABLE to who predicts."""
    broken(tmp_path / "model" / "1")
    server = start(
        f"--model_base_path={tmp_path / 'model'}", "--max_num_load_retries=1000", "--load_retry_interval_micros=200000"
    )
    server.wait_for({1: "LOADING"})
    with pytest.raises(grpc.RpcError) as error:
        server.predict(x=[4])
    assert "UNAVAILABLE" == error.value.code().name
    assert "Servable is still loading for request: Latest(default)" == error.value.details()
    assert 0 == server.stop()
