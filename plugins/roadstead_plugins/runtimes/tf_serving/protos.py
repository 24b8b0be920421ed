"""TensorFlow Serving's messages and service stubs, without TensorFlow.

``tensorflow_serving.apis`` imports ``tensorflow.core...``, and so the whole of TensorFlow: five seconds of CPU and half
a gigabyte. The messages themselves need neither: while they are imported here, ``tensorflow`` is a bare package whose
path points at the installed one, so that only the generated ``*_pb2`` modules below it are ever executed (about 0.15 s
and 25 MB, gRPC included).

Afterwards the bare package is taken away again. A later ``import tensorflow`` in the same process is therefore the real
one, and finds the messages already imported: they are the same classes. For that reason every message that we use is
imported in this module, at once: importing another one elsewhere would bring in all of TensorFlow.
"""

import importlib.machinery
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bare_tensorflow() -> Iterator[None]:
    """Let modules below ``tensorflow`` be imported in this block without executing ``tensorflow/__init__.py``.

    Does nothing where TensorFlow itself is already imported. Not for use while another thread imports TensorFlow.
    Raises ``ModuleNotFoundError`` where it is not installed.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.machinery.PathFinder.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(
            "package tensorflow is not installed; install the extra roadstead[tf-serving]", name="tensorflow"
        )
    bare = types.ModuleType("tensorflow")
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = bare
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with bare_tensorflow():
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        model_pb2,
        model_service_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2,
        prediction_service_pb2_grpc,
        status_pb2,
    )
    from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

__all__ = [
    "config_pb2",
    "file_system_storage_path_source_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "model_service_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_service_pb2",
    "prediction_service_pb2_grpc",
    "saved_model_pb2",
    "status_pb2",
    "tensor_pb2",
    "types_pb2",
]
