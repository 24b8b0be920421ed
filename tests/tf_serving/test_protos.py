"""TensorFlow's messages without TensorFlow, each test in a process of its own: what it imports is the question."""

from __future__ import annotations

import subprocess
import sys

import pytest

from roadstead_plugins.runtimes.tf_serving.protos import bare_tensorflow

pytestmark = pytest.mark.slow


def _python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def test_the_messages_come_without_tensorflow() -> None:
    """Nothing of TensorFlow's Python is executed, and no stand-in for it is left behind."""
    script = (
        "import sys\n"
        "from roadstead_plugins.runtimes.tf_serving.protos import predict_pb2\n"
        "predict_pb2.PredictRequest().inputs['x'].float_val.append(1)\n"
        "python = sorted(name for name in sys.modules if name.startswith('tensorflow.python'))\n"
        "print('tensorflow' in sys.modules, python)\n"
    )
    assert "False []" == _python(script)


def test_tensorflow_itself_can_be_imported_afterwards() -> None:
    """A later import is the real one, and shares the message classes that are already there."""
    script = (
        "from roadstead_plugins.runtimes.tf_serving.protos import tensor_pb2, saved_model_pb2\n"
        "import tensorflow as tf\n"
        "proto = tf.make_tensor_proto([1.0, 2.0])\n"
        "assert isinstance(proto, tensor_pb2.TensorProto), type(proto)\n"
        "from tensorflow.core.protobuf import saved_model_pb2 as again\n"
        "assert again is saved_model_pb2\n"
        "from roadstead_plugins.runtimes.tf_serving.tensors import array_of\n"
        "print(array_of(proto).tolist(), (tf.constant(1) + 1).numpy())\n"
    )
    assert "[1.0, 2.0] 2" == _python(script)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where TensorFlow is not installed, the error says which extra brings it."""
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"install the extra roadstead\[tf-serving\]"), bare_tensorflow():
        pytest.fail("the block was entered")
