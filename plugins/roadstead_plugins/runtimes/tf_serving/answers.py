"""What a server answered about its model, whatever it was asked by, and what that means for one version. Pure."""

from __future__ import annotations

import attrs

from roadstead.world import ModelStatus

__all__ = ["Answer", "NoAnswer", "Verdict", "VersionState", "verdict"]


@attrs.frozen(kw_only=True)
class VersionState:
    """One version's state by TensorFlow Serving's name for it, and the error that it ended with, if it did."""

    version: int
    state: str
    error: str = ""


@attrs.frozen
class NoAnswer:
    """The server did not answer, or not as one of ours would; ``text`` says how. ``late``: the time was over."""

    text: str
    late: bool = False


Answer = tuple[VersionState, ...] | NoAnswer
"""Every version that the server knows of, or none where it does not know the model."""


@attrs.frozen(kw_only=True)
class Verdict:
    """What an answer means for the version that is wanted, and which versions can be asked for predictions."""

    status: ModelStatus
    versions: tuple[int, ...] = ()
    error: str = ""


def verdict(answer: Answer, version: int) -> Verdict:
    """Return what the answer means for ``version``.

    A version that the server does not know (yet) is loading: its folder may still come. How long that may take is the
    caller's to say.
    """
    if isinstance(answer, NoAnswer):
        return Verdict(status=ModelStatus.UNKNOWN, error=answer.text)
    available = tuple(sorted(entry.version for entry in answer if entry.state == "AVAILABLE"))
    wanted = next((entry for entry in answer if entry.version == version), None)
    if wanted is None:
        there = f"; it serves {', '.join(map(str, available))}" if available else ""
        return Verdict(
            status=ModelStatus.LOADING, versions=available, error=f"the server knows no version {version}{there}"
        )
    if wanted.state == "AVAILABLE":
        return Verdict(status=ModelStatus.AVAILABLE, versions=available)
    if wanted.error:
        return Verdict(status=ModelStatus.FAILED, versions=available, error=wanted.error)
    return Verdict(
        status=ModelStatus.LOADING, versions=available, error=f"version {version} is in state {wanted.state}"
    )
