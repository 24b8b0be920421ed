"""What `benchmarks.kubernetes_scale` finds, as values, and how it is told in Markdown. Times are in seconds."""

from collections.abc import Callable, Iterable, Iterator
from statistics import median

import attrs

__all__ = ["Asking", "Bound", "Cost", "Found", "Looked", "Rest", "Size", "Vanished", "report"]


@attrs.frozen(kw_only=True)
class Cost:
    """What something took on the wall, of CPU, resident memory (MB) at the end of it, and writes to the API server."""

    wall: float
    cpu: float
    rss: float
    writes: int = 0


@attrs.frozen(kw_only=True)
class Looked:
    """What the backend alone costs: the first look, with memory (MB) beyond the imports, and looks after that.

    ``nothing`` and ``one`` are medians (s of CPU of this thread): of looks when nothing changed, and when one pod did.
    """

    first: Cost
    peak: float
    objects: int
    nothing: float
    one: float


@attrs.frozen(kw_only=True)
class Asking:
    """How often one kind of thing was asked."""

    verb: str
    resource: str
    count: int
    is_write: bool


@attrs.frozen(kw_only=True)
class Rest:
    """What was asked in so many ``seconds`` in which nothing happened, and the CPU that the daemon used."""

    seconds: float
    cpu: float
    asked: tuple[Asking, ...]

    @property
    def writes(self) -> int:
        """How many of them would have changed something."""
        return sum(one.count for one in self.asked if one.is_write)


@attrs.frozen(kw_only=True)
class Vanished:
    """What became of the pods of nodes that fell silent, in seconds from then on.

    ``given_up``: the first pod was given up by the control plane, which waits on purpose. ``replaced``: as many pods as
    asked for are ready again. ``settled``: the daemon says so. ``writes`` of ours there were in between.
    """

    nodes: int
    pods: int
    given_up: float
    replaced: float
    settled: float
    writes: int
    cpu: float


@attrs.frozen(kw_only=True)
class Bound:
    """How fast ``who`` gave nodes to pods that all waited: from its being let go to the last; ``cpu`` is its own."""

    who: str
    pods: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Pods a second."""
        return self.pods / self.wall


@attrs.frozen(kw_only=True)
class Size:
    """Everything at one size; reactions are seconds from the event to our write.

    Where the pods were only written, and no controller ran, there is nothing of what controllers have a part in.
    """

    nodes: int
    pods: int
    deployments: int
    load: float
    synced: Cost
    looked: Looked
    rest: Rest
    scaled_back: tuple[float, ...]
    deployed: Cost | None = None
    seen_slot: tuple[float, ...] = ()
    bound_again: tuple[float, ...] = ()
    vanished: Vanished | None = None
    bound: tuple[Bound, ...] = ()


@attrs.frozen(kw_only=True)
class Found:
    """All sizes, smallest first, and the machine."""

    machine: str
    sizes: tuple[Size, ...]


# ---- in words ----


def report(found: Found) -> str:
    """Return what was found, in Markdown."""
    loads = ", ".join(f"{one.load:.1f}" for one in found.sizes)
    how = (
        f"`python -m benchmarks.kubernetes_scale` on {found.machine}, whose load before each size was {loads}. Real "
        "etcd, API server, controllers and scheduler, stand-in nodes, one daemon with two clusters on them (native and "
        "directed), all on that machine: CPU seconds say more than seconds on the wall. What is asked of the API "
        "server is from its audit log. The control plane's own limits on its rate are lifted. Where there is a dash, "
        "pods were written as a kubelet leaves them, for its controllers would have taken too long on this machine; "
        "they come back before nodes vanish. A node is given up once five of its reports are missing: after 100 s, and "
        "where pods were written after 200 s."
    )
    lines = [
        "# One Kubernetes cluster, many nodes",
        "",
        how,
        "",
        *_table("", (f"{one.nodes} nodes, {one.pods} pods" for one in found.sizes), _rows(found.sizes)),
        "## At rest",
        "",
        *(line for one in found.sizes for line in _at_rest(one)),
        "## Who binds how fast",
        "",
        "All pods wait before who binds them is let go; the pods and nodes are of one kind, in the same run.",
        "",
        *_bound(found.sizes),
    ]
    return "\n".join(lines)


def _rows(sizes: tuple[Size, ...]) -> Iterator[tuple[str, list[str]]]:
    def row(name: str, cell: Callable[[Size], str | None]) -> tuple[str, list[str]]:
        return name, [cell(one) or "-" for one in sizes]

    yield row("deployments", lambda one: str(one.deployments))
    yield row("all from nothing: until settled (s)", lambda one: _made(one, lambda made: f"{made.wall:.0f}"))
    yield row("... writes of ours, CPU of the daemon (s)", lambda one: _made(one, _effort))
    yield row("a daemon starts: first request until settled (s)", lambda one: f"{one.synced.wall:.1f}")
    yield row("... its CPU with its imports (s)", lambda one: f"{one.synced.cpu:.1f}")
    yield row("... its memory (MB)", lambda one: f"{one.synced.rss:.0f}")
    yield row("first look of the backend alone (s)", lambda one: f"{one.looked.first.wall:.2f}")
    yield row("... its CPU (s)", lambda one: f"{one.looked.first.cpu:.2f}")
    yield row("... memory of all it keeps (MB)", lambda one: f"{one.looked.first.rss:.0f}")
    yield row("... at the peak (MB)", lambda one: f"{one.looked.peak:.0f}")
    yield row("a look when nothing changed, CPU (ms)", lambda one: f"{one.looked.nothing * 1e3:.2f}")
    yield row("a look when one pod changed, CPU (ms)", lambda one: f"{one.looked.one * 1e3:.2f}")
    yield row("somebody scales a group: until our write (ms)", lambda one: _spread(one.scaled_back))
    yield row("a pod dies: until its successor is there (ms)", lambda one: _spread(one.seen_slot))
    yield row("... from then until we bind it (ms)", lambda one: _spread(one.bound_again))
    yield row("nodes that vanish, pods on them", lambda one: _lost(one, lambda lost: f"{lost.nodes}, {lost.pods}"))
    yield row("... until the first is given up (s)", lambda one: _lost(one, lambda lost: f"{lost.given_up:.0f}"))
    yield row("... until all are replaced and ready (s)", lambda one: _lost(one, lambda lost: f"{lost.replaced:.0f}"))
    yield row("... until the daemon says settled (s)", lambda one: _lost(one, lambda lost: f"{lost.settled:.0f}"))
    yield row("... writes of ours, CPU of the daemon (s)", lambda one: _lost(one, _effort))


def _made(one: Size, told: Callable[[Cost], str]) -> str | None:
    return told(one.deployed) if one.deployed is not None else None


def _lost(one: Size, told: Callable[[Vanished], str]) -> str | None:
    return told(one.vanished) if one.vanished is not None else None


def _effort(one: Cost | Vanished) -> str:
    return f"{one.writes}, {one.cpu:.1f}"


def _spread(seconds: tuple[float, ...]) -> str | None:
    return f"{median(seconds) * 1e3:.0f} (at most {max(seconds) * 1e3:.0f})" if seconds else None


def _at_rest(one: Size) -> Iterator[str]:
    rest = one.rest
    yield (
        f"{one.pods} pods, {rest.seconds:.0f} s: **{rest.writes} writes**, {rest.cpu:.1f} s of CPU, "
        f"{sum(each.count for each in rest.asked) / rest.seconds:.2f} requests a second in all:"
    )
    yield ""
    yield from (f"- {each.count} {each.verb} {each.resource}" for each in rest.asked)
    yield ""


def _bound(sizes: tuple[Size, ...]) -> Iterator[str]:
    yield "| nodes | who | pods | took (s) | pods/s | its CPU (ms for each) |"
    yield "|---:|---|---:|---:|---:|---:|"
    for size in sizes:
        for one in size.bound:
            each = one.cpu / one.pods * 1e3
            yield f"| {size.nodes} | {one.who} | {one.pods} | {one.wall:.1f} | {one.rate:.0f} | {each:.1f} |"
    yield ""


def _table(first: str, heads: Iterable[str], rows: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    heads = list(heads)
    yield f"| {first} | {' | '.join(heads)} |"
    yield f"|---|{'---:|' * len(heads)}"
    yield from (f"| {name} | {' | '.join(cells)} |" for name, cells in rows)
    yield ""
