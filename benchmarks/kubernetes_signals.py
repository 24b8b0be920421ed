"""What comes of stories on a real Kubernetes cluster while its processes are stopped, killed, and brought back.

    python -m benchmarks.kubernetes_signals             # about half an hour
    python -m benchmarks.kubernetes_signals --only etcd --stories roll

A cluster of two real nodes is started, and the stories of `roadstead.testing.live_faults` are told on it, with real
servers in containers: first without anything going wrong, then once for each signal, from the moment on at which the
story's first write was answered. Writes benchmarks/results/kubernetes_signals.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import cattrs

from benchmarks.underload import RESULTS
from roadstead.testing.live_faults.stories import STORIES, Story
from roadstead.testing.live_faults.trials import Trial, Verdict, judged
from roadstead.units import Duration
from tests.cluster.cluster import Cluster
from tests.kubernetes.live import Ground, standing_by
from tests.kubernetes.signals import SIGNALS, Signal, real_ground, signalled

FILE: Final = "kubernetes_signals.json"
WRITES: Final = 1
WITHIN: Final = Duration(180_000)
TOLD: Final = ("scale by hand", "roll", "put back what others change", "delete")
"""The stories that go on while the cluster is struck; in a drain, an administrator would be struck as well."""


@attrs.frozen(kw_only=True)
class Row:
    """One line of the table."""

    signal: str
    story: str
    verdict: Verdict


@contextmanager
def at_work() -> Iterator[tuple[Cluster, Ground]]:
    """Yield a cluster of two real nodes, and where stories are told on it."""
    cluster = Cluster.start()
    try:
        for _ in range(2):
            cluster.add_node()
        cluster.wait_ready()
        with (
            cluster.namespace("signals") as namespace,
            tempfile.TemporaryDirectory(prefix="roadstead-models-") as folder,
            real_ground(cluster, namespace, Path(folder)) as ground,
        ):
            standing_by(ground)
            yield cluster, ground
    finally:
        cluster.stop()


def rows(cluster: Cluster, ground: Ground, stories: Sequence[Story], signals: Sequence[Signal]) -> Iterator[Row]:
    """Yield what came of each story with each signal."""
    for story in stories:
        plain = Trial(story=story, furnish=ground.cluster, within=WITHIN)
        right = plain.told()
        if right.wrong:
            raise SystemExit(f"{story.name} does not end well without signals: {right.wrong}")
        writes = WRITES if any(call.sort.value == "write" for call in right.calls) else 0
        for signal in signals:
            trial = attrs.evolve(plain, story=signal.eased(story))
            told = trial.told(signalled(signal, cluster, writes), right)
            cluster.heal()
            yield Row(signal=signal.name, story=story.name, verdict=judged(signal.name, told, right))


def kept(folder: Path, stories: Sequence[str]) -> list[Row]:
    """Return the lines of an earlier run about other stories than these."""
    file = folder / FILE
    record = json.loads(file.read_text()) if file.is_file() else {"rows": []}
    return [row for row in cattrs.structure(record["rows"], list[Row]) if row.story not in stories]


# ---- what is printed ----

_HEAD: Final = (
    "| what was done | story | wrong | lost | twice | orphaned | extra | s |",
    "|---|---|---:|---:|---:|---:|---:|---:|",
)
_LEGEND: Final = (
    "A signal is sent when the first write of the story was answered, and what it stops is back after the time that"
    " is named. A telling is wrong where one of the promises of [kubernetes_faults.md](kubernetes_faults.md) is"
    " broken, the floor among them: a server that has answered counts until it is told to stop or ends. Where a node is"
    " given up, the servers on it count as lost, so that the floor is lower by them. Extra are replicas that were"
    " started and are not without the signal. Seconds are those from the last act until all is at rest, the signal's"
    " own time included."
)


def page(found: Sequence[Row], seconds: float, command: str) -> str:
    """Return what was found, in Markdown."""
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    wrong = [row for row in found if row.verdict.violations]
    verdicts = [row.verdict for row in found]
    busy = f"The machine was busy with other things as well (load {os.getloadavg()[2]:.0f})."
    counts = (
        f"{len(found)} tellings, {sum(one.applied for one in verdicts)} signals really sent, {len(wrong)} wrong, "
        f"{sum(one.lost for one in verdicts)} replicas lost, {sum(one.duplicated for one in verdicts)} duplicated, "
        f"{sum(one.orphaned for one in verdicts)} orphaned; {seconds:.0f} s."
    )
    parts = (
        "# Processes of a cluster that are stopped and killed: what came of it",
        f"Made by `{command}` on {machine}, with two real nodes that share it. {busy} {_LEGEND}",
        counts,
        "\n".join((*_HEAD, *map(_line, found))),
        "## What went wrong\n\n"
        + ("\n".join(f"- {row.signal}, {row.story}: {row.verdict.violations[0][:300]}" for row in wrong) or "Nothing."),
    )
    return "\n\n".join(parts) + "\n"


def _line(row: Row) -> str:
    one = row.verdict
    return (
        f"| {row.signal} | {row.story} | {len(one.violations)} | {one.lost} | {one.duplicated} | {one.orphaned} "
        f"| {one.extra} | {one.recovery:.1f} |"
    )


def main() -> None:
    """Tell, print and write; the exit code says whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="signals with this in their name")
    parser.add_argument("--stories", nargs="*", default=TOLD, help="only these stories; others' lines are kept")
    parser.add_argument("--into", type=Path, default=RESULTS, help="the folder that results are written to")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    command = " ".join(("python -m benchmarks.kubernetes_signals", *sys.argv[1:]))
    began, found = time.monotonic(), kept(asked.into, asked.stories)
    with at_work() as (cluster, ground):
        signals = [one for one in SIGNALS if asked.only in one.name]
        for row in rows(cluster, ground, [one for one in STORIES if one.name in asked.stories], signals):
            found.append(row)
            print(_line(row), row.verdict.violations, flush=True)
            if not asked.only:
                text = page(found, time.monotonic() - began, command)
                asked.into.joinpath("kubernetes_signals.md").write_text(text)
                record = {"rows": [attrs.asdict(one) for one in found]}
                asked.into.joinpath(FILE).write_text(json.dumps(record) + "\n")
    print(page(found, time.monotonic() - began, command))
    if any(row.verdict.violations for row in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
