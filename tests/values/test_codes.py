"""Reasons and errors: public codes that scripts match on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roadstead import errors
from roadstead.errors import BackendError, Conflict, Retryable, RoadsteadError
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.spi import host


def _all(kind: type[RoadsteadError]) -> Iterator[type[RoadsteadError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.partition(".")[0] in {"roadstead", "roadstead_backends", "roadstead_plugins"}:
            yield from _all(below)


def test_error_codes_never_change() -> None:
    """A script that matches on a code keeps working; codes are added and never given another meaning."""
    known = {getattr(errors, name) for name in errors.__all__} | {host.PluginError}
    assert {
        "RS001": "RoadsteadError",
        "RS010": "StateError",
        "RS011": "Denied",
        "RS020": "PluginError",
        "RS100": "BackendError",
        "RS101": "Retryable",
        "RS102": "Unreachable",
        "RS103": "Conflict",
        "RS104": "Forbidden",
        "RS105": "Rejected",
        "RS106": "OutOfCapacity",
        "RS107": "OutcomeUnknown",
    } == {kind.code: kind.__name__ for kind in known}


def test_no_two_errors_share_a_code() -> None:
    """Among all that is imported by now; a class without a code of its own means its parent's."""
    own = [kind for kind in _all(RoadsteadError) if "code" in vars(kind)]
    assert len(own) == len({kind.code for kind in own})


def test_exit_codes_are_those_that_a_command_may_end_with() -> None:
    """The conventions of the command line hold for every error."""
    assert {1, 3, 65, 69, 77} >= {kind.exit_code for kind in _all(errors.BackendError)} | {host.PluginError.exit_code}


def test_a_backend_error_says_where() -> None:
    """Cluster and object come first; the hint is kept apart from the message."""
    error = Conflict("its version is 3, not 2", cluster="prod", subject="minilm-abc", hint="observe again")
    assert "prod/minilm-abc: its version is 3, not 2" == str(error)
    assert ("prod", "minilm-abc", "observe again") == (error.cluster, error.subject, error.hint)
    assert "prod: gone" == str(BackendError("gone", cluster="prod"))


def test_a_retryable_error_says_when() -> None:
    """What the cluster asked for is passed on, and nothing is invented where it asked for nothing."""
    assert 500 == Retryable("busy", cluster="c", after_ms=500).after_ms
    assert None is Retryable("busy", cluster="c").after_ms


REASONS = [
    "no-capacity",
    "no-matching-node",
    "unsupported",
    "quota",
    "image",
    "config",
    "model",
    "crash",
    "out-of-memory",
    "over-limit",
    "starting",
    "not-ready",
    "back-off",
    "gated",
    "gateway",
    "draining",
    "unreachable",
    "disabled",
    "contested",
    "drift",
    "foreign-owner",
    "rollout-held",
    "rollout-failed",
    "paused",
    "orphaned",
    "lost",
    "unmeasured",
    "refused",
]


def test_the_list_of_reasons_is_closed() -> None:
    """Programs read these words; one is added on purpose or not at all."""
    assert REASONS == [code.value for code in ReasonCode]


def test_changes_are_ordered_by_their_cost() -> None:
    """Waiting costs nothing and fixing the input costs a person's thought: the order is what `why` shows first."""
    changes = [Change(kind, "") for kind in reversed(ChangeKind)]
    assert [
        "WAIT",
        "LOWER_REPLICAS",
        "RAISE_MAX_UNAVAILABLE",
        "LOWER_REQUEST",
        "DROP_CONSTRAINT",
        "RAISE_QUOTA",
        "FREE_ON_NODE",
        "ADD_NODE",
        "FIX_INPUT",
    ] == [change.kind.name for change in sorted(changes)]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason(code=ReasonCode.CRASH, detail="it ended"), "crash: it ended"),
        (Reason(code=ReasonCode.NO_CAPACITY, detail="no room", count=0, total=3), "no-capacity (0/3): no room"),
    ],
)
def test_a_reason_reads_as_code_counts_and_sentence(reason: Reason, expected: str) -> None:
    """Counts are shown where something was counted."""
    assert expected == str(reason)
