"""The embedded server against calling the same SavedModel in-process: sentences a second, and p99 of requests.

    python -m benchmarks.serving            # prints a table, writes benchmarks/results/serving.json and serving.md

Everything is a ratio to the in-process calls of the same run, taken in turn with them: a machine that is slow today is
slow for both. Medians over rounds. Also: how far the answers are from a computation in numpy, and what a start costs.
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import grpc
import numpy as np
from numpy.typing import NDArray

from configs.minilm.embed import request, tokenizer, tokens
from configs.minilm.export import export
from configs.minilm.reference import Reference
from configs.minilm.weights import read_weights, weights_file
from roadstead_plugins.runtimes.tf_serving import grpc_client
from roadstead_plugins.runtimes.tf_serving.protos import predict_pb2, prediction_service_pb2_grpc
from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel, SessionConfig, Threads
from roadstead_plugins.runtimes.tf_serving.tensors import array_of

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
HOST: Final = "127.77.0.1"
WORDS: Final = 14
"""Words of each sentence that is timed: about the length of a search query's answer."""
ROUND: Final = 1.5
"""Seconds of one measurement."""
SENTENCES: Final = 200
"""Sentences of 1 to 120 words that are compared with the reference."""

Call = Callable[[], object]


@attrs.frozen(kw_only=True)
class Measured:
    """One measurement: requests a second, and seconds that 99 of 100 requests stayed below."""

    per_second: float
    p99: float


@attrs.frozen(kw_only=True)
class Row:
    """One line of the table; rates are sentences a second, times are milliseconds."""

    how: str
    size: int
    in_process: float
    served: float
    ratio: float
    p99_in_process: float
    p99_served: float


def measure(call: Call, *, threads: int, seconds: float) -> Measured:
    """Call again and again from so many threads for so long."""
    times: list[list[float]] = [[] for _ in range(threads)]
    end = time.perf_counter() + seconds

    def work(mine: list[float]) -> None:
        while (before := time.perf_counter()) < end:
            call()
            mine.append(time.perf_counter() - before)

    workers = [threading.Thread(target=work, args=(mine,)) for mine in times]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    every = sorted(second for mine in times for second in mine)
    return Measured(
        per_second=len(every) / (time.perf_counter() - started), p99=every[min(len(every) - 1, int(len(every) * 0.99))]
    )


def compare(how: str, size: int, rows: int, rounds: int, in_process: tuple[Call, int], served: tuple[Call, int]) -> Row:
    """Measure both sides in turn and return their medians; ``rows`` is the sentences of one call of each side."""
    sides: tuple[list[Measured], list[Measured]] = ([], [])
    for call, _ in (in_process, served):
        call()
    for _ in range(rounds):
        for side, (call, threads) in zip(sides, (in_process, served), strict=True):
            side.append(measure(call, threads=threads, seconds=ROUND))
    rates = [statistics.median(one.per_second for one in side) for side in sides]
    p99s = [statistics.median(one.p99 for one in side) * 1000 for side in sides]
    alone, together = rates[0] * size, rates[1] * rows
    row = Row(
        how=how,
        size=size,
        in_process=alone,
        served=together,
        ratio=statistics.median((b.per_second * rows) / (a.per_second * size) for a, b in zip(*sides, strict=True)),
        p99_in_process=p99s[0],
        p99_served=p99s[1],
    )
    print(line(row), flush=True)
    return row


@contextmanager
def server(base: Path, *, batching: int | None, threads: int) -> Iterator[grpc.Channel]:
    """Run the embedded server for a while; ``batching`` is the largest batch."""
    with tempfile.TemporaryDirectory() as folder:
        parameters = Path(folder) / "batching.config"
        parameters.write_text(
            f"max_batch_size {{ value: {batching} }} batch_timeout_micros {{ value: 5000 }} "
            "num_batch_threads { value: 1 } max_enqueued_batches { value: 100 } pad_variable_length_inputs: true"
        )
        flags = ["--enable_batching", f"--batching_parameters_file={parameters}"] if batching else []
        command = [sys.executable, "-m", "roadstead_plugins.runtimes.tf_serving.server", f"--host={HOST}", *flags]
        command += ["--model_name=minilm", f"--model_base_path={base}", f"--tensorflow_session_parallelism={threads}"]
        process = subprocess.Popen([*command, "--max_num_load_retries=0"], stderr=subprocess.DEVNULL)
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 100)]
        try:
            with grpc.insecure_channel(f"{HOST}:8500", options=options) as channel:
                wait_until_available(channel, process)
                yield channel
        finally:
            process.terminate()
            process.wait(timeout=60)


def wait_until_available(channel: grpc.Channel, process: "subprocess.Popen[bytes]") -> None:
    """Return once the model can be asked."""
    pause = threading.Event()
    while process.poll() is None:
        answer = grpc_client.versions(channel, "minilm", timeout=5)
        if isinstance(answer, tuple) and any(entry.state == "AVAILABLE" for entry in answer):
            return
        pause.wait(0.02)
    raise SystemExit(f"the server ended with {process.returncode}")


class Local:
    """The model in this process."""

    def __init__(self, base: Path, threads: int) -> None:
        config = SessionConfig(threads=Threads(intra_op=threads, inter_op=threads))
        self._model = SavedModel(path=base / "1", tags=["serve"], config=config)
        signature = self._model.signatures["serving_default"]
        self._inputs = [signature.inputs[name].name for name in ("input_ids", "attention_mask")]
        self._output = signature.outputs["embedding"].name

    def run(self, ids: NDArray[np.int32], mask: NDArray[np.int32]) -> NDArray[Any]:
        """Return the embeddings."""
        return self._model.run(dict(zip(self._inputs, (ids, mask), strict=True)), [self._output])[0]

    def caller(self, size: int) -> Call:
        """Return a call that embeds so many sentences."""
        ids, mask = tokens(sentences(size, [WORDS]))
        return lambda: self.run(ids, mask)


def sentences(count: int, lengths: Sequence[int]) -> list[str]:
    """Return sentences of the lengths given, in turn."""
    chance = random.Random(7)  # noqa: S311  # which words it draws matters to nobody
    words = (
        "the",
        "model",
        "serves",
        "short",
        "and",
        "long",
        "sentences",
        "about",
        "weather",
        "trains",
        "on",
        "rivers",
    )
    return [" ".join(chance.choices(words, k=lengths[index % len(lengths)])) for index in range(count)]


def throughput(base: Path, sizes: Sequence[int], rounds: int, threads: int) -> list[Row]:
    """Measure requests of every size, with batching off and on, and single sentences that the server puts together."""
    local = Local(base, threads)
    rows = []
    for how, batching in (("batching off", None), ("batching on", 32)):
        with server(base, batching=batching, threads=threads) as channel:
            for size in sizes:
                served = (caller(channel, size), 1)
                rows.append(compare(f"one client, {how}", size, size, rounds, (local.caller(size), 1), served))
    for size in sizes:
        # Twice as many clients as rows of a batch: while one batch runs, the next one fills.
        with server(base, batching=size, threads=threads) as channel:
            served = (caller(channel, 1), 2 * size)
            rows.append(compare("clients of one sentence", size, 1, rounds, (local.caller(size), 1), served))
    return rows


def caller(channel: grpc.Channel, size: int) -> Call:
    """Return a call that asks the server for the embeddings of so many sentences."""
    predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
    message = request(sentences(size, [WORDS]), model="minilm")
    return lambda: predict(message, timeout=60)


def differences(base: Path, threads: int) -> dict[str, float]:
    """Return the largest difference of any number of an embedding, served alone and batched, from the reference."""
    texts = sentences(SENTENCES, [round(1 + index * 119 / (SENTENCES - 1)) for index in range(SENTENCES)])
    random.Random(7).shuffle(texts)  # noqa: S311
    reference = Reference(read_weights(weights_file()))
    expected = np.array([reference.embed(tokenizer().encode(text).ids) for text in texts])
    found = {}
    for name, batching in (("alone", None), ("batched", 32)):
        with server(base, batching=batching, threads=threads) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            futures = [stub.Predict.future(request([text], model="minilm"), timeout=300) for text in texts]
            found[name] = np.concatenate([array_of(embedding(future.result())) for future in futures])
    return {
        "alone_to_reference": float(np.abs(found["alone"] - expected).max()),
        "batched_to_reference": float(np.abs(found["batched"] - expected).max()),
        "batched_to_alone": float(np.abs(found["batched"] - found["alone"]).max()),
    }


def embedding(response: predict_pb2.PredictResponse) -> Any:
    """Return the one output of the model."""
    return response.outputs["embedding"]


def start_cost(base: Path, rounds: int, threads: int) -> dict[str, float]:
    """Return the medians of what a server needs from its start to the first answer, and what it then holds."""
    cpu, wall, held = [], [], []
    message = request(["A man is eating food."], model="minilm")
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        with server(base, batching=32, threads=threads) as channel:
            prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(message, timeout=60)
            wall.append(time.perf_counter() - started)
            held.append(max(private_memory(int(pid)) for pid in children()))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {
        "seconds_to_first_answer": statistics.median(wall),
        "cpu_seconds": statistics.median(cpu),
        "private_megabytes": statistics.median(held),
    }


def children() -> list[str]:
    """Return the ids of this process' children."""
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()


def private_memory(pid: int) -> float:
    """Return the megabytes that only this process has; the mapped libraries are shared by all replicas."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def line(row: Row) -> str:
    """Return one line of the table."""
    return (
        f"| {row.how:<28} | {row.size:>4} | {row.in_process:>10.1f} | {row.served:>8.1f} | {row.ratio:>5.2f} "
        f"| {row.p99_in_process:>9.1f} | {row.p99_served:>9.1f} |"
    )


HEAD: Final = """\
| how                          | size | in process |   served | ratio | p99 in ms | p99 served |
|------------------------------|-----:|-----------:|---------:|------:|----------:|-----------:|"""


def report(document: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return the results as text."""
    start, differ = document["start"], document["differences"]
    table = "\n".join(line(row) for row in rows)
    return f"""# The embedded server, measured

Made by `python -m benchmarks.serving` on {document["machine"]}; TensorFlow has {document["threads"]} thread(s).
Rates are sentences of {WORDS} words a second, times are milliseconds, all are medians of {document["rounds"]} rounds.
`ratio` is served to in-process, measured in turn. `size` is the sentences of one request; for clients of one sentence
it is the largest batch, and there are twice as many of them. The clients share the machine's CPUs with the server.

{HEAD}
{table}

Largest difference of any number of an embedding, {SENTENCES} sentences of 1 to 120 words:

| | |
|---|---:|
| served alone, to numpy on the same weights | {differ["alone_to_reference"]:.1e} |
| served in batches of mixed lengths, to numpy | {differ["batched_to_reference"]:.1e} |
| in batches, to alone | {differ["batched_to_alone"]:.1e} |

A server takes {start["seconds_to_first_answer"]:.2f} s from its start to its first answer and
{start["cpu_seconds"]:.2f} s of CPU in its life; it then holds {start["private_megabytes"]:.0f} MB of its own.
"""


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description="Measure the embedded server against in-process calls.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of TensorFlow, on both sides")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    base = ROOT / "models" / "minilm"
    export(base)
    print(HEAD)
    rows = throughput(base, given.sizes, given.rounds, given.threads)
    document: dict[str, Any] = {
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        "threads": given.threads,
        "rounds": given.rounds,
        "throughput": [attrs.asdict(row) for row in rows],
        "differences": differences(base, given.threads),
        "start": start_cost(base, given.rounds, given.threads),
    }
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "serving.json").write_text(json.dumps(document, indent=1) + "\n")
    text = report(document, rows)
    (given.results / "serving.md").write_text(text)
    print(text[text.index("Largest") :])
    return 0


if __name__ == "__main__":
    sys.exit(main())
