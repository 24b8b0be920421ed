"""What `roadstead load` tells whoever measures with it: that it sends, and what became of what it sent.

Both come over one pipe, its words between them: ``-o json`` puts what it found, or why it ended without, on stdout.
"""

import json
import subprocess
from collections.abc import Iterator
from statistics import median
from typing import Any, Final

from benchmarks.underload_report import Sent, Stretch

__all__ = ["result", "sending", "sent", "stretch"]

_SENDS: Final = "of warm-up, then"
"""What it says when it is connected, and sends its first request."""


def sending(process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    """Wait until a load sends, and return it.

    Until then nothing may be broken: a server that goes away while a load connects ends it, and fails no request.
    """
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if _SENDS in line:
            return process
        said.append(line)
    process.communicate()
    raise SystemExit(f"roadstead load ended with {process.returncode} before it sent anything:\n{''.join(said)}")


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for a load to end and return what it found; one that found nothing ends everything, with its words."""
    out, _ = process.communicate()
    for found in _objects(out):
        if "counts" in found:
            return found
    raise SystemExit(f"roadstead load ended with {process.returncode}, and found nothing:\n{out}")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects in JSON that stand in a text, among words of which none is known."""
    start = text.find("{")
    while start >= 0:
        try:
            found, end = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            end = start + 1
        else:
            yield found
        start = text.find("{", end)


def sent(found: dict[str, Any]) -> Sent:
    """Return the accounts of a load, its warm-up included."""
    counts, before = found["counts"], found["warm_up"]
    failures: dict[str, int] = {}
    for one in (*counts["failures"], *before["failures"]):
        failures[one["code"]] = failures.get(one["code"], 0) + one["count"]
    return Sent(
        sent=counts["sent"] + before["sent"],
        ok=counts["ok"] + before["ok"],
        failed=counts["failed"] + before["failed"],
        missing=counts["in_flight"] + before["in_flight"],
        failures=failures,
        versions={str(one["version"]): one["count"] for one in counts["versions"]},
    )


def stretch(found: dict[str, Any], since: float, until_: float) -> Stretch:
    """Return what clients saw between two moments of a load, in seconds after its measurement began."""
    rows = [row for row in found["timeline"] if since <= row["at"] < until_ and row["p50"] is not None]
    if not rows:
        return Stretch(p50=None, p99=None, worst=None)
    return Stretch(
        p50=median(row["p50"] for row in rows),
        p99=median(row["p99"] for row in rows),
        worst=max(row["max"] for row in rows),
    )
