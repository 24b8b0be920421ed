"""The servers' own metrics as a measure of what they had to do."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from roadstead.model import ModelSpec, Template
from roadstead.spi.runtime import MeasuresLoad
from roadstead.traffic import ServerLoad, mean_load
from roadstead.units import Duration
from roadstead_plugins.runtimes.tf_serving.metrics_page import server_load
from roadstead_plugins.runtimes.tf_serving.runtime import TfServing
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics
from roadstead_plugins.runtimes.tf_serving.server.status import Code
from tests.tf_serving.clients import clients
from tests.tf_serving.conftest import Start, launched, until
from tests.tf_serving.saved_models import half_plus

TENSORFLOW_SERVINGS = """\
# TYPE :tensorflow:api:op:using_fake_quantization gauge
# TYPE :tensorflow:cc:saved_model:load_attempt_count counter
:tensorflow:cc:saved_model:load_attempt_count{model_path="/models/m/1",status="success"} 1
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="m",status="OK"} 7
:tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 2
:tensorflow:serving:request_count{model_name="other",status="OK"} 5
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="10"} 0
:tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="+Inf"} 6
:tensorflow:serving:request_latency_sum{model_name="m",API="Predict",entrypoint="GRPC"} 1.23457e+09
:tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} 6
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="+Inf"} 1
:tensorflow:serving:request_latency_sum{model_name="m",API="predict",entrypoint="REST"} 1500
:tensorflow:serving:request_latency_count{model_name="m",API="predict",entrypoint="REST"} 1
"""
"""As TensorFlow Serving writes it: no ``_total``, six digits of a sum."""

_CODES = st.sampled_from([Code.OK, Code.OK, Code.OK, Code.INVALID_ARGUMENT, Code.UNAVAILABLE, Code.CANCELLED])
_REQUESTS = st.lists(st.tuples(st.sampled_from(["m", 'm"\\', "other"]), _CODES, st.integers(1, 10**10)), max_size=30)


def test_a_page_of_tensorflow_serving_is_understood() -> None:
    """Both ways to ask are counted together, other models are not, and a rounded sum says so."""
    assert ServerLoad(ok=7, failed=2, latency=1_234_571.5, step=10.0) == server_load(TENSORFLOW_SERVINGS, "m")
    assert ServerLoad(ok=5, failed=0, latency=0) == server_load(TENSORFLOW_SERVINGS, "other")
    assert ServerLoad(ok=0, failed=0, latency=0) == server_load(TENSORFLOW_SERVINGS, "third")


@given(_REQUESTS, st.booleans())
def test_what_was_counted_is_read(requests: list[tuple[str, Code, int]], rounded: bool) -> None:
    """From our own page and one with TensorFlow Serving's six digits: counts exactly, latency within its step."""
    metrics = Metrics()
    for model, code, micros in requests:
        metrics.request(model, code)
        if code is Code.OK:
            metrics.succeeded(model, api="Predict", entrypoint="GRPC", seconds=micros / 1e6)
    page = metrics.page()
    if rounded:
        page = re.sub(r"(_sum\{.*\}) (\S+)", lambda found: f"{found[1]} {float(found[2]):.6g}", page)
    for model in {model for model, _, _ in requests}:
        mine = [(code, micros) for name, code, micros in requests if name == model]
        load = server_load(page, model)
        assert load is not None
        assert sum(code is Code.OK for code, _ in mine) == load.ok
        assert sum(code is not Code.OK for code, _ in mine) == load.failed
        exact = sum(micros for code, micros in mine if code is Code.OK) / 1000
        assert abs(load.latency - exact) <= load.step + 0.001 * len(mine)


@given(st.text())
@example("a{")
@example('a{b="c"} x')
@example(TENSORFLOW_SERVINGS.replace("} 7", "} +Inf"))
@example(TENSORFLOW_SERVINGS.replace("} 1500", "} NaN"))
def test_what_is_not_a_page_is_nothing(text: str) -> None:
    """Whatever stands there, nothing is raised and nothing made up."""
    assert server_load(text, "m") in (None, ServerLoad(ok=0, failed=0, latency=0))


def test_the_load_of_a_server_can_be_had_without_a_gateway(start: Start, tmp_path: Path) -> None:
    """Two readings of a server under load give its rate, and the mean of what is in flight as its clients see it."""
    half_plus(2, tmp_path / "model" / "1")
    template = Template(model=ModelSpec(name="default", source=str(tmp_path / "model")))
    running, server = launched(start, tmp_path, template)
    running.wait_for({1: "AVAILABLE"})
    runtime = TfServing()
    assert isinstance(runtime, MeasuresLoad)
    assert ServerLoad(ok=0, failed=0, latency=0) == runtime.load(server, timeout=Duration(20_000))
    running.rest("POST", "/v1/models/default:predict", {"inputs": ["text"]})
    with clients(running.host, over_grpc=4) as tally:
        until(lambda: len(tally.sent) >= 200, what="answers")
    after = runtime.load(server, timeout=Duration(20_000))
    assert after is not None
    assert (len(tally.sent), 1) == (after.ok, after.failed)
    seconds = max(one.till for one in tally.sent) - min(one.at for one in tally.sent)
    mean = mean_load(ServerLoad(ok=0, failed=0, latency=0), after, seconds=seconds)
    assert mean is not None
    assert mean.in_flight is not None
    assert 0 < mean.in_flight <= 4
    gone = attrs.evolve(server, endpoint=attrs.evolve(server.endpoint, rest=1))
    assert None is runtime.load(gone, timeout=Duration(500))
    runtime.close()
