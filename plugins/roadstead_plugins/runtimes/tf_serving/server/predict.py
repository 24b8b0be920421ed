"""One prediction, however it was asked for: the version, the signature, the checks, the run."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from typing import Any

import attrs
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import meta_graph_pb2
from roadstead_plugins.runtimes.tf_serving.server.batching import Arrays
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics
from roadstead_plugins.runtimes.tf_serving.server.models import Models, Servable
from roadstead_plugins.runtimes.tf_serving.server.scheduler import BatchScheduler
from roadstead_plugins.runtimes.tf_serving.server.signatures import (
    DEFAULT_SIGNATURE,
    checked,
    signature_of,
    wanted_outputs,
)

__all__ = ["DEFAULT_SIGNATURE", "Answer", "Predictor", "Target"]


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
            signature = signature_of(servable.model, name)
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
