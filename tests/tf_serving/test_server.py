"""What one server with several models answers, over gRPC and REST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from roadstead_plugins.runtimes.tf_serving.protos import (
    bare_tensorflow,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)
from roadstead_plugins.runtimes.tf_serving.tensors import array_of
from tests.tf_serving.conftest import Running, Start, predict_request
from tests.tf_serving.saved_models import echo, half_plus, row_sums

with bare_tensorflow():
    from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2


@pytest.fixture(scope="module")
def server(start_for_module: Start, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A server of three models, one of them in two versions with a label."""
    folder = tmp_path_factory.mktemp("models")
    half_plus(2, folder / "half" / "1")
    half_plus(3, folder / "half" / "2")
    row_sums(folder / "sums" / "1")
    echo(folder / "echo" / "1")
    config, monitoring = folder / "models.config", folder / "monitoring.config"
    config.write_text(
        "model_config_list {"
        + _config("half", folder, 'model_version_policy { all {} } version_labels { key: "stable" value: 1 }')
        + _config("sums", folder)
        + _config("echo", folder)
        + "}"
    )
    monitoring.write_text("prometheus_config { enable: true }")
    running = start_for_module(f"--model_config_file={config}", f"--monitoring_config_file={monitoring}")
    running.wait_for({1: "AVAILABLE", 2: "AVAILABLE"}, "half")
    running.wait_for({1: "AVAILABLE"}, "sums")
    running.wait_for({1: "AVAILABLE"}, "echo")
    return running


def _config(name: str, folder: Path, more: str = "") -> str:
    return f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" {more} }}'


def _refused(error: pytest.ExceptionInfo[grpc.RpcError]) -> tuple[str, str]:
    return error.value.code().name, str(error.value.details())


def test_predict_answers_with_the_highest_version_and_says_which(server: Running) -> None:
    """Without a version the highest one answers, and the answer names it and the signature."""
    response = server.prediction.Predict(predict_request("half", x=[4, 6]), timeout=20)
    assert [5.0, 6.0] == array_of(response.outputs["y"]).tolist()
    assert (2, "serving_default") == (response.model_spec.version.value, response.model_spec.signature_name)


def test_an_answer_carries_its_numbers_in_the_field_of_their_type(server: Running) -> None:
    """Clients that read ``float_val`` find it filled, as with TensorFlow Serving."""
    response = server.prediction.Predict(predict_request("half", x=[4]), timeout=20)
    assert [5.0] == list(response.outputs["y"].float_val)


def test_a_version_or_a_label_can_be_asked_for(server: Running) -> None:
    """A request names a version by number or by label, in gRPC and in the path of REST."""
    labelled = predict_request("half", x=[4])
    labelled.model_spec.version_label = "stable"
    assert [4.0] == server.predict("half", version=1, x=[4])["y"].tolist()
    assert [4.0] == array_of(server.prediction.Predict(labelled, timeout=20).outputs["y"]).tolist()
    assert (200, {"predictions": [4.0]}) == server.rest(
        "POST", "/v1/models/half/versions/1:predict", {"instances": [4]}
    )
    assert (200, {"predictions": [4.0]}) == server.rest(
        "POST", "/v1/models/half/labels/stable:predict", {"instances": [4]}
    )


def test_strings_go_in_and_out_unchanged(server: Running) -> None:
    """Strings of any length pass through the C library, which stores short ones in place and long ones apart."""
    values = [b"", b"short", b"\x00\xff", b"long" * 1000]
    assert values == list(server.predict("echo", text=np.array(values, dtype=object))["echo"])


def test_an_output_filter_chooses_outputs(server: Running) -> None:
    """Only the outputs asked for are answered; an unknown or repeated one is an error."""
    request = predict_request("sums", x=[[1, 2], [3, 4]])
    request.output_filter.append("max")
    assert {"max"} == set(server.prediction.Predict(request, timeout=20).outputs)
    request.output_filter.append("max")
    with pytest.raises(grpc.RpcError) as error:
        server.prediction.Predict(request, timeout=20)
    assert ("INVALID_ARGUMENT", "duplicate output tensor alias: max") == _refused(error)


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (predict_request("nope", x=[1]), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        (predict_request("half", version=9, x=[1]), "NOT_FOUND", "Servable not found for request: Specific(half, 9)"),
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            predict_request("half", z=[1]),
            "INVALID_ARGUMENT",
            "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
        ),
        (
            predict_request("half"),
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            predict_request("half", x=np.array([1], dtype=np.int32)),
            "INVALID_ARGUMENT",
            "input x is of type int32; the signature wants float",
        ),
        (
            predict_request("half", x=[[1]]),
            "INVALID_ARGUMENT",
            "input x has shape [1, 1]; the signature wants [-1], where -1 is any size",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_the_reason(
    server: Running, request_: predict_pb2.PredictRequest, code: str, text: str
) -> None:
    """What is wrong with a request is said, with TensorFlow Serving's code."""
    with pytest.raises(grpc.RpcError) as error:
        server.prediction.Predict(request_, timeout=20)
    assert (code, text) == _refused(error)


def test_an_unknown_signature_or_label_is_refused(server: Running) -> None:
    """A signature that the model has not, and a label that nobody gave, are errors of the request."""
    request = predict_request("half", x=[1])
    request.model_spec.signature_name = "other"
    with pytest.raises(grpc.RpcError) as error:
        server.prediction.Predict(request, timeout=20)
    assert ("FAILED_PRECONDITION", 'Serving signature key "other" not found.') == _refused(error)
    request.model_spec.version_label = "canary"
    with pytest.raises(grpc.RpcError) as error:
        server.prediction.Predict(request, timeout=20)
    assert ("INVALID_ARGUMENT", "Unrecognized servable version label: canary") == _refused(error)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Classify", classification_pb2.ClassificationRequest()),
        ("Regress", regression_pb2.RegressionRequest()),
        ("MultiInference", inference_pb2.MultiInferenceRequest()),
    ],
)
def test_what_is_not_there_says_so(server: Running, method: str, request_: object) -> None:
    """The three methods that we leave out answer UNIMPLEMENTED and name the engine that has them."""
    with pytest.raises(grpc.RpcError) as error:
        getattr(server.prediction, method)(request_, timeout=20)
    code, text = _refused(error)
    assert "UNIMPLEMENTED" == code
    assert text.startswith(f"{method} is not implemented")
    assert "tensorflow_model_server" in text


def test_metadata_names_inputs_and_outputs(server: Running) -> None:
    """GetModelMetadata returns the signatures with types and shapes, and the version they are of."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "sums"
    response = server.prediction.GetModelMetadata(request, timeout=20)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert {"sum", "max"} == set(signatures.signature_def["serving_default"].outputs)
    assert 1 == response.model_spec.version.value
    with pytest.raises(grpc.RpcError) as error:
        server.prediction.GetModelMetadata(get_model_metadata_pb2.GetModelMetadataRequest(), timeout=20)
    assert ("INVALID_ARGUMENT", "Missing ModelSpec") == _refused(error)


def test_status_lists_versions_highest_first(server: Running) -> None:
    """GetModelStatus lists every version, or the one that is asked for, or says that there is none."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half"
    response = server.models.GetModelStatus(request, timeout=20)
    assert [2, 1] == [entry.version for entry in response.model_version_status]
    request.model_spec.version.value = 1
    response = server.models.GetModelStatus(request, timeout=20)
    assert [1] == [entry.version for entry in response.model_version_status]
    request.model_spec.version.value = 7
    with pytest.raises(grpc.RpcError) as error:
        server.models.GetModelStatus(request, timeout=20)
    assert ("NOT_FOUND", "Could not find version 7 of model half") == _refused(error)


def test_health_serves_once_every_model_can_be_run(server: Running) -> None:
    """``grpc.health.v1`` says SERVING for the server and for both of TensorFlow Serving's services."""
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    services = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
    answers = [stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20).status for name in services]
    assert [health_pb2.HealthCheckResponse.SERVING] * 3 == answers


def test_rest_status_and_metadata_have_tensorflow_servings_shape(server: Running) -> None:
    """The documents of ``GET /v1/models/M`` and ``/metadata`` have the keys that clients look for."""
    expected = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert (200, {"model_version_status": [expected]}) == server.rest("GET", "/v1/models/sums")
    assert (200, {"model_version_status": [expected]}) == server.rest("GET", "/v1/models/half/versions/1")
    status, document = server.rest("GET", "/v1/models/sums/metadata")
    assert (200, {"name": "sums", "signature_name": "", "version": "1"}) == (status, document["model_spec"])
    inputs = document["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    shape = {"dim": [{"size": "-1", "name": ""}, {"size": "-1", "name": ""}], "unknown_rank": False}
    assert {"x": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "x:0"}} == inputs


@pytest.mark.parametrize(
    ("model", "body", "answer"),
    [
        ("half", {"instances": [1, 2.5]}, {"predictions": [3.5, 4.25]}),
        ("half", {"instances": [{"x": 1}]}, {"predictions": [3.5]}),
        ("half", {"inputs": [1, 2]}, {"outputs": [3.5, 4.0]}),
        ("half", {"inputs": {"x": [1, 2]}}, {"outputs": [3.5, 4.0]}),
        (
            "sums",
            {"instances": [[1, 2], [3, 4]]},
            {"predictions": [{"max": 2.0, "sum": 3.0}, {"max": 4.0, "sum": 7.0}]},
        ),
        ("sums", {"inputs": [[1, 2], [3, 4]]}, {"outputs": {"max": [2.0, 4.0], "sum": [3.0, 7.0]}}),
        ("echo", {"inputs": ["a"]}, {"outputs": {"echo": ["a"], "echo_bytes": [{"b64": "YQ=="}]}}),
        ("echo", {"instances": [{"b64": "YQ=="}]}, {"predictions": [{"echo": "a", "echo_bytes": {"b64": "YQ=="}}]}),
    ],
)
def test_rest_predict_takes_rows_and_columns(server: Running, model: str, body: object, answer: object) -> None:
    """Rows answer ``predictions``, columns ``outputs``; one output stands alone, several are named."""
    assert (200, answer) == server.rest("POST", f"/v1/models/{model}:predict", body)


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/v1/models/nope:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(nope)"),
        ("/v1/models/half:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("/v1/models/half:predict", b"{", 400, "JSON Parse error: "),
        ("/v1/models/half:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("/v1/models/half:predict", {"instances": []}, 400, "No values in 'instances' array"),
        (
            "/v1/models/half:predict",
            {"instances": ["a"]},
            400,
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        ("/v1/models/half:classify", {}, 501, "classify is not implemented"),
        ("/v1/models/half:other", {}, 400, "Malformed request: POST /v1/models/half:other"),
    ],
)
def test_a_wrong_rest_request_is_refused_as_json(
    server: Running, path: str, body: object, status: int, text: str
) -> None:
    """An error is a JSON object with the one key ``error``, under the HTTP status of its code."""
    answered, document = server.rest("POST", path, body)
    assert (status, {"error"}) == (answered, set(document))
    assert text in document["error"]


def test_metrics_have_tensorflow_servings_names(server: Running) -> None:
    """Counters have no ``_total``, latency is in microseconds and counts only what succeeded."""
    server.predict("sums", x=[[1]])
    server.rest("POST", "/v1/models/sums:predict", {"instances": [[1]]})
    server.rest("POST", "/v1/models/sums:predict", {"instances": ["a"]})
    status, page = server.rest("GET", "/monitoring/prometheus/metrics")
    assert 200 == status
    assert "# TYPE :tensorflow:serving:request_count counter\n" in page
    assert ':tensorflow:serving:request_count{model_name="sums",status="INVALID_ARGUMENT"} ' in page
    assert ':tensorflow:serving:request_latency_count{model_name="sums",API="Predict",entrypoint="GRPC"} ' in page
    assert (
        ':tensorflow:serving:request_latency_bucket{model_name="sums",API="predict",entrypoint="REST",le="+Inf"} '
        in page
    )
    assert ':tensorflow:serving:runtime_latency_count{model_name="sums",API="Predict",runtime="TF1"} ' in page
    assert ':tensorflow:cc:saved_model:load_attempt_count{model_path="' in page
    assert "_total" not in page
