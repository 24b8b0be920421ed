"""Load that rises and falls, and the replicas that follow it, with the quickstart's model behind a real gateway.

    python -m benchmarks.scale_under_load     # some minutes; writes benchmarks/results/scale_under_load.{json,svg}

A fleet of its own in a temporary folder: one server of MiniLM behind Envoy, scaled by requests per second from 1 to 4.
`roadstead load` sends a little all the time and much in between, and checks each answer. The rates are low on purpose:
what is shown is that every request is answered while replicas come and go, on a machine that need not be fast. The
picture has the load as the gateway counts it, how many replicas are wanted, and how many serve.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import attrs

from benchmarks.fleet import Stage, running, until
from benchmarks.load_told import result, sending, sent
from configs.minilm.workload import write
from roadstead.act.events import EventKind

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
NAME: Final = "minilm"
EVERY: Final = 0.5
LITTLE: Final = 3.0
MUCH: Final = 17.0
FOR_EACH: Final = 5
BEFORE: Final = 15.0

FLEET: Final = """
    version: 1
    fleet: scaling
    clusters:
      here: {{backend: local, options: {{model_roots: ["{model}"]}}}}
    gateways:
      edge: {{kind: envoy, ports: 18420-18429}}
    deployments:
      minilm:
        model: {{source: "{model}"}}
        resources: {{cpu: 400m, memory: 1Gi}}
        stop: {{drain_within: 10s}}
        health: {{start_within: 5m}}
        autoscaling:
          min: 1
          max: 4
          metrics: [{{requests_per_second: {for_each}}}]
          window: {{stable: 20s, panic: 4s, scale_down_after: 20s}}
    daemon: {{http: "{http}", state: "{state}", turn: 2s}}
"""


@attrs.frozen(kw_only=True)
class Moment:
    """How it was ``at`` so many seconds after the beginning; ``None`` where that was not known."""

    at: float
    rate: float | None
    wanted: int
    serving: int | None


@attrs.frozen(kw_only=True)
class Found:
    """What became of all requests, when things happened (seconds after the beginning), and how it was in between."""

    sent: int
    ok: int
    failed: int
    missing: int
    failures: Mapping[str, int]
    rose_at: float
    four_serve_at: float
    fell_at: float
    one_left_at: float
    decisions: tuple[str, ...]
    last_decision: tuple[str, ...]
    moments: tuple[Moment, ...]


@attrs.define
class Watch:
    """Looks at the deployment all the time, from a thread."""

    stage: Stage
    began: float = attrs.field(factory=time.monotonic)
    moments: list[Moment] = attrs.field(factory=list)
    _over: threading.Event = attrs.field(factory=threading.Event, init=False)

    def run(self) -> None:
        """Look until it is over."""
        while not self._over.wait(EVERY):
            found = self.stage.deployment(NAME)
            if found is not None:
                self.moments.append(
                    Moment(
                        at=round(time.monotonic() - self.began, 2),
                        rate=found.load.rate,
                        wanted=found.wanted,
                        serving=found.serving,
                    )
                )

    def until(self, count: int, within: float) -> float:
        """Wait until so many are wanted and serve, and no other is left; return when, in seconds."""

        def look() -> bool:
            found = self.stage.deployment(NAME)
            return found is not None and found.wanted == found.serving == len(found.replicas) == count

        until(look, every=EVERY, within=within)
        return time.monotonic() - self.began

    def stop(self) -> None:
        """Look no more."""
        self._over.set()


def measure(model: Path, work: Path, patience: float) -> Found:
    """Let the load rise and fall, and return what was seen."""
    requests, expected = write(work, count=50, versions=(1,))
    files = ("--requests", str(requests), "--expect", str(expected), "-o", "json")
    with running(FLEET, model=model, for_each=FOR_EACH) as stage:
        until(lambda: (found := stage.deployment(NAME)) is not None and found.serving == 1)
        watch = Watch(stage)
        thread = threading.Thread(target=watch.run)
        thread.start()
        loads = []
        try:
            little = ("--rate", f"{LITTLE}", "--connections", "4", "--duration", f"{3 * patience:.0f}s")
            loads.append(sending(stage.start("load", NAME, *files, *little)))
            time.sleep(BEFORE)
            rose = time.monotonic() - watch.began
            much = ("--rate", f"{MUCH}", "--connections", "8", "--duration", f"{patience:.0f}s")
            loads.append(sending(stage.start("load", NAME, *files, *much)))
            up = watch.until(4, within=patience)
            burst = sent(result(loads[-1]))
            fell = time.monotonic() - watch.began
            down = watch.until(1, within=patience)
            time.sleep(BEFORE)
            watch.stop()
            steady = sent(result(loads[0]))
        finally:
            watch.stop()
            thread.join()
        told = stage.client.events(since=0, follow=False, deployment=NAME)
        decisions = tuple(one.text for one in told if one.kind is EventKind.SCALED)
        replay = stage.must("why", NAME, "--at", "0s")
    return Found(
        sent=burst.sent + steady.sent,
        ok=burst.ok + steady.ok,
        failed=burst.failed + steady.failed,
        missing=burst.missing + steady.missing,
        failures={**burst.failures, **steady.failures},
        rose_at=round(rose, 1),
        four_serve_at=round(up, 1),
        fell_at=round(fell, 1),
        one_left_at=round(down, 1),
        decisions=decisions,
        last_decision=tuple(replay.splitlines()),
        moments=tuple(watch.moments),
    )


# ---- the picture ----

_WIDTH, _HEIGHT, _LEFT, _TOP = 900, 360, 60, 30


def picture(moments: Sequence[Moment], title: str) -> str:
    """Return the load, what was wanted and what served over time, as SVG."""
    end = max(one.at for one in moments)
    peak = max(1.0, *(one.rate or 0.0 for one in moments))

    def points(values: Sequence[tuple[float, float]], top: float) -> str:
        across, up = (_WIDTH - 2 * _LEFT) / end, (_HEIGHT - 2 * _TOP - 30) / top
        return " ".join(f"{_LEFT + at * across:.1f},{_HEIGHT - _TOP - 30 - value * up:.1f}" for at, value in values)

    def steps(values: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
        return [pair for (at, _), (then, value) in pairwise(values) for pair in ((at, value), (then, value))]

    rate = points([(one.at, one.rate) for one in moments if one.rate is not None], peak)
    wanted = points(steps([(one.at, one.wanted) for one in moments]), 4.5)
    serving = points(steps([(one.at, one.serving) for one in moments if one.serving is not None]), 4.5)
    base = _HEIGHT - _TOP - 30
    ticks = "".join(
        f'<text x="{_LEFT + at * (_WIDTH - 2 * _LEFT) / end:.0f}" y="{base + 18}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(end) + 1, 30)
    )
    counts = "".join(
        f'<text x="{_WIDTH - _LEFT + 8}" y="{base - count * (base - _TOP) / 4.5 + 4:.0f}">{count}</text>'
        for count in range(1, 5)
    )
    head = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {head}>
<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>
<text x="{_LEFT}" y="18" font-size="14">{title}</text>
<polyline fill="none" stroke="#999" points="{_LEFT},{base} {_WIDTH - _LEFT},{base}"/>
<polyline fill="none" stroke="#bbb" stroke-width="1.5" points="{rate}"/>
<polyline fill="none" stroke="#d55e00" stroke-width="2" stroke-dasharray="6 3" points="{wanted}"/>
<polyline fill="none" stroke="#0072b2" stroke-width="2" points="{serving}"/>
{ticks}{counts}
<text x="8" y="{_TOP + 10}">{peak:.0f}/s</text>
<g transform="translate({_LEFT},{_HEIGHT - 14})"><text fill="#888">requests per second (left)</text>
<text x="220" fill="#d55e00">wanted (right)</text><text x="340" fill="#0072b2">serving (right)</text></g>
</svg>
"""


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "minilm")
    parser.add_argument("--patience", type=float, default=120.0, help="how long each change may take (default: 120 s)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roadstead-") as work:
        found = measure(given.model.absolute(), Path(work), given.patience)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "scale_under_load.json").write_text(json.dumps(attrs.asdict(found), indent=1) + "\n")
    title = f"{NAME}: {found.sent} requests, {found.failed} failed"
    (given.results / "scale_under_load.svg").write_text(picture(found.moments, title))
    print(json.dumps(attrs.asdict(attrs.evolve(found, moments=())), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
