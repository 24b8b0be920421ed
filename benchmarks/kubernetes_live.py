"""What clients see of a model on a real Kubernetes cluster while it is scaled, rolled, moved, drained and broken.

    python -m benchmarks.kubernetes_live    # about half an hour; writes benchmarks/results/kubernetes-live.{json,md}
    python -m benchmarks.kubernetes_live limits GPUs adopted    # only what has these words in its name

A cluster of two real nodes is started (`make test-kubernetes` builds what it consists of), and a daemon with a gateway
beside it. Real servers of two versions of MiniLM run in its containers, under `roadstead load`, which checks each
answer. Then limits and devices are used up, counted in the kernel, and asked about. Run it on a machine that does
nothing else: the nodes share its processors.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import cattrs

from benchmarks.kubernetes_scene import SHARE, at_work
from benchmarks.kubernetes_shown import Shown, claims
from benchmarks.kubernetes_stories import stories
from benchmarks.live import Told, retold, table, tellings
from benchmarks.underload import RESULTS, ROOT


@attrs.frozen(kw_only=True)
class Found:
    """Everything, with the machine that it was found on; ``capacity`` is that of two replicas, in requests a second."""

    machine: str
    capacity: float
    stories: tuple[Told, ...]
    shown: tuple[Shown, ...] = ()


def measure(model: Path, only: Sequence[str]) -> Iterator[Found]:
    """Let everything happen whose name has one of the words ``only`` in it, and yield what is found so far."""

    def asked(name: str) -> bool:
        return not only or any(word in name for word in only)

    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    with at_work(model) as bench:
        found = Found(machine=machine, capacity=0.0, stories=())
        for told in tellings(bench, [story for story in stories(bench) if asked(story.name)]):
            yield (found := attrs.evolve(found, capacity=bench.capacity, stories=(*found.stories, told)))
        bench.scale(1)
        for claim in claims(bench):
            if asked(claim.name):
                shown = claim.shown()
                print(f"{claim.name}: {'; '.join(shown.counted)}", flush=True)
                yield (found := attrs.evolve(found, shown=(*found.shown, shown)))
                bench.settled(replicas=1)


def merged(before: Found, now: Found) -> Found:
    """Return all of them, those that were told again as they are now; the capacity stays that of the whole run."""
    shown = {one.name: one for one in (*before.shown, *now.shown)}
    return attrs.evolve(before, stories=retold(before.stories, now.stories), shown=tuple(shown.values()))


def report(found: Found) -> str:
    """Return what was found, in Markdown."""
    how = (
        f"`python -m benchmarks.kubernetes_live` on {found.machine}: kubelet, containerd and runc on two nodes that "
        "share the machine, servers in containers, behind Envoy. "
        f"Two replicas answer {found.capacity:.0f} requests a second; {SHARE:.0%} of what the fewest replicas of each "
        "story can answer was asked for. Failed: an error, a wrong answer, or none in time (late)."
    )
    lines = [
        "# A model on Kubernetes, under load",
        "",
        how,
        "",
        *table(found.stories),
        *(f"{one.name}: {one.seen}.\n" for one in found.stories if one.seen),
        *(line for one in found.shown for line in _section(one)),
    ]
    return "\n".join(lines)


def _section(shown: Shown) -> Iterator[str]:
    yield f"## {shown.name[0].upper()}{shown.name[1:]}"
    yield ""
    yield from (f"- {one}" for one in shown.counted)
    yield ""
    for said in shown.said:
        yield from (f"{said.when}:", "", "```", said.out, "```", "")


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description="Scale, roll, move, drain and break a model on Kubernetes under load.")
    parser.add_argument("only", nargs="*", help="words in the names of stories; the others' results are kept then")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "minilm")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not all((given.model / str(version) / "saved_model.pb").is_file() for version in (1, 2)):
        parser.error(f"{given.model} lacks a version: `python -m configs.minilm.export --version 2` writes one")
    kept, text = given.results / "kubernetes-live.json", ""
    before = cattrs.structure(json.loads(kept.read_text()), Found) if given.only and kept.exists() else None
    given.results.mkdir(parents=True, exist_ok=True)
    # Kept after each: it takes long, and what comes later may fail.
    for now in measure(given.model.absolute(), given.only):
        found = merged(before, now) if before is not None else now
        text = report(found)
        kept.write_text(json.dumps(attrs.asdict(found), indent=1) + "\n")
        kept.with_suffix(".md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
