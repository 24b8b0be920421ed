"""A proxy between an HTTP client and its server that does, on purpose, what networks and servers do now and then.

One for every backend that speaks HTTP. What belongs here: the faults as values (:mod:`.rules`), and the proxy that
carries them out over real sockets (:mod:`.proxy`). What does not: anything about what goes through, so a refusal's body
is the test's own.

    script = [Rule(LoseReply(), method="POST"), Rule(Cut(after=1_000), path="watch=1", times=3)]
    with FaultProxy("https://127.0.0.1:6443", script, trusts=ca) as proxy:
        client = connect(proxy.url)
        ...

At the end of the ``with`` every rule must have been applied as often as it says: a fault that never happened proves
nothing.
"""

from __future__ import annotations

from roadstead.testing.http_faults.proxy import FaultProxy
from roadstead.testing.http_faults.rules import (
    Applied,
    Cut,
    Delay,
    Exchange,
    Fault,
    Insert,
    LoseReply,
    LoseRequest,
    NotApplied,
    Reply,
    Rule,
    Script,
    Silence,
    Stale,
    Truncate,
)

__all__ = [
    "Applied",
    "Cut",
    "Delay",
    "Exchange",
    "Fault",
    "FaultProxy",
    "Insert",
    "LoseReply",
    "LoseRequest",
    "NotApplied",
    "Reply",
    "Rule",
    "Script",
    "Silence",
    "Stale",
    "Truncate",
]
