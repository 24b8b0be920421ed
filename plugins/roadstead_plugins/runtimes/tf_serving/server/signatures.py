"""What a model's signature asks of a request: its name, its inputs with their types and shapes, its outputs. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import meta_graph_pb2
from roadstead_plugins.runtimes.tf_serving.server.batching import Arrays
from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid
from roadstead_plugins.runtimes.tf_serving.tensors import TensorError, array_of, numpy_type, type_of

DEFAULT_SIGNATURE: Final = "serving_default"
_METHODS: Final = tuple(f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))


def signature_of(model: SavedModel, name: str) -> meta_graph_pb2.SignatureDef:
    """Return the signature of that name, which must be one for predictions."""
    signature = model.signatures.get(name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    if signature.method_name not in _METHODS:
        raise ServingError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHODS)}}}. "
            f"Was: {signature.method_name}",
        )
    return signature


def checked(inputs: Arrays, signature: meta_graph_pb2.SignatureDef) -> Arrays:
    """Return the inputs under the names that the graph has for them.

    Type and shape are checked here and not by the graph, so that in a batch a wrong request fails alone.
    """
    if inputs.keys() != signature.inputs.keys():
        _refuse_names(set(inputs), set(signature.inputs))
    for alias, array in inputs.items():
        _check(alias, array, signature.inputs[alias])
    return {signature.inputs[alias].name: array for alias, array in sorted(inputs.items())}


def _refuse_names(given: set[str], wanted: set[str]) -> None:
    if len(given) == len(wanted):
        raise invalid(
            f"input tensor alias not found in signature: {min(given - wanted)}. "
            f"Inputs expected to be in the set {{{_listed(wanted)}}}."
        )
    raise invalid(
        f"input size does not match signature: {len(given)}!={len(wanted)} "
        f"len({{{_listed(given)}}}) != len({{{_listed(wanted)}}}). "
        f"Sent extra: {{{_listed(given - wanted)}}}. Missing but required: {{{_listed(wanted - given)}}}."
    )


def _check(alias: str, array: NDArray[Any], info: meta_graph_pb2.TensorInfo) -> None:
    kind = numpy_type(array)
    if kind.number != info.dtype:
        raise invalid(f"input {alias} is of type {kind.name}; the signature wants {type_of(info.dtype).name}")
    if info.tensor_shape.unknown_rank:
        return
    wanted = [dimension.size for dimension in info.tensor_shape.dim]
    fits = len(wanted) == array.ndim and all(
        size in (-1, there) for size, there in zip(wanted, array.shape, strict=True)
    )
    if not fits:
        raise invalid(
            f"input {alias} has shape {list(array.shape)}; the signature wants {wanted}, where -1 is any size"
        )


def wanted_outputs(signature: meta_graph_pb2.SignatureDef, asked: Sequence[str]) -> Mapping[str, str]:
    """Return the graph's name of each output asked for, or of every one, in a fixed order."""
    for alias in asked:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{_listed(set(signature.outputs))}}}."
            )
        if list(asked).count(alias) > 1:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return {alias: signature.outputs[alias].name for alias in sorted(asked or signature.outputs)}


def _listed(names: set[str]) -> str:
    return ",".join(sorted(names))


def arrays_of(protos: Mapping[str, Any]) -> Arrays:
    """Return the tensors of a request's messages. Raises ``ServingError`` for one that cannot be read."""
    return {alias: _array(alias, proto) for alias, proto in protos.items()}


def _array(alias: str, proto: Any) -> NDArray[Any]:
    try:
        return array_of(proto)
    except TensorError as error:
        raise invalid(f"tensor parsing error: {alias}: {error}") from error
