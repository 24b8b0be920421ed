"""Warm-up requests: read from the file that comes with a version, and run before the version is served."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead_plugins.runtimes.tf_serving.protos import bare_tensorflow
from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel, SessionConfig, Threads
from roadstead_plugins.runtimes.tf_serving.server.flags import parse
from roadstead_plugins.runtimes.tf_serving.server.loading import Loader
from roadstead_plugins.runtimes.tf_serving.server.memory import Room
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError
from roadstead_plugins.runtimes.tf_serving.server.warmup import FILE, MAX_RECORDS, crc32c, records, warm_up
from tests.tf_serving.conftest import Start, predict_request
from tests.tf_serving.saved_models import half_plus

with bare_tensorflow():
    from tensorflow_serving.apis import prediction_log_pb2, regression_pb2


def _tf_record(contents: Sequence[bytes]) -> bytes:
    """Return a TFRecord file."""

    def masked(data: bytes) -> bytes:
        crc = crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)

    lengths = [struct.pack("<Q", len(content)) for content in contents]
    return b"".join(
        length + masked(length) + content + masked(content) for length, content in zip(lengths, contents, strict=True)
    )


def _logged(*x: float, wrongly: bool = False) -> bytes:
    """Return a record with a prediction for some numbers; wrongly: the model knows no such input."""
    request = predict_request(z=list(x)) if wrongly else predict_request(x=list(x))
    log = prediction_log_pb2.PredictLog(request=request)
    return bytes(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def _with_warm_up(version: Path, contents: Sequence[bytes]) -> Path:
    half_plus(2, version)
    (version / FILE).parent.mkdir()
    (version / FILE).write_bytes(_tf_record(contents))
    return version


def _warm_up(version: Path) -> int:
    model = SavedModel(path=version, tags=["serve"], config=SessionConfig(threads=Threads(intra_op=1, inter_op=1)))
    return warm_up(model, version)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_records_are_read_as_they_were_written(contents: list[bytes]) -> None:
    """Any records, empty ones too, come back in their order."""
    assert contents == list(records(io.BytesIO(_tf_record(contents))))


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=3), st.data())
def test_damage_is_found(contents: list[bytes], data: st.DataObject) -> None:
    """A file that lost its end, or in which a bit is another, is DATA_LOSS and never something else."""
    whole = _tf_record(contents)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:at] + bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) + whole[at + 1 :]
    with pytest.raises(ServingError, match=r"DATA_LOSS: (corrupted|truncated) record"):
        list(records(io.BytesIO(flipped)))
    ends = {len(_tf_record(contents[:count])) for count in range(len(contents))}
    if at not in ends:  # cut between two records, a file is a shorter file
        with pytest.raises(ServingError, match="DATA_LOSS"):
            list(records(io.BytesIO(whole[:at])))


def test_every_request_is_run(tmp_path: Path) -> None:
    """The requests of the file are run; without a file there are none."""
    assert 3 == _warm_up(_with_warm_up(tmp_path / "1", [_logged(1), _logged(1, 2), _logged()]))
    assert 0 == _warm_up(half_plus(2, tmp_path / "2"))


@pytest.mark.parametrize(
    ("contents", "code", "text"),
    [
        ([_logged(1), _logged(1, wrongly=True)], Code.INVALID_ARGUMENT, "input tensor alias not found in signature: z"),
        ([b"\xff"], Code.INVALID_ARGUMENT, "Failed to parse warmup record"),
        ([_logged()] * (MAX_RECORDS + 1), Code.INVALID_ARGUMENT, "Number of warmup records exceeds the maximum (1000)"),
    ],
)
def test_a_file_that_is_wrong_is_an_error(tmp_path: Path, contents: list[bytes], code: Code, text: str) -> None:
    """What TensorFlow Serving would not take is not taken, with its words."""
    with pytest.raises(ServingError) as error:
        _warm_up(_with_warm_up(tmp_path / "1", contents))
    assert code is error.value.code
    assert text in error.value.message


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Something else where the file should be ends the load with a text, and not the server."""
    version = half_plus(2, tmp_path / "1")
    (version / FILE).mkdir(parents=True)
    with pytest.raises(ServingError, match=r"cannot read .*tf_serving_warmup_requests"):
        _warm_up(version)


def test_a_request_that_we_do_not_answer_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model with requests for Regress is served all the same, and the log says what was not run."""
    regress = prediction_log_pb2.RegressLog(request=regression_pb2.RegressionRequest())
    record = prediction_log_pb2.PredictionLog(regress_log=regress).SerializeToString()
    assert 2 == _warm_up(_with_warm_up(tmp_path / "1", [record, _logged(1)]))
    assert "passing over a warm-up request of type regress_log" in caplog.text


def test_a_warm_up_can_be_left_out(tmp_path: Path) -> None:
    """Without it, a version is loaded whatever its requests are."""
    version = _with_warm_up(tmp_path / "1", [_logged(1, wrongly=True)])
    config = SessionConfig(threads=Threads(intra_op=1, inter_op=1))
    assert not parse(["--model_base_path=/m", "--enable_model_warmup=false"]).warm_up
    assert parse(["--model_base_path=/m"]).warm_up
    loader = Loader(tags=["serve"], session=config, warm_up=False, room=Room(0))
    assert None is loader.load(version, beside=False).warmed
    with pytest.raises(ServingError):
        attrs.evolve(loader, warm_up=True).load(version, beside=False)


def test_a_version_is_warm_before_it_is_available(start: Start, tmp_path: Path) -> None:
    """The server warms up before it says AVAILABLE, measures it, and does not serve a version that cannot be."""
    _with_warm_up(tmp_path / "model" / "1", [_logged(1)])
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    server = start(
        f"--model_base_path={tmp_path / 'model'}",
        "--file_system_poll_wait_seconds=0.1",
        f"--monitoring_config_file={monitoring}",
    )
    server.wait_for({1: "AVAILABLE"})
    counted = f':tensorflow:serving:model_warmup_latency_count{{model_path="{tmp_path}/model/1",status="OK"}} 1'
    assert counted in server.text_at("/monitoring/prometheus/metrics")[1].splitlines()
    bad = _with_warm_up(tmp_path / "bad", [_logged(1, wrongly=True)])
    bad.rename(tmp_path / "model" / "2")
    server.wait_for({1: "AVAILABLE", 2: "END"})
    assert "input tensor alias not found in signature: z" in server.text()
