"""A million wrong fleet files, and what reading them comes to: a fleet, or problems that a person can find and mend.

    python -m benchmarks.fuzz_config                    # a million inputs on all processors, about half an hour
    python -m benchmarks.fuzz_config --jobs 1           # the same inputs; what was interrupted goes on where it stopped
    python -m benchmarks.fuzz_config --show 4711        # one input on stdout, and what is said of it on stderr

Inputs are made from the good and the bad files of ``tests/config`` (:mod:`benchmarks.config_mutations`). For each it
must hold that reading ends soon, in a fleet or in :class:`roadstead.config.FleetFileError` and nothing else; that every
problem has a place inside the file, a code, words and a hint; and that the schema for editors accepts what is read. An
input that ends the process, or takes it more than ``--deadline`` seconds of processor time, is found too: each chunk of
inputs runs in a process of its own. Prints a table, and writes benchmarks/results/fuzz_config.json when it is done.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs
import jsonschema
import psutil
import yaml

from benchmarks.config_mutations import Input, Mutator
from roadstead.config import FleetFileError, Problem, ProblemCode, fleet_schema, read_fleet
from roadstead.config.source import Source
from roadstead.model import Fleet
from roadstead.spi.host import PluginHost

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results" / "fuzz_config.json"
CHECKPOINT: Final = ROOT / "build" / "fuzz_config.json"
CHUNK: Final = 2_000
MEMORY: Final = 4 * 2**30
"""Bytes of address space that a process may have: an input that fills the memory must not fill the machine's."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same that the reader has

Reads = Callable[[Path], Fleet]


@attrs.frozen(kw_only=True)
class Flaw:
    """An input that was not answered as it should be."""

    number: int
    made: str
    what: str


@attrs.define(kw_only=True)
class Tally:
    """What inputs came to; ``codes`` counts inputs by the code of a problem, ``slowest`` is (seconds, input).

    ``reading`` and ``slowest`` are in seconds of processor time.
    """

    inputs: Counter[str] = attrs.Factory(Counter)
    accepted: Counter[str] = attrs.Factory(Counter)
    codes: Counter[str] = attrs.Factory(Counter)
    flaws: list[Flaw] = attrs.Factory(list)
    slowest: tuple[float, int] = (0.0, 0)
    reading: float = 0.0

    def add(self, other: "Tally") -> None:
        """Take in what other inputs came to."""
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.codes += other.codes
        self.flaws += other.flaws
        self.slowest = max(self.slowest, other.slowest)
        self.reading += other.reading


@attrs.define(kw_only=True)
class Progress:
    """A run as far as it has come: all inputs below ``done`` are in the tally, and took ``seconds``."""

    seed: int
    material: str
    done: int = 0
    seconds: float = 0.0
    tally: Tally = attrs.Factory(Tally)


# ---- one input ----


@attrs.frozen
class Examiner:
    """Reads inputs from a file in ``folder`` and looks at what comes of it; ``schema`` is that of editors."""

    reads: Reads
    schema: jsonschema.Draft7Validator
    folder: Path

    def examine(self, made: Input) -> Tally:
        """Return what became of one input."""
        path = self.folder / "fleet.yaml"
        path.write_bytes(made.data)
        tally = Tally(inputs=Counter([made.level]))
        began = time.process_time()
        try:
            self.reads(path)
        except FleetFileError as error:
            taken = time.process_time() - began
            found = list(flaws_of(made.data, error.problems))
            tally.codes.update({problem.code.value for problem in error.problems})
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked for
            taken = time.process_time() - began
            found = [f"{type(error).__name__}: {error}"[:500]]
        else:
            taken = time.process_time() - began
            found = list(self._misfits(made.data))
            tally.accepted[made.level] += 1
        tally.flaws = [Flaw(number=made.number, made=f"{made.level} of {made.source}", what=what) for what in found]
        tally.slowest, tally.reading = (taken, made.number), taken
        return tally

    def _misfits(self, data: bytes) -> Iterator[str]:
        """Yield where another reader, or an editor, would complain about a file that is read."""
        try:
            tree = yaml.load(data, Loader=_LOADER)  # noqa: S506  # the safe one, in C
        except (yaml.YAMLError, ValueError) as error:
            yield f"accepted, and PyYAML says: {error}"[:500]
            return
        document = json.loads(json.dumps(tree, default=str))
        for wrong in self.schema.iter_errors(document):
            yield f"accepted, and the schema says: {wrong.message[:200]}"


def flaws_of(data: bytes, problems: tuple[Problem, ...]) -> Iterator[str]:
    """Yield what is wrong with the problems of a file that are to help a person."""
    if not problems:
        yield "refused without a problem"
    lines = Source("", data.decode("utf-8-sig", errors="replace")).lines
    for problem in problems:
        place = f"{problem.line}:{problem.column} {problem.code}: {problem.what!r}"
        line = lines[problem.line - 1] if 0 < problem.line <= len(lines) else None
        if line is None or not 1 <= problem.column <= len(line) + 1:
            yield f"outside the file: {place}"
        if not isinstance(problem.code, ProblemCode) or not problem.what or not problem.hint:
            yield f"without a code, words or a hint: {place}"
        if not all(line.isprintable() for line in str(problem).split("\n")):
            yield f"cannot be printed: {place}"
    places = [(problem.line, problem.column) for problem in problems]
    if places != sorted(places):
        yield f"not in the order of the file: {places}"


# ---- many inputs ----


@attrs.frozen(kw_only=True)
class Fuzz:
    """How inputs are made and examined, the seed, and the seconds of processor time that one may take."""

    mutator: Mutator
    reads: Reads
    schema: jsonschema.Draft7Validator
    seed: int = 1
    deadline: float = 10.0

    def start(self) -> Progress:
        """Return a run that has done nothing yet."""
        return Progress(seed=self.seed, material=self.mutator.digest)

    def tally(self, numbers: range, jobs: int = 1) -> Tally:
        """Return what these inputs come to, examined in so many processes at once."""
        total = Tally()
        workers = [_Worker(self, numbers[job::jobs]) for job in range(jobs)]
        for worker in workers:
            total.add(worker.result())
        return total


class _Worker:
    """A process that examines inputs, and another one from where it was ended, as often as it takes."""

    def __init__(self, fuzz: Fuzz, numbers: range) -> None:
        self._fuzz = fuzz
        self._numbers = numbers
        self._context = multiprocessing.get_context("fork")  # inputs are made from what the parent has read
        self._current = self._context.RawValue("q", -1)
        self._ended: list[Flaw] = []
        self._start()

    def _start(self) -> None:
        self._results, theirs = self._context.Pipe(duplex=False)
        skipped = {flaw.number for flaw in self._ended}
        numbers = [number for number in self._numbers if number not in skipped]
        self._process = self._context.Process(target=_examine, args=(self._fuzz, numbers, self._current, theirs))
        self._process.start()
        theirs.close()

    def result(self) -> Tally:
        """Wait for the end, and return what all inputs came to; one that ended the process is a flaw."""
        while True:
            try:
                tally: Tally = self._results.recv()
            except EOFError:
                self._process.join()
                self._ended.append(self._flaw(self._process.exitcode or 0))
                self._start()
                continue
            self._process.join()
            for flaw in self._ended:
                tally.add(Tally(inputs=Counter([flaw.made.partition(" ")[0]]), flaws=[flaw]))
            return tally

    def _flaw(self, exit_code: int) -> Flaw:
        number = self._current.value
        if number < 0:
            raise RuntimeError(f"a process that examines inputs ended with {exit_code} before the first one")
        made = self._fuzz.mutator.input(self._fuzz.seed, number)
        hung = exit_code == -signal.SIGPROF
        what = f"took more than {self._fuzz.deadline:g} s" if hung else f"ended the process with {exit_code}"
        return Flaw(number=number, made=f"{made.level} of {made.source}", what=what)


def _examine(fuzz: Fuzz, numbers: list[int], current: Any, results: Connection) -> None:
    """Examine inputs in a process of their own; ``current`` says for the parent which one it has reached."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends the process even while the parser, in C, goes on for ever
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="roadstead-fuzz-") as folder:
        examiner = Examiner(fuzz.reads, fuzz.schema, Path(folder))
        for number in numbers:
            current.value = number
            signal.setitimer(signal.ITIMER_PROF, fuzz.deadline)
            tally.add(examiner.examine(fuzz.mutator.input(fuzz.seed, number)))
        signal.setitimer(signal.ITIMER_PROF, 0)
    results.send(tally)


def run(fuzz: Fuzz, progress: Progress, inputs: int, jobs: int, chunk: int = CHUNK) -> Iterator[int]:
    """Bring ``progress`` on until it has done so many inputs, and yield after each step how many it has."""
    while progress.done < inputs:
        began = time.monotonic()
        numbers = range(progress.done, min(inputs, progress.done + jobs * chunk))
        progress.tally.add(fuzz.tally(numbers, jobs))
        progress.done = numbers.stop
        progress.seconds += time.monotonic() - began
        yield progress.done


# ---- the real reader ----


def installed() -> Fuzz:
    """Return the fuzz of the reader with the plugins of this distribution, made from the files of the tests."""
    host = PluginHost.installed([distribution("roadstead")])
    schema = fleet_schema(host)
    tests = ROOT / "tests" / "config"
    good = [*sorted((ROOT / "configs").glob("*.yaml")), *sorted((tests / "good").glob("*.yaml"))]
    for path in good:
        read_fleet(path, host)  # so that plugins are imported before there are processes
    mutator = Mutator(
        good=tuple((path.name, path.read_bytes()) for path in good),
        bad=tuple((path.name, path.read_bytes()) for path in sorted((tests / "bad").glob("*.yaml"))),
        keys=tuple(sorted(_keys_in(schema))),
        words=tuple((ROOT / "benchmarks" / "config_words.txt").read_text("utf-8").split()),
    )
    return Fuzz(mutator=mutator, reads=lambda path: read_fleet(path, host), schema=jsonschema.Draft7Validator(schema))


def _keys_in(schema: Any) -> set[str]:
    """Return every key of a fleet file that the schema has anywhere."""
    if isinstance(schema, list):
        return set[str]().union(*map(_keys_in, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())).union(*map(_keys_in, schema.values()))


def resumed(fuzz: Fuzz, checkpoint: Path) -> Progress:
    """Return the run that was interrupted, if it had the same inputs, or a new one."""
    fresh = fuzz.start()
    try:
        stored: Progress = cattrs.structure(json.loads(checkpoint.read_text("utf-8")), Progress)
    except FileNotFoundError:
        return fresh
    return stored if (stored.seed, stored.material) == (fresh.seed, fresh.material) else fresh


def store(progress: Progress, checkpoint: Path) -> None:
    """Write down how far a run has come."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    beside = checkpoint.with_suffix(".new")
    beside.write_text(json.dumps(cattrs.unstructure(progress)), "utf-8")
    beside.replace(checkpoint)


def summary(progress: Progress, jobs: int) -> dict[str, Any]:
    """Return what is written at the end."""
    tally = progress.tally
    return {
        "seed": progress.seed,
        "material": progress.material,
        "inputs": progress.done,
        "flaws": [attrs.asdict(flaw) for flaw in tally.flaws],
        "accepted": tally.accepted.total(),
        "by_kind_of_mistake": {
            level: {"inputs": number, "accepted": tally.accepted[level]}
            for level, number in sorted(tally.inputs.items())
        },
        "inputs_by_code": dict(sorted(tally.codes.items())),
        "slowest": {"input": tally.slowest[1], "milliseconds": round(tally.slowest[0] * 1000, 1)},
        "milliseconds_to_read_one": round(tally.reading / progress.done * 1000, 3),
        "seconds": round(progress.seconds),
        "inputs_per_second": round(progress.done / progress.seconds),
        "jobs": jobs,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": psutil.cpu_count(),
    }


def report(progress: Progress, inputs: int) -> str:
    """Return the table that is printed at the end."""
    tally = progress.tally
    rows = [f"{'code':<8} {'inputs':>9}   meaning"]
    rows += [
        f"{code:<8} {number:>9}   {ProblemCode(code).name.lower()}" for code, number in sorted(tally.codes.items())
    ]
    rows += ["", f"{'mistakes in':<12} {'inputs':>9} {'read':>9}"]
    rows += [f"{level:<12} {number:>9} {tally.accepted[level]:>9}" for level, number in sorted(tally.inputs.items())]
    rows += [
        "",
        f"{progress.done} of {inputs} inputs, {progress.done / progress.seconds:.0f}/s, {len(tally.flaws)} flaws",
    ]
    rows += [f"  input {flaw.number} ({flaw.made}): {flaw.what}" for flaw in tally.flaws[:50]]
    return "\n".join(rows)


def show(fuzz: Fuzz, number: int) -> None:
    """Write one input to stdout, and what is said of it to stderr."""
    made = fuzz.mutator.input(fuzz.seed, number)
    sys.stdout.buffer.write(made.data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.yaml"
        path.write_bytes(made.data)
        try:
            print(f"{made.level} of {made.source}: {fuzz.reads(path)}", file=sys.stderr)
        except FleetFileError as error:
            print(f"{made.level} of {made.source}: {error}", file=sys.stderr)


def main() -> int:
    """Examine, print and write; 1 where there are flaws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds of processor time for one input")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--show", type=int, metavar="NUMBER")
    given = parser.parse_args()
    fuzz = attrs.evolve(installed(), seed=given.seed, deadline=given.deadline)
    if given.show is not None:
        show(fuzz, given.show)
        return 0
    progress = resumed(fuzz, given.checkpoint)
    for _ in run(fuzz, progress, given.inputs, given.jobs):
        store(progress, given.checkpoint)
        if progress.done % (25 * CHUNK) < given.jobs * CHUNK:
            print(f"{progress.done:>9} inputs, {len(progress.tally.flaws)} flaws", file=sys.stderr, flush=True)
    print(report(progress, given.inputs))
    given.results.parent.mkdir(exist_ok=True)
    given.results.write_text(json.dumps(summary(progress, given.jobs), indent=2) + "\n")
    return 1 if progress.tally.flaws else 0


if __name__ == "__main__":
    sys.exit(main())
