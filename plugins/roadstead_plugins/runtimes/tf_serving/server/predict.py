"""One prediction, however it was asked for: the version, the signature, the checks, the run."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import attrs
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import meta_graph_pb2
from roadstead_plugins.runtimes.tf_serving.server.batching import Arrays
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics
from roadstead_plugins.runtimes.tf_serving.server.models import Models, Servable
from roadstead_plugins.runtimes.tf_serving.server.scheduler import BatchScheduler
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid
from roadstead_plugins.runtimes.tf_serving.tensors import numpy_type, type_of

DEFAULT_SIGNATURE: Final = "serving_default"
_METHODS: Final = tuple(f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))


@attrs.frozen(kw_only=True)
class Target:
    """Which model is meant, and which of its signatures; an empty signature is the default one."""

    name: str
    version: int | None = None
    label: str | None = None
    signature: str = ""


@attrs.frozen(kw_only=True)
class Answer:
    """What a model answered, and which version of it by which signature."""

    version: int
    signature: str
    outputs: Arrays


@attrs.frozen(kw_only=True)
class Predictor:
    """Runs predictions, in batches where there is a scheduler, else each by itself on the executor."""

    models: Models
    executor: Executor
    scheduler: BatchScheduler | None
    metrics: Metrics

    async def predict(
        self, target: Target, inputs: Callable[[meta_graph_pb2.SignatureDef], Arrays], outputs: Sequence[str] = ()
    ) -> Answer:
        """Return the outputs asked for (none named: all) for inputs that are read once the signature is known.

        Raises ``ServingError``. The version that answers stays loaded until then.
        """
        with self.models.use(target.name, version=target.version, label=target.label) as servable:
            name = target.signature or DEFAULT_SIGNATURE
            signature = signature_of(servable, name)
            arrays = checked(inputs(signature), signature)
            wanted = wanted_outputs(signature, outputs)
            loop = asyncio.get_running_loop()
            started = loop.time()
            values = await self._run(servable, arrays, tuple(wanted.values()))
            self.metrics.ran(target.name, seconds=loop.time() - started)
            return Answer(version=servable.version, signature=name, outputs=dict(zip(wanted, values, strict=True)))

    async def _run(self, servable: Servable, arrays: Arrays, outputs: Sequence[str]) -> Sequence[NDArray[Any]]:
        def run(inputs: Arrays) -> Sequence[NDArray[Any]]:
            return servable.model.run(inputs, outputs)

        if self.scheduler is None:
            return await asyncio.get_running_loop().run_in_executor(self.executor, run, arrays)
        key: Hashable = (servable, tuple(sorted(arrays)), tuple(outputs))
        return await self.scheduler.run(key, run, arrays)


def signature_of(servable: Servable, name: str) -> meta_graph_pb2.SignatureDef:
    """Return the signature of that name, which must be one for predictions."""
    signature = servable.model.signatures.get(name)
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
