"""What `benchmarks.healing` finds, as values, and how it is told in Markdown. Times are in seconds."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs


@attrs.frozen(kw_only=True)
class Healed:
    """One killed server: how long after its death each of these was true.

    ``started``: its shim had recorded a new process. ``unlisted``: the daemon no longer offered it to clients.
    ``available``: the new server said that its model is. ``answers``: it answered a ``Predict``. ``listed``: the daemon
    offered it again.
    """

    started: float
    unlisted: float
    available: float
    answers: float
    listed: float


@attrs.frozen(kw_only=True)
class Wait:
    """One crash of a row: how long the shim waited before the next start, and how long it was to wait."""

    crash: int
    meant: float
    waited: float


@attrs.frozen(kw_only=True)
class Kills:
    """Servers killed one by one, each after its last crash was forgotten, and then one as soon as it started."""

    good_run: float
    each: tuple[Healed, ...]
    events: str
    row: tuple[Wait, ...]
    why: str


@attrs.frozen(kw_only=True)
class Served:
    """What clients got meanwhile; ``slowest`` is the longest that one answer took."""

    answered: int
    failures: tuple[str, ...]
    slowest: float


@attrs.frozen(kw_only=True)
class Adopted:
    """One killed daemon.

    ``alone`` is how long there was none. From the start of the next one: ``told``, the command had returned;
    ``listed``, it offered every replica to clients.
    """

    alone: float
    told: float
    listed: float
    servers: tuple[int, ...]
    servers_after: tuple[int, ...]
    served: Served


@attrs.frozen(kw_only=True)
class Replaced:
    """One killed shim: how long until another one had the server, and which process that was, before and after."""

    adopted: float
    server: int
    server_after: int
    served: Served


@attrs.frozen(kw_only=True)
class OutOfMemory:
    """A server that twice needed more memory than it may have, while no daemon ran; memory is in bytes.

    ``kills`` is the kernel's count, ``restarts`` the one that the next daemon tells.
    """

    rows: int
    tokens: int
    limit: int
    peak: int
    kills: int
    healed: tuple[float, ...]
    restarts: int
    why: str
    why_later: str
    events: str


@attrs.frozen(kw_only=True)
class Spun:
    """A server that was given more work than its processor limit allows; use and limit are in cores.

    ``each_second`` is from the control group, ``by_process`` the mean by the process' own times. ``held_back`` is the
    time that the kernel held threads back, over the time of the measurement: more than one thread can wait at once.
    """

    clients: int
    rows: int
    seconds: float
    limit: float
    mean: float
    each_second: tuple[float, ...]
    by_process: float
    held_back: float
    sentences_per_second: float
    status: str
    why: str


@attrs.frozen(kw_only=True)
class OverQuota:
    """A third replica asked for where the quota is full with two."""

    plan: str
    plan_code: int
    apply: str
    apply_code: int
    why: str
    servers: tuple[int, ...]
    servers_after: tuple[int, ...]
    served: Served


@attrs.frozen(kw_only=True)
class Found:
    """Everything; ``load`` is the machine's load average over a minute after each part.

    ``look_every`` is the time between two looks at the same thing.
    """

    machine: str
    cpu: str
    look_every: float
    took: float
    load: dict[str, float]
    kills: Kills
    shims: tuple[Replaced, ...]
    daemons: tuple[Adopted, ...]
    memory: OutOfMemory
    spun: Spun
    quota: OverQuota


_WHAT: Final = {
    "started": "replacement process started",
    "unlisted": "no longer listed",
    "available": "model AVAILABLE again",
    "answers": "`Predict` answered again",
    "listed": "listed again",
}


def spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Return median, 90th percentile and maximum."""
    found = list(values)
    if len(found) < 2:
        return found[0], found[0], found[0]
    return statistics.median(found), statistics.quantiles(found, n=10, method="inclusive")[8], max(found)


def row(what: str, values: Iterable[float], *, digits: int = 3) -> str:
    """Return one line of a table of times."""
    return f"| {what} | " + " | ".join(f"{value:.{digits}f}" for value in spread(values)) + " |"


def report(found: Found) -> str:
    """Return everything as text."""
    return "\n\n".join(
        (
            f"""# Killed, starved and refused: measured

Made by `python -m benchmarks.healing` in {found.took:.0f} s on {found.machine}. Two replicas of MiniLM in the
embedded server, each at {found.cpu} of CPU and 1Gi, under a daemon of their own. The machine was not ours alone: its
load is in the last table. Times are in seconds, from the death of what was killed unless another beginning is named;
what can only be seen by looking was looked at every {found.look_every:g} s.""",
            _kills(found.kills),
            _shims(found.shims),
            _daemons(found.daemons),
            _memory(found.memory),
            _spun(found.spun),
            _quota(found.quota),
            _load(found.load),
        )
    )


def _kills(kills: Kills) -> str:
    table = "\n".join(row(what, (getattr(one, name) for one in kills.each)) for name, what in _WHAT.items())
    waits = "\n".join(f"| {one.crash} | {one.meant:g} | {one.waited:.3f} |" for one in kills.row)
    return f"""## `kill -9` of a server

{len(kills.each)} kills, one replica and then the other. Each was killed only when its last crash was forgotten (a run
of {kills.good_run:g} s), so that no wait of the back-off is in these times; the row below shows the waits.

| | p50 | p90 | max |
|---|---:|---:|---:|
{table}

A listed server has not run its model yet, so the first answer, which is asked for here at once, comes later than the
ones after it.

What `roadstead events` tells of one:

{quoted(kills.events)}

The same server killed as soon as it had started, again and again:

| crash in a row | wait meant | death to next start |
|---:|---:|---:|
{waits}

`roadstead why` during the last wait:

{quoted(kills.why)}"""


def _shims(shims: Sequence[Replaced]) -> str:
    same = sum(one.server == one.server_after for one in shims)
    return f"""## `kill -9` of a shim

{len(shims)} kills, while a client asks the server all the time. Same server process afterwards: {same} of {len(shims)}.
{told(one.served for one in shims)}

| | p50 | p90 | max |
|---|---:|---:|---:|
{row("another shim has the server", (one.adopted for one in shims))}"""


def _daemons(daemons: Sequence[Adopted]) -> str:
    same = sum(one.servers == one.servers_after for one in daemons)
    alone = statistics.median(one.alone for one in daemons)
    return f"""## `kill -9` of the daemon

{len(daemons)} kills, each followed by {alone:.1f} s without a daemon and then `roadstead daemon start --background`,
while a client for each replica asks all the time. Same server processes afterwards: {same} of {len(daemons)}
(such as {daemons[0].servers} and {daemons[0].servers_after}). {told(one.served for one in daemons)}

| from the start of the next daemon | p50 | p90 | max |
|---|---:|---:|---:|
{row("the command has returned", (one.told for one in daemons))}
{row("every replica is adopted and listed", (one.listed for one in daemons))}"""


def _memory(memory: OutOfMemory) -> str:
    healed = " and ".join(f"{one:.2f} s" for one in memory.healed)
    return f"""## Out of memory while no daemon runs

A third replica may have {mebibytes(memory.limit)}. With the daemon killed, a request of {memory.rows} x {memory.tokens}
tokens makes its server want more, twice. Its shim brought it back without a daemon.

| | |
|---|---:|
| memory limit | {mebibytes(memory.limit)} |
| most that its control group ever held | {mebibytes(memory.peak)} ({memory.peak / memory.limit:.1%}) |
| kills that the kernel counts | {memory.kills} |
| model AVAILABLE again after each | {healed} |
| restarts that the next daemon tells | {memory.restarts} |

What `roadstead why` says as soon as the next daemon runs:

{quoted(memory.why)}

and when the row of crashes is over:

{quoted(memory.why_later)}

and `roadstead events`, which of deaths that no daemon saw knows the last:

{quoted(memory.events)}"""


def _spun(spun: Spun) -> str:
    return f"""## More work than the processor limit allows

{spun.clients} clients send batches of {spun.rows} sentences to one replica for {spun.seconds:.0f} s
({spun.sentences_per_second:.1f} sentences a second were answered).

| cores | |
|---|---:|
| limit | {spun.limit:.3f} |
| used, mean, by the control group | {spun.mean:.3f} ({spun.mean / spun.limit:.1%}) |
| used, mean, by the process' own times | {spun.by_process:.3f} |
| used, the highest second | {max(spun.each_second):.3f} |
| held back by the kernel, seconds of threads a second | {spun.held_back:.3f} |

`roadstead status` meanwhile:

{quoted(spun.status)}

and `roadstead why`:

{quoted(spun.why)}"""


def _quota(quota: OverQuota) -> str:
    same = "the same" if quota.servers == quota.servers_after else "NOT the same"
    return f"""## A full quota

The owner may hold 800m and two replicas hold it; the file is changed to three. The servers before and after,
{quota.servers} and {quota.servers_after}, are {same}. {told([quota.served])}

`roadstead plan --detailed-exitcode` ends with {quota.plan_code}:

{quoted(quota.plan)}

`roadstead apply --yes` ends with {quota.apply_code}:

{quoted(quota.apply)}

`roadstead why`:

{quoted(quota.why)}"""


def _load(load: Mapping[str, float]) -> str:
    table = "\n".join(f"| {part} | {average:.2f} |" for part, average in load.items())
    return f"""## The machine meanwhile

| after | load average, one minute |
|---|---:|
{table}
"""


def told(each: Iterable[Served]) -> str:
    """Return what clients got, in a sentence."""
    found = list(each)
    answered, failed = sum(one.answered for one in found), sum(len(one.failures) for one in found)
    slowest = max(one.slowest for one in found)
    return f"Requests answered meanwhile: {answered}, failed: {failed}; the slowest took {slowest:.2f} s."


def quoted(text: str) -> str:
    """Return what a command said, as a block."""
    return f"```\n{text}\n```"


def mebibytes(amount: int) -> str:
    """Return bytes as people read them."""
    return f"{amount / 2**20:.0f}Mi"
