"""What measurements of a served model under load have in common, whatever its cluster is: stories, and who tells them.

A story happens while `roadstead load` asks the model through its gateway and checks each answer. What belongs here is
the same for every cluster; the scene that stories are told on, and what happens in them, are each measurement's own.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

import attrs

from benchmarks.fleet import Stage, kill, until
from benchmarks.load_told import result, sending, sent
from benchmarks.underload import NAME
from benchmarks.underload_report import Sent
from roadstead.decide.report import DeploymentStatus, RolloutState

__all__ = ["CALM", "Scene", "Story", "Told", "retold", "table", "tellings"]

CALM = 4.0
"""Seconds of load before and after what happens."""


def _to_the_deployment() -> tuple[str, ...]:
    return (NAME,)


@attrs.frozen(kw_only=True)
class Story:
    """Something that ``happens`` under load to so many ``replicas``, and is over within ``lasts`` seconds.

    ``least`` of them serve all the time. ``planned``: not one request may fail. ``to`` makes ready what the load goes
    to, and returns how `roadstead load` is told. What happens may return what else was seen. ``ends`` clears up.
    """

    name: str
    happens: Callable[[], str | None]
    lasts: float
    replicas: int = 2
    least: int = 2
    planned: bool = True
    to: Callable[[], tuple[str, ...]] = _to_the_deployment
    ends: Callable[[], None] = lambda: None


@attrs.frozen(kw_only=True)
class Told:
    """What became of a story: how long it took, in seconds, what its clients got, and what else was ``seen``."""

    name: str
    planned: bool
    rate: float
    took: float
    sent: Sent
    seen: str = ""

    @property
    def late(self) -> int:
        """How many requests were not answered in time."""
        return self.sent.failures.get("DEADLINE_EXCEEDED", 0)


class Scene:
    """A fleet whose deployment begins on the cluster ``home``, and what clients send it, as ``files`` say.

    ``share`` is how much is asked for of what the fewest replicas of a story can answer; ``patience`` is in seconds.
    """

    def __init__(self, stage: Stage, files: tuple[str, ...], *, home: str, share: float, patience: float) -> None:
        self._stage = stage
        self._files = files
        self._home = home
        self._share = share
        self._patience = patience
        self.capacity = 0.0

    # ---- looking ----

    def status(self, name: str = NAME) -> DeploymentStatus | None:
        """Return what the daemon says of a deployment."""
        return self._stage.deployment(name)

    def settled(self, name: str = NAME, *, replicas: int = 2, version: int = 1, on: str = "") -> None:
        """Wait until so many serve that version on one cluster, ``home`` if none is named, and nothing else is left."""
        cluster = on or self._home

        def look() -> bool:
            found = self.status(name)
            return (
                found is not None
                and found.state is RolloutState.SETTLED
                and found.wanted == replicas == found.serving == found.listed == len(found.replicas)
                and all(one.versions == (version,) and one.cluster == cluster for one in found.replicas)
                and all(group.updated == group.target for group in found.groups if group.current)
            )

        until(look, every=0.1, within=self._patience)

    # ---- doing ----

    def edit(self, was: str, now: str) -> None:
        """Save the fleet file with a change."""
        text = self._stage.file.read_text()
        assert was in text, was
        self._stage.file.write_text(text.replace(was, now))

    def say(self, *words: str) -> str:
        """Run a command of ours, and return what it says."""
        return self._stage.must(*words)

    def replace_daemon(self) -> None:
        """Kill the daemon, and start the next one at once."""
        kill(self._stage.daemon())
        self._stage.must("daemon", "start", "--background")

    def scale(self, *counts: int) -> None:
        """Have so many replicas, one count after the other."""
        for replicas in counts:
            self.say("scale", NAME, str(replicas), "--detach")
            self.settled(replicas=replicas)

    def roll(self) -> None:
        """Roll to version 2 and back."""
        for was, now in ((1, 2), (2, 1)):
            self.edit(f"version: {was}}}", f"version: {now}}}")
            self.settled(version=now)

    def migrate(self, cluster: str, killed: float | None) -> None:
        """Move to another cluster and back, with the daemon ``killed`` so many seconds after each was asked for."""
        for words, to in ((("--to", cluster), cluster), (("--undo",), self._home)):
            began = time.monotonic()
            self.say("migrate", NAME, *words, "--detach")
            if killed is not None:
                time.sleep(max(0.0, began + killed - time.monotonic()))
                self.replace_daemon()
            self.settled(on=to)

    # ---- measuring ----

    def load(self, *words: str) -> "subprocess.Popen[str]":
        """Begin to send requests."""
        return self._stage.start("load", *words[:1], *self._files, *words[1:], "-o", "json")

    def measure_capacity(self) -> None:
        """Find out how much two replicas answer at most."""
        self.capacity = result(self.load(NAME, "--concurrency", "16", "--duration", "12s"))["rate"]

    def told(self, story: Story) -> Told:
        """Let it happen under load; what is asked for goes on until it is over."""
        rate = max(1.0, self._share * self.capacity * story.least / 2)
        seconds = 2 * CALM + story.lasts
        words = ("--rate", f"{rate:.2f}", "--connections", "50", "--duration", f"{seconds:.0f}s")
        process = sending(self.load(*story.to(), "--versions", "1,2", *words))
        time.sleep(CALM)
        began = time.monotonic()
        seen = story.happens() or ""
        took = time.monotonic() - began
        if took > story.lasts:
            print(f"    {story.name}: took {took:.1f} s, longer than the load lasts", flush=True)
        counts = sent(result(process))
        story.ends()
        return Told(name=story.name, planned=story.planned, rate=rate, took=took, sent=counts, seen=seen)


def tellings(scene: Scene, stories: Sequence[Story]) -> Iterator[Told]:
    """Yield what became of each story, told one after the other; the first thing is how much can be asked for."""
    if stories:
        scene.measure_capacity()
        print(f"two replicas answer {scene.capacity:.1f} requests a second", flush=True)
    for story in stories:
        scene.scale(story.replicas)
        one = scene.told(story)
        counts = one.sent
        said = f"{counts.sent} sent, {counts.failed} failed {dict(counts.failures)}"
        print(f"{one.name}: {one.took:.1f} s, {said}", flush=True)
        yield one
        scene.settled(replicas=story.replicas)


def retold(before: Sequence[Told], now: Sequence[Told]) -> tuple[Told, ...]:
    """Return all of them, those that were told again as they are now."""
    return tuple({one.name: one for one in (*before, *now)}.values())


def table(found: Sequence[Told]) -> Iterator[str]:
    """Yield what became of them as tables in Markdown: what was planned, and what was not."""
    for planned, head in ((True, "planned"), (False, "not planned")):
        yield f"| {head} | took (s) | requests/s | sent | failed | late | without an answer |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        yield from (_row(one) for one in found if one.planned is planned)
        yield ""


def _row(one: Told) -> str:
    counts = one.sent
    return (
        f"| {one.name} | {one.took:.1f} | {one.rate:.1f} | {counts.sent} | {counts.failed} | {one.late} "
        f"| {counts.missing} |"
    )
