"""TensorFlow's C library through ctypes, held against TensorFlow itself."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel, SessionConfig, Threads
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError
from tests.tf_serving.saved_models import broken, echo, half_plus, row_sums

pytestmark = pytest.mark.slow

ONE_THREAD = SessionConfig(threads=Threads(intra_op=1, inter_op=1))


def _load(folder: Path) -> SavedModel:
    return SavedModel(path=folder, tags=["serve"], config=ONE_THREAD)


def test_it_answers_what_tensorflow_answers(tmp_path: Path) -> None:
    """The same model run by ``tf.saved_model``, in a process of its own, gives the same numbers to the bit."""
    folder = row_sums(tmp_path / "1")
    script = (
        "import json, sys, tensorflow as tf\n"
        "run = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "answer = run(x=tf.constant(json.loads(sys.argv[2]), tf.float32))\n"
        "print(json.dumps({name: value.numpy().tolist() for name, value in answer.items()}))\n"
    )
    values = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    done = subprocess.run(
        [sys.executable, "-c", script, folder, json.dumps(values.tolist())], check=True, capture_output=True, text=True
    )
    total, largest = _load(folder).run({"x:0": values}, ["sum:0", "max:0"])
    assert json.loads(done.stdout) == {"sum": total.tolist(), "max": largest.tolist()}


def test_a_refusal_carries_tensorflows_code_and_text(tmp_path: Path) -> None:
    """A folder that is no model, a wrong tag, a name that the graph has not: errors with a code, never a crash."""
    with pytest.raises(ServingError) as error:
        _load(broken(tmp_path / "broken"))
    assert Code.OK is not error.value.code
    with pytest.raises(ServingError) as error:
        _load(tmp_path)
    assert (Code.NOT_FOUND, True) == (error.value.code, "Could not find SavedModel" in error.value.message)
    model = half_plus(2, tmp_path / "1")
    with pytest.raises(ServingError, match="tags"):
        SavedModel(path=model, tags=["train"], config=ONE_THREAD)
    with pytest.raises(ServingError, match=r"Tensor nothing:0, .* was not found in the graph"):
        _load(model).run({"x:0": np.zeros(1, np.float32)}, ["nothing:0"])
    with pytest.raises(ServingError, match=r"Tensor y:3, .* was not found in the graph"):
        _load(model).run({"x:0": np.zeros(1, np.float32)}, ["y:3"])


def test_arrays_of_any_layout_and_size_go_in(tmp_path: Path) -> None:
    """Views, reversed and empty arrays are read as what they show, not as what lies in memory."""
    model = _load(half_plus(2, tmp_path / "1"))
    values = np.arange(10, dtype=np.float32)
    assert [6.5, 5.5, 4.5, 3.5, 2.5] == model.run({"x:0": values[::-2]}, ["y:0"])[0].tolist()
    assert [] == model.run({"x:0": values[:0]}, ["y:0"])[0].tolist()


def test_no_memory_is_lost_by_running(tmp_path: Path) -> None:
    """A hundred megabytes of strings and numbers go through, and the process does not grow by a tenth of that."""
    strings, numbers = _load(echo(tmp_path / "1")), _load(half_plus(2, tmp_path / "2"))
    long = np.array([b"x" * 100_000] * 5, dtype=object)
    many = np.zeros(125_000, dtype=np.float32)

    def pass_through(times: int) -> int:
        for _ in range(times):
            strings.run({"text:0": long}, ["same:0"])
            numbers.run({"x:0": many}, ["y:0"])
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = pass_through(20)
    assert pass_through(100) - before < 10_000


def test_loading_again_and_again_does_not_grow_the_process(tmp_path: Path) -> None:
    """What a closed model leaves behind is used by the next one."""
    folder = half_plus(2, tmp_path / "1")

    def load_and_close(times: int) -> int:
        for _ in range(times):
            _load(folder).close()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = load_and_close(20)
    assert load_and_close(60) - before < 10_000
