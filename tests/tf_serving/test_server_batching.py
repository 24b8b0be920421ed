"""Dynamic batching as a client sees it."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from roadstead_plugins.runtimes.tf_serving.tensors import array_of
from tests.tf_serving.conftest import Running, Start, predict_request
from tests.tf_serving.saved_models import row_sums


def _server(start: Start, folder: Path, parameters: str) -> Running:
    row_sums(folder / "model" / "1")
    batching, monitoring = folder / "batching.config", folder / "monitoring.config"
    batching.write_text(parameters)
    monitoring.write_text("prometheus_config { enable: true }")
    server = start(
        f"--model_base_path={folder / 'model'}",
        "--enable_batching=true",
        f"--batching_parameters_file={batching}",
        f"--monitoring_config_file={monitoring}",
    )
    server.wait_for({1: "AVAILABLE"})
    return server


def _together(server: Running, *rows: list[list[float]]) -> list[dict[str, list[float]]]:
    """Send all requests at once and return their outputs in order."""
    futures = [server.prediction.Predict.future(predict_request(x=row), timeout=30) for row in rows]
    return [{alias: array_of(proto).tolist() for alias, proto in future.result().outputs.items()} for future in futures]


def test_requests_that_arrive_together_run_as_one(start: Start, tmp_path: Path) -> None:
    """Four requests fill a batch of four rows: one run, and each gets its own rows back."""
    server = _server(start, tmp_path, "max_batch_size { value: 4 } batch_timeout_micros { value: 20000000 }")
    answers = _together(server, [[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]], [[7.0, 8.0]])
    assert [3.0, 7.0, 11.0, 15.0] == [answer["sum"][0] for answer in answers]
    _, page = server.rest("GET", "/monitoring/prometheus/metrics")
    assert ":tensorflow:serving:batching_session:wrapped_run_count{} 1\n" in page


def test_rows_of_different_length_are_padded_with_their_tensors_first_element(start: Start, tmp_path: Path) -> None:
    """As in TensorFlow Serving: the short request's sum is wrong by two of its first element, its maximum is not."""
    parameters = "max_batch_size { value: 2 } batch_timeout_micros { value: 20000000 } pad_variable_length_inputs: true"
    short, long = _together(_server(start, tmp_path, parameters), [[10.0, 1.0]], [[1.0, 1.0, 1.0, 1.0]])
    assert ({"sum": [31.0], "max": [10.0]}, {"sum": [4.0], "max": [1.0]}) == (short, long)


def test_rows_of_different_length_are_refused_without_padding(start: Start, tmp_path: Path) -> None:
    """Without the parameter, a batch of mixed lengths fails with TensorFlow Serving's text."""
    server = _server(start, tmp_path, "max_batch_size { value: 2 } batch_timeout_micros { value: 20000000 }")
    with pytest.raises(grpc.RpcError) as error:
        _together(server, [[1.0]], [[1.0, 2.0]])
    assert "FAILED_PRECONDITION" == error.value.code().name
    assert "have different shapes and padding is turned off" in str(error.value.details())


def test_a_full_queue_is_unavailable(start: Start, tmp_path: Path) -> None:
    """What finds no room is refused at once; what is larger than any batch is an error of the request."""
    parameters = "max_batch_size { value: 2 } max_enqueued_batches { value: 1 } batch_timeout_micros { value: 3000000 }"
    server = _server(start, tmp_path, parameters)
    waiting = server.prediction.Predict.future(predict_request(x=[[1]]), timeout=30)
    refused = server.prediction.Predict.future(predict_request(x=[[1], [2]]), timeout=30)
    assert ("UNAVAILABLE", True) == (
        refused.exception().code().name,
        refused.exception().details().startswith("The batch scheduling queue to which this task was submitted is full"),
    )
    with pytest.raises(grpc.RpcError) as error:
        server.predict(x=[[1], [2], [3]])
    assert "Task size 3 is larger than maximum input batch size 2" == error.value.details()
    assert [1.0] == array_of(waiting.result().outputs["sum"]).tolist()


def test_allowed_batch_sizes_are_filled_up(start: Start, tmp_path: Path) -> None:
    """A batch of three rows runs as four, and nobody sees the fourth."""
    parameters = "max_batch_size { value: 8 } allowed_batch_sizes: [4, 8] batch_timeout_micros { value: 100000 }"
    server = _server(start, tmp_path, parameters)
    answer = server.predict(x=np.array([[1], [2], [3]], dtype=np.float32))
    assert [1.0, 2.0, 3.0] == answer["sum"].tolist()


def test_a_wrong_request_fails_alone(start: Start, tmp_path: Path) -> None:
    """A request of the wrong rank never gets into a batch that others are in."""
    server = _server(start, tmp_path, "max_batch_size { value: 2 } batch_timeout_micros { value: 500000 }")
    good = server.prediction.Predict.future(predict_request(x=[[1, 2]]), timeout=30)
    with pytest.raises(grpc.RpcError) as error:
        server.predict(x=[1, 2])
    assert "INVALID_ARGUMENT" == error.value.code().name
    assert [3.0] == array_of(good.result().outputs["sum"]).tolist()
