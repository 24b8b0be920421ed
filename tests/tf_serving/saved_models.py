"""Tiny SavedModels, written node by node: a graph of a few operations needs TensorFlow's messages and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import saved_model_pb2, types_pb2
from roadstead_plugins.runtimes.tf_serving.tensors import proto_of

FLOAT, STRING, INT32 = types_pb2.DT_FLOAT, types_pb2.DT_STRING, types_pb2.DT_INT32


class Graph:
    """A graph with one signature, being written."""

    def __init__(self) -> None:
        self._saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
        self._meta = self._saved.meta_graphs.add()
        self._meta.meta_info_def.tags.append("serve")
        self._meta.graph_def.versions.producer = 1882
        self._meta.graph_def.versions.min_consumer = 12

    def node(self, name: str, op: str, inputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add an operation; a type is given as a number, anything else as the message of an attribute's value."""
        node = self._meta.graph_def.node.add(name=name, op=op, input=inputs)
        for key, value in attributes.items():
            if isinstance(value, int):
                node.attr[key].type = value
            else:
                node.attr[key].CopyFrom(value)
        return name

    def placeholder(self, name: str, dtype: int, shape: Sequence[int]) -> str:
        """Add an input; -1 is any size."""
        node = self._meta.graph_def.node.add(name=name, op="Placeholder")
        node.attr["dtype"].type = dtype
        for size in shape:
            node.attr["shape"].shape.dim.add(size=size)
        return name

    def constant(self, name: str, value: float, dtype: int = FLOAT) -> str:
        """Add a single number."""
        node = self._meta.graph_def.node.add(name=name, op="Const")
        node.attr["dtype"].type = dtype
        tensor = node.attr["value"].tensor
        tensor.dtype = dtype
        (tensor.float_val if dtype == FLOAT else tensor.int_val).append(value)
        return name

    def constants(self, name: str, values: NDArray[np.float32]) -> str:
        """Add a vector of numbers."""
        node = self._meta.graph_def.node.add(name=name, op="Const")
        node.attr["dtype"].type = FLOAT
        node.attr["value"].tensor.CopyFrom(proto_of(values, as_content=True))
        return name

    def signature(
        self,
        inputs: Mapping[str, tuple[str, int, Sequence[int]]],
        outputs: Mapping[str, tuple[str, int, Sequence[int]]],
    ) -> None:
        """Declare ``serving_default``: for each alias the operation, the type and the shape."""
        signature = self._meta.signature_def["serving_default"]
        signature.method_name = "tensorflow/serving/predict"
        for infos, declared in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for alias, (operation, dtype, shape) in declared.items():
                infos[alias].name = f"{operation}:0"
                infos[alias].dtype = dtype
                for size in shape:
                    infos[alias].tensor_shape.dim.add(size=size)

    def write(self, folder: Path) -> Path:
        """Write the model into a version folder, which appears all at once."""
        beside = folder.with_name(f".{folder.name}")
        beside.mkdir(parents=True)
        (beside / "saved_model.pb").write_bytes(self._saved.SerializeToString())
        return beside.rename(folder)


def half_plus(addend: float, folder: Path) -> Path:
    """Write a model that answers ``y = x / 2 + addend`` for numbers ``x``, one for each row."""
    graph = Graph()
    graph.placeholder("x", FLOAT, [-1])
    graph.node("half", "Mul", ["x", graph.constant("a", 0.5)], T=FLOAT)
    graph.node("y", "AddV2", ["half", graph.constant("b", addend)], T=FLOAT)
    graph.signature({"x": ("x", FLOAT, [-1])}, {"y": ("y", FLOAT, [-1])})
    return graph.write(folder)


def heavy(size: int, folder: Path) -> Path:
    """Write a model as ``half_plus(0)`` with so many bytes of constants."""
    graph = Graph()
    graph.placeholder("x", FLOAT, [-1])
    graph.node("half", "Mul", ["x", graph.constant("a", 0.5)], T=FLOAT)
    # Not all the same, or it would be stored as one number.
    graph.constants("many", np.arange(size // 4, dtype=np.float32))
    graph.node("least", "Min", ["many", graph.constant("axis", 0, INT32)], T=FLOAT, Tidx=INT32)
    graph.node("y", "AddV2", ["half", "least"], T=FLOAT)
    graph.signature({"x": ("x", FLOAT, [-1])}, {"y": ("y", FLOAT, [-1])})
    return graph.write(folder)


def row_sums(folder: Path) -> Path:
    """Write a model that answers the sum and the largest number of each row of a matrix: it does not bear padding."""
    graph = Graph()
    graph.placeholder("x", FLOAT, [-1, -1])
    axis = graph.constant("axis", 1, INT32)
    for name, op in (("sum", "Sum"), ("max", "Max")):
        graph.node(name, op, ["x", axis], T=FLOAT, Tidx=INT32)
    graph.signature({"x": ("x", FLOAT, [-1, -1])}, {"sum": ("sum", FLOAT, [-1]), "max": ("max", FLOAT, [-1])})
    return graph.write(folder)


def echo(folder: Path) -> Path:
    """Write a model that answers the strings it is given, as text and as bytes."""
    graph = Graph()
    graph.placeholder("text", STRING, [-1])
    graph.node("same", "Identity", ["text"], T=STRING)
    graph.signature(
        {"text": ("text", STRING, [-1])}, {"echo": ("same", STRING, [-1]), "echo_bytes": ("same", STRING, [-1])}
    )
    return graph.write(folder)


def broken(folder: Path) -> Path:
    """Write a version folder that holds no SavedModel."""
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"this is not a graph")
    return folder
