"""What a shim is told: the server's command, its limits, its log and its back-off. Written once, by the daemon."""

from typing import Any, NamedTuple

from roadstead.shim.backoff import Backoff
from roadstead.shim.cgroup import ReplicaCgroup

SPEC_FILE = "spec.json"
FORMAT = 1


class Address(NamedTuple):
    """A TCP address that must be free before the server is started."""

    host: str
    port: int


class LogBounds(NamedTuple):
    """The log never takes more than ``size`` bytes times ``files``, and no more than ``rate`` bytes a second."""

    size: int = 8 << 20
    files: int = 4
    rate: int = 8 << 20


class Limits(NamedTuple):
    """How the server is held to its share of the machine.

    ``cgroup`` limits by itself. Without one, ``affinity`` (processor numbers; empty: all) stands for the processor
    limit, and ``watched_memory`` (bytes) is what the shim itself watches and answers with SIGKILL.
    """

    cgroup: ReplicaCgroup | None = None
    affinity: tuple[int, ...] = ()
    watched_memory: int | None = None


class ShimSpec(NamedTuple):
    """Everything that one shim needs.

    ``prepare`` are commands that must succeed before each start of the server, under the same limits and into the same
    log. ``env`` is the whole environment but for ``secrets``: pairs of a name and a reference (``file:PATH`` or
    ``env:NAME`` of the shim's own environment) that is looked up at each start, so that no secret lies in this file.
    ``kill_after`` is the grace in seconds when no request names one. ``wake`` is the path of the named pipe that tells
    a daemon about changes.
    """

    replica: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    prepare: tuple[tuple[str, ...], ...] = ()
    addresses: tuple[Address, ...] = ()
    limits: Limits = Limits()
    log: LogBounds = LogBounds()
    backoff: Backoff = Backoff()
    kill_after: float = 5.0
    wake: str | None = None


def spec_to_json(spec: ShimSpec) -> dict[str, Any]:
    """Return a spec as JSON values."""
    limits = spec.limits
    return {
        "format": FORMAT,
        "replica": spec.replica,
        "argv": list(spec.argv),
        "env": dict(spec.env),
        "secrets": dict(spec.secrets),
        "cwd": spec.cwd,
        "prepare": [list(command) for command in spec.prepare],
        "addresses": [address._asdict() for address in spec.addresses],
        "limits": {
            "cgroup": None if limits.cgroup is None else limits.cgroup._asdict(),
            "affinity": list(limits.affinity),
            "watched_memory": limits.watched_memory,
        },
        "log": spec.log._asdict(),
        "backoff": spec.backoff._asdict(),
        "kill_after": spec.kill_after,
        "wake": spec.wake,
    }


def spec_from_json(value: dict[str, Any]) -> ShimSpec:
    """Return the spec that JSON values say.

    Raises ``ValueError`` for another format, ``KeyError`` or ``TypeError`` for a field that is missing or unknown.
    """
    if value["format"] != FORMAT:
        raise ValueError(f"spec has format {value['format']!r}, not {FORMAT}; start the shim from the same version")
    limits = value["limits"]
    return ShimSpec(
        replica=value["replica"],
        argv=tuple(value["argv"]),
        env=tuple(sorted(value["env"].items())),
        secrets=tuple(sorted(value["secrets"].items())),
        cwd=value["cwd"],
        prepare=tuple(tuple(command) for command in value["prepare"]),
        addresses=tuple(Address(**address) for address in value["addresses"]),
        limits=Limits(
            cgroup=None if limits["cgroup"] is None else ReplicaCgroup(**limits["cgroup"]),
            affinity=tuple(limits["affinity"]),
            watched_memory=limits["watched_memory"],
        ),
        log=LogBounds(**value["log"]),
        backoff=Backoff(**value["backoff"]),
        kill_after=value["kill_after"],
        wake=value["wake"],
    )
