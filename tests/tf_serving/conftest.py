"""A real server process for tests to talk to, on an address of its own."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from roadstead.model import Template
from roadstead.spi.expansion import expand, own_ports
from roadstead.spi.runtime import Launch, Server
from roadstead.world import Endpoint
from roadstead_plugins.runtimes.tf_serving.protos import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from roadstead_plugins.runtimes.tf_serving.runtime import TfServing
from roadstead_plugins.runtimes.tf_serving.tensors import array_of, proto_of

ROOT = Path(__file__).parents[2]

START = 120.0
"""Seconds that a server may take to start, on a machine that does much else."""


def until(condition: Callable[[], bool], *, within: float = START, what: str = "") -> None:
    """Return as soon as the condition holds; fail when the time is over."""
    pause, deadline = threading.Event(), time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {within} s: {what}")
        pause.wait(0.02)


_NO_STATES = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@attrs.frozen(kw_only=True)
class Running:
    """A server process, and the ways to ask it."""

    process: subprocess.Popen[bytes]
    host: str
    log: Path
    channel: grpc.Channel

    @property
    def prediction(self) -> Any:
        """The stub of PredictionService."""
        return prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    @property
    def models(self) -> Any:
        """The stub of ModelService."""
        return model_service_pb2_grpc.ModelServiceStub(self.channel)

    def states(self, model: str = "default") -> dict[int, str]:
        """Return the state of each version of a model; none where it is unknown or the server is not there yet."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        try:
            response = self.models.GetModelStatus(request, timeout=20)
        except grpc.RpcError as error:
            if error.code() in _NO_STATES:
                return {}
            raise
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return {entry.version: name(entry.state) for entry in response.model_version_status}

    def wait_for(self, states: dict[int, str], model: str = "default") -> None:
        """Wait until exactly these versions are in exactly these states."""
        until(lambda: self.ended() or self.states(model) == states, what=f"{states} of {model}; {self.text()}")
        assert states == self.states(model)

    def listens(self, port: int) -> bool:
        """Whether a port is open."""
        with socket.socket() as probe:
            return probe.connect_ex((self.host, port)) == 0

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def text(self) -> str:
        """Return the server's log."""
        return self.log.read_text()

    def predict(
        self, model: str = "default", *, version: int | None = None, timeout: float = 20, **inputs: Any
    ) -> dict[str, NDArray[Any]]:
        """Run a model and return its outputs; an input that is not an array is one of 32-bit floats."""
        response = self.prediction.Predict(predict_request(model, version=version, **inputs), timeout=timeout)
        return {alias: array_of(proto) for alias, proto in response.outputs.items()}

    def rest(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request with a JSON body and return status and document (text where it is not JSON)."""
        connection = http.client.HTTPConnection(self.host, 8501, timeout=20)
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, content)
            response = connection.getresponse()
            answer = response.read().decode()
            is_json = response.headers["content-type"] == "application/json"
            return response.status, json.loads(answer) if is_json else answer
        finally:
            connection.close()

    def text_at(self, path: str) -> tuple[int, str]:
        """Get something over REST and return status and body, as they are."""
        connection = http.client.HTTPConnection(self.host, 8501, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=START)


def predict_request(model: str = "default", *, version: int | None = None, **inputs: Any) -> predict_pb2.PredictRequest:
    """Return a request; an input that is not an array is one of 32-bit floats."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    for alias, value in inputs.items():
        array = value if isinstance(value, np.ndarray) else np.array(value, dtype=np.float32)
        request.inputs[alias].CopyFrom(proto_of(array))
    return request


def own_address() -> str:
    """Return an address of this machine that nobody else will use: 127/8 has 16 million."""
    return "127." + ".".join(str(random.SystemRandom().randint(1, 254)) for _ in range(3))


Start = Callable[..., Running]


def _starter(folder: Path) -> Iterator[Start]:
    started: list[Running] = []

    def start(*flags: object, host: str | None = None, **environment: str) -> Running:
        address = host or own_address()
        log = folder / f"server-{len(started)}.log"
        command = [sys.executable, "-m", "roadstead_plugins.runtimes.tf_serving.server", f"--host={address}"]
        command += ["--rest_api_port=8501", "--max_num_load_retries=0", "--tensorflow_session_parallelism=1"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *map(str, flags)],
                stderr=output,
                stdout=output,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT / "scheduler")]),
                    **environment,
                },
            )
        options = (
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_reconnect_backoff_ms", 100),
            ("grpc.initial_reconnect_backoff_ms", 50),
        )
        channel = grpc.insecure_channel(f"{address}:8500", options=(*options, ("grpc.use_local_subchannel_pool", 1)))
        started.append(Running(process=process, host=address, log=log, channel=channel))
        return started[-1]

    yield start
    for server in started:
        server.channel.close()
        if not server.ended():
            server.process.kill()
            server.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers that live for one test."""
    yield from _starter(tmp_path)


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start servers that live for one module of tests."""
    yield from _starter(tmp_path_factory.mktemp("servers"))


def written(launch: Launch, folder: Path, model: Path, host: str) -> list[str]:
    """Write the files as a backend does and return the arguments, variables expanded in both."""
    meanings = {"HOST": host, "MODEL_DIR": str(model), "CONFIG_DIR": str(folder), **own_ports(launch)}
    for file in launch.files:
        (folder / file.name).write_text(expand(file.content, meanings))
    return [expand(argument, meanings) for argument in launch.args]


def launched(start: Start, folder: Path, template: Template, *flags: str) -> tuple[Running, Server]:
    """Start a server just as the runtime says, but for what the flags say otherwise."""
    host = own_address()
    config = folder / "config"
    config.mkdir()
    arguments = written(TfServing().launch(template), config, Path(template.model.source), host)
    running = start(*arguments, *flags, host=host)
    return running, Server(
        endpoint=Endpoint(host=host, grpc=8500, rest=8501), template=template, incarnation=str(running.process.pid)
    )
