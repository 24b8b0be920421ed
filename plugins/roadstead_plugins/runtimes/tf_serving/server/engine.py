"""A SavedModel through TensorFlow's C library, by ctypes: load it, say what is in it, run it.

``import tensorflow`` costs five seconds of CPU and half a gigabyte, most of it Python that a server never calls. The
shared libraries of the same package export TensorFlow's C interface (``tensorflow/c/c_api.h``, stable since 1.0);
loading them and a model takes about one second of CPU. ``TF_SessionRun`` runs without the interpreter's lock, since
ctypes lets it go around every call.

Ownership, which the C interface leaves to the caller: every ``TF_Tensor``, ``TF_Buffer``, ``TF_Status`` and option
object made here is deleted here, in a ``finally``. Inputs are copied into tensors that TensorFlow allocated (aligned as
its kernels like it), outputs are copied out before their tensor is deleted. The strings of a tensor that *we* filled
are ours to free; those of a tensor that TensorFlow gave us go with it.
"""

import ctypes
import importlib.machinery
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import config_pb2, meta_graph_pb2, types_pb2
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid
from roadstead_plugins.runtimes.tf_serving.tensors import Type, numpy_type, type_of

STRING: Final = types_pb2.DT_STRING
STRING_SIZE: Final = 24
"""The bytes of a ``TF_TString``, a fixed layout of the C interface (``tensorflow/c/tf_tstring.h``)."""

_Pointer = ctypes.c_void_p
_Text = ctypes.c_char_p


class _Buffer(ctypes.Structure):
    """``TF_Buffer``: bytes with a length, owned by whoever made it."""

    _fields_: ClassVar = [("data", _Pointer), ("length", ctypes.c_size_t), ("deallocator", _Pointer)]


class _Output(ctypes.Structure):
    """``TF_Output``: one output of one operation of a graph, passed by value."""

    _fields_: ClassVar = [("operation", _Pointer), ("index", ctypes.c_int)]


# Every function we call: what it returns, and what it takes. A pointer without its type here would be cut to 32 bits.
_FUNCTIONS: Final[Mapping[str, tuple[Any, tuple[Any, ...]]]] = {
    "TF_Version": (_Text, ()),
    "TF_NewStatus": (_Pointer, ()),
    "TF_DeleteStatus": (None, (_Pointer,)),
    "TF_GetCode": (ctypes.c_int, (_Pointer,)),
    "TF_Message": (_Text, (_Pointer,)),
    "TF_NewBuffer": (ctypes.POINTER(_Buffer), ()),
    "TF_DeleteBuffer": (None, (ctypes.POINTER(_Buffer),)),
    "TF_NewGraph": (_Pointer, ()),
    "TF_DeleteGraph": (None, (_Pointer,)),
    "TF_GraphOperationByName": (_Pointer, (_Pointer, _Text)),
    "TF_OperationNumOutputs": (ctypes.c_int, (_Pointer,)),
    "TF_NewSessionOptions": (_Pointer, ()),
    "TF_DeleteSessionOptions": (None, (_Pointer,)),
    "TF_SetConfig": (None, (_Pointer, _Text, ctypes.c_size_t, _Pointer)),
    "TF_LoadSessionFromSavedModel": (
        _Pointer,
        (_Pointer, _Pointer, _Text, ctypes.POINTER(_Text), ctypes.c_int, _Pointer, ctypes.POINTER(_Buffer), _Pointer),
    ),
    "TF_SessionRun": (
        None,
        (
            *(_Pointer, _Pointer),
            *(ctypes.POINTER(_Output), ctypes.POINTER(_Pointer), ctypes.c_int),
            *(ctypes.POINTER(_Output), ctypes.POINTER(_Pointer), ctypes.c_int),
            *(ctypes.POINTER(_Pointer), ctypes.c_int, _Pointer, _Pointer),
        ),
    ),
    "TF_CloseSession": (None, (_Pointer, _Pointer)),
    "TF_DeleteSession": (None, (_Pointer, _Pointer)),
    "TF_AllocateTensor": (_Pointer, (ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_int, ctypes.c_size_t)),
    "TF_DeleteTensor": (None, (_Pointer,)),
    "TF_TensorType": (ctypes.c_int, (_Pointer,)),
    "TF_NumDims": (ctypes.c_int, (_Pointer,)),
    "TF_Dim": (ctypes.c_int64, (_Pointer, ctypes.c_int)),
    "TF_TensorByteSize": (ctypes.c_size_t, (_Pointer,)),
    "TF_TensorData": (_Pointer, (_Pointer,)),
    "TF_StringInit": (None, (_Pointer,)),
    "TF_StringCopy": (None, (_Pointer, _Text, ctypes.c_size_t)),
    "TF_StringDealloc": (None, (_Pointer,)),
    "TF_StringGetDataPointer": (_Pointer, (_Pointer,)),
    "TF_StringGetSize": (ctypes.c_size_t, (_Pointer,)),
}


@cache
def library() -> Any:
    """Load the C library of the installed ``tensorflow`` package, once, and declare what we call.

    Raises ``ModuleNotFoundError`` where the package is not installed, ``OSError`` where its library cannot be loaded.
    """
    spec = importlib.machinery.PathFinder.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "package tensorflow is not installed; install the extra roadstead[tf-serving]", name="tensorflow"
        )
    # Without a driver it reports the missing GPU as an error at every start; what matters comes back as a status.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if Path("/dev/nvidiactl").exists() else "3")
    # By default oneDNN has an allocator of its own, which keeps what a closed model had. The C library's can give it
    # back, and is no slower.
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    loaded = ctypes.CDLL(str(Path(spec.submodule_search_locations[0]) / "libtensorflow_cc.so.2"))
    for name, (returns, takes) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype = returns
        function.argtypes = takes
    return loaded


def version() -> str:
    """Return the version of the TensorFlow library."""
    found: bytes = library().TF_Version()
    return found.decode()


@contextmanager
def _status() -> Iterator[ctypes.c_void_p]:
    """Yield a status for one call, and raise what it says afterwards, unless the block raised already."""
    tf = library()
    status = tf.TF_NewStatus()
    try:
        yield status
        code = tf.TF_GetCode(status)
        if code:
            raise ServingError(Code(code), tf.TF_Message(status).decode(errors="replace"))
    finally:
        tf.TF_DeleteStatus(status)


@attrs.frozen(kw_only=True)
class Threads:
    """How many threads TensorFlow may use inside one operation, and for operations at once; 0 is as many as CPUs."""

    intra_op: int = 0
    inter_op: int = 0


@attrs.frozen(kw_only=True)
class SessionConfig:
    """What a session is made with."""

    threads: Threads = Threads()
    gpu_memory_fraction: float = 0.0
    """Of a GPU's memory, 0 to 1; 0 takes what is needed, as it is needed."""

    def serialized(self) -> bytes:
        """Return TensorFlow's own ``ConfigProto``, as bytes."""
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=self.threads.intra_op,
            inter_op_parallelism_threads=self.threads.inter_op,
        )
        if self.gpu_memory_fraction:
            config.gpu_options.per_process_gpu_memory_fraction = self.gpu_memory_fraction
        else:
            config.gpu_options.allow_growth = True
        serialized: bytes = config.SerializeToString()
        return serialized


class SavedModel:
    """One loaded SavedModel: its signatures, and a session to run them.

    ``run`` may be called from many threads at once. ``close`` frees it, and must not be called while something runs.
    """

    def __init__(self, *, path: Path, tags: Sequence[str], config: SessionConfig) -> None:
        """Load the model from its version folder. Raises ``ServingError`` with TensorFlow's own text."""
        tf = library()
        self._graph = tf.TF_NewGraph()
        meta_graph = tf.TF_NewBuffer()
        options = tf.TF_NewSessionOptions()
        try:
            serialized = config.serialized()
            with _status() as status:
                tf.TF_SetConfig(options, serialized, len(serialized), status)
            names = (_Text * len(tags))(*(tag.encode() for tag in tags))
            with _status() as status:
                self._session = tf.TF_LoadSessionFromSavedModel(
                    options, None, os.fsencode(path), names, len(tags), self._graph, meta_graph, status
                )
            found = meta_graph_pb2.MetaGraphDef.FromString(
                ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)
            )
        except BaseException:
            tf.TF_DeleteGraph(self._graph)
            raise
        finally:
            tf.TF_DeleteSessionOptions(options)
            tf.TF_DeleteBuffer(meta_graph)
        self.signatures: Mapping[str, meta_graph_pb2.SignatureDef] = dict(found.signature_def)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Feed tensors by name (``operation:index``) and return the values of the outputs named, in their order.

        Raises ``ServingError``: TensorFlow's own for what the graph refuses, INVALID_ARGUMENT for a name that it has
        not.
        """
        tf = library()
        feeds = (_Output * len(inputs))(*(self._output(name) for name in inputs))
        fetches = (_Output * len(outputs))(*(self._output(name) for name in outputs))
        fetched = (_Pointer * len(outputs))()
        fed = (_Pointer * len(inputs))()
        try:
            for index, array in enumerate(inputs.values()):
                fed[index] = _tensor_of(array)
            with _status() as status:
                tf.TF_SessionRun(
                    *(self._session, None, feeds, fed, len(inputs), fetches, fetched, len(outputs)),
                    *(None, 0, None, status),
                )
            return [_array_of(tensor) for tensor in fetched if tensor is not None]
        finally:
            for tensor, array in zip(fed, inputs.values(), strict=True):
                if tensor:
                    _delete_ours(tensor, array)
            for tensor in fetched:
                if tensor:
                    tf.TF_DeleteTensor(tensor)

    def _output(self, name: str) -> _Output:
        operation, _, index = name.partition(":")
        found = library().TF_GraphOperationByName(self._graph, operation.encode())
        number = int(index or 0)
        if found is None or number >= library().TF_OperationNumOutputs(found):
            raise invalid(f"Tensor {name}, specified in a signature, was not found in the graph")
        return _Output(found, number)

    def close(self) -> None:
        """Free the session and the graph."""
        tf = library()
        with _status() as status:
            tf.TF_CloseSession(self._session, status)
        with _status() as status:
            tf.TF_DeleteSession(self._session, status)
        tf.TF_DeleteGraph(self._graph)


def _tensor_of(array: NDArray[Any]) -> int:
    """Return a new tensor with the array's values; ``_delete_ours`` frees it."""
    tf = library()
    kind = numpy_type(array)
    dimensions = (ctypes.c_int64 * array.ndim)(*array.shape)
    itemsize = STRING_SIZE if kind.number == STRING else kind.numpy.itemsize
    tensor = tf.TF_AllocateTensor(kind.number, dimensions, array.ndim, array.size * itemsize)
    if tensor is None:
        raise ServingError(Code.RESOURCE_EXHAUSTED, f"no memory for a tensor of shape {list(array.shape)}")
    data = tf.TF_TensorData(tensor)
    if kind.number == STRING:
        for index, value in enumerate(array.ravel()):
            tf.TF_StringInit(data + index * STRING_SIZE)
            tf.TF_StringCopy(data + index * STRING_SIZE, value, len(value))
    elif array.size:
        values = np.ascontiguousarray(array, dtype=kind.numpy)
        ctypes.memmove(data, values.ctypes.data, values.nbytes)
    return int(tensor)


def _delete_ours(tensor: int, array: NDArray[Any]) -> None:
    tf = library()
    if numpy_type(array).number == STRING:
        data = tf.TF_TensorData(tensor)
        for index in range(array.size):
            tf.TF_StringDealloc(data + index * STRING_SIZE)
    tf.TF_DeleteTensor(tensor)


def _array_of(tensor: int) -> NDArray[Any]:
    """Return a copy of a tensor's values."""
    tf = library()
    kind: Type = type_of(tf.TF_TensorType(tensor))
    shape = tuple(tf.TF_Dim(tensor, index) for index in range(tf.TF_NumDims(tensor)))
    data = tf.TF_TensorData(tensor)
    if kind.number != STRING:
        return np.frombuffer(ctypes.string_at(data, tf.TF_TensorByteSize(tensor)), dtype=kind.numpy).reshape(shape)
    values = np.empty(shape, dtype=object)
    flat = values.reshape(-1)
    for index in range(flat.size):
        string = data + index * STRING_SIZE
        flat[index] = ctypes.string_at(tf.TF_StringGetDataPointer(string), tf.TF_StringGetSize(string))
    return values
