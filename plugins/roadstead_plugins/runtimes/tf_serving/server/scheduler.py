"""Running what the queues hold: a bounded number of batches at once, each on a thread, from one event loop."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from typing import Any

import attrs
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.server.batching import Arrays, Batch, Queue, joined, parted, rows
from roadstead_plugins.runtimes.tf_serving.server.configs import Batching
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics

Run = Callable[[Arrays], Sequence[NDArray[Any]]]


@attrs.frozen(kw_only=True)
class Task:
    """One request that waits: its inputs, its rows, when it came, and where its answer goes."""

    inputs: Arrays
    size: int
    queued_at: float
    answer: asyncio.Future[list[NDArray[Any]]]


@attrs.frozen(kw_only=True)
class _Lane:
    """One queue, and how its batches are run."""

    queue: Queue[Task]
    run: Run


class BatchScheduler:
    """Shares a number of batch threads among any number of queues, in turn.

    All methods belong to the event loop's thread; only ``run`` of a lane, and the joining and parting of arrays, happen
    on the executor's threads. So there is no lock.
    """

    def __init__(self, *, batching: Batching, executor: Executor, metrics: Metrics) -> None:
        self._batching = batching
        self._executor = executor
        self._metrics = metrics
        self._lanes: dict[Hashable, _Lane] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, key: Hashable, run: Run, inputs: Arrays) -> list[NDArray[Any]]:
        """Run the inputs in a batch with others of the same key and return their part of the outputs.

        Calls of one key must give a ``run`` that does the same. A caller that is cancelled while its request waits
        takes it out.
        """
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(queue=Queue(self._batching), run=run)
        now = loop.time()
        task = Task(inputs=inputs, size=rows(inputs), queued_at=now, answer=loop.create_future())
        lane.queue.offer(task, size=task.size, now=now)
        self._start_what_may_run()
        return await task.answer

    def _start_what_may_run(self) -> None:
        loop = asyncio.get_running_loop()
        started = True
        while started and len(self._running) < self._batching.threads:
            started = False
            # A queue whose batch was taken goes to the end, so that every model gets its turn; an empty one goes, so
            # that nothing here holds a model that was unloaded.
            for key, lane in list(self._lanes.items()):
                if len(self._running) >= self._batching.threads:
                    break
                batch = lane.queue.take(now=loop.time())
                if batch is not None:
                    del self._lanes[key]
                    if lane.queue.due() is not None:
                        self._lanes[key] = lane
                    self._start(lane, batch)
                    started = True
        self._set_timer()

    def _start(self, lane: _Lane, batch: Batch[Task]) -> None:
        running = asyncio.get_running_loop().create_task(self._process(lane, batch))
        self._running.add(running)
        running.add_done_callback(self._finished)

    def _finished(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self._start_what_may_run()

    def _set_timer(self) -> None:
        """Wake when the next batch is due; with no thread free, the end of a running one does that."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        dues = [due for lane in self._lanes.values() if (due := lane.queue.due()) is not None]
        if dues and len(self._running) < self._batching.threads:
            self._timer = asyncio.get_running_loop().call_at(min(dues), self._start_what_may_run)

    async def _process(self, lane: _Lane, batch: Batch[Task]) -> None:
        loop = asyncio.get_running_loop()
        tasks = [task for task in batch.tasks if not task.answer.done()]
        if not tasks:
            return
        for task in tasks:
            self._metrics.queued(self._batching.thread_pool_name, seconds=loop.time() - task.queued_at)
        self._metrics.batch_run()
        try:
            parts = await loop.run_in_executor(self._executor, self._run_joined, lane.run, tasks)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer of every request of the batch
            for task in tasks:
                if not task.answer.done():
                    task.answer.set_exception(error)
            return
        for task, part in zip(tasks, parts, strict=True):
            if not task.answer.done():
                task.answer.set_result(part)

    def _run_joined(self, run: Run, tasks: Sequence[Task]) -> list[list[NDArray[Any]]]:
        inputs = joined([task.inputs for task in tasks], self._batching)
        return parted(run(inputs), [task.size for task in tasks], total=rows(inputs))
