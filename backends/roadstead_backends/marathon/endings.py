"""Why a task of ours ended, from what was said of its end, and what would mend it. Pure.

Mesos and its containerizers tell in words, which no version promises. What the words are searched for decides between
codes, and never whether there is a reason; the words themselves are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from roadstead.model import Template
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.world import Exit
from roadstead_backends.marathon.command import UNUSABLE

__all__ = ["ended_reason"]

_NO_PROGRAM: Final = 127
_NO_EXECUTABLE: Final = 126
_KILL: Final = 9

_I: Final = re.IGNORECASE
_WORDS: Final[tuple[tuple[ReasonCode, re.Pattern[str], str], ...]] = (
    (
        ReasonCode.NOT_READY,
        re.compile(r"health check failed", _I),
        "it failed its health check and was killed",
    ),
    (
        ReasonCode.MODEL,
        re.compile(r"failed to fetch|fetch all URIs", _I),
        "its agent could not fetch the model",
    ),
    (
        ReasonCode.IMAGE,
        re.compile(r"\bpull\b|manifest|\bimages?\b|'curl'|registry|repository|provisioner", _I),
        "its agent could not get the image",
    ),
    (
        ReasonCode.LOST,
        re.compile(
            r"(agent|slave|executor) (was |is )?(removed|lost|restarted|terminat|unreachable|marked)", re.IGNORECASE
        ),
        "its agent lost it",
    ),
    (
        ReasonCode.LOST,
        re.compile(r"abnormal executor termination|reconciliation|TASK_(LOST|GONE|DROPPED|UNREACHABLE)", _I),
        "its agent lost it",
    ),
    (
        ReasonCode.CONFIG,
        re.compile(
            r"failed to launch|unknown user|chown|chdir|mount|volume|secret|network|invalid|unauthorized", re.IGNORECASE
        ),
        "its container could not be made",
    ),
)
"""What is looked for in the words, the more telling first: a failed launch says further on what failed."""

_USED: Final = re.compile(r"Maximum Used: ([0-9.]+[KMGT]?B)")


def ended_reason(ended: Exit, template: Template, host: str = "") -> Reason:
    """Return why a task of a group made from ``template`` ended on ``host``, and how that is mended."""
    code, detail = _judged(ended)
    where = f" on {host}" if host else ""
    said = f"{detail}{where}{_waits(code)}"
    return Reason(code=code, detail=said, raw=ended.detail, change=next(_changes(code, ended, template), None))


def _judged(ended: Exit) -> tuple[ReasonCode, str]:
    if ended.out_of_memory:
        used = _USED.search(ended.detail)
        most = f", having used {used[1]}" if used is not None else ""
        return ReasonCode.OUT_OF_MEMORY, f"it was ended at its memory limit{most}"
    if ended.code is not None or ended.signal is not None:
        return _by_status(ended)
    for code, words, detail in _WORDS:
        if words.search(ended.detail):
            return code, detail
    return ReasonCode.CRASH, "its server ended"


def _by_status(ended: Exit) -> tuple[ReasonCode, str]:
    """Return what a status says; where there is one, there was a process, unless it is of a helper of the agent."""
    if re.search(r"failed to (launch|run|fetch|pull)", ended.detail, _I):
        return next((code, detail) for code, words, detail in _WORDS if words.search(ended.detail))
    match ended.code:
        case _ if ended.code == UNUSABLE:
            return ReasonCode.MODEL, "the model's files are not those that were declared"
        case _ if ended.code == _NO_PROGRAM:
            return ReasonCode.CONFIG, "the program is not there (exit code 127)"
        case _ if ended.code == _NO_EXECUTABLE:
            return ReasonCode.CONFIG, "the program cannot be run (exit code 126)"
        case None if ended.signal == _KILL:
            return ReasonCode.CRASH, "its server was killed (signal 9), by the kernel for memory or by somebody"
        case None:
            return ReasonCode.CRASH, f"its server was ended by signal {ended.signal}"
    return ReasonCode.CRASH, f"its server ended with exit code {ended.code}"


def _waits(code: ReasonCode) -> str:
    if code in (ReasonCode.LOST, ReasonCode.NOT_READY):
        return "; another one is started"
    return "; Marathon starts it again, later each time"


def _changes(code: ReasonCode, ended: Exit, template: Template) -> Iterator[Change]:
    """Yield what a person can do about it."""
    resources, model, image = template.resources, template.model, template.runtime.image
    match code:
        case ReasonCode.OUT_OF_MEMORY:
            text = f"raise resources.memory above {resources.memory}, or have it batch less"
            yield Change(ChangeKind.FIX_INPUT, text, "resources.memory")
        case ReasonCode.CRASH if ended.signal == _KILL:
            text = f"if it was the kernel (see `dmesg` there), raise resources.memory above {resources.memory}"
            yield Change(ChangeKind.FIX_INPUT, text, "resources.memory")
        case ReasonCode.IMAGE if image is not None:
            text = f"correct runtime.image ({image}), or let the agents reach its registry and sign in there"
            yield Change(ChangeKind.FIX_INPUT, text, "runtime.image")
        case ReasonCode.MODEL if ended.code == UNUSABLE:
            text = f"correct model.digest, or put back the files in {model.source}"
            yield Change(ChangeKind.FIX_INPUT, text, "model.digest")
        case ReasonCode.MODEL:
            text = f"correct model.source ({model.source}), or let the agents reach it"
            yield Change(ChangeKind.FIX_INPUT, text, "model.source")
        case ReasonCode.CONFIG if ended.code in _PROGRAMS:
            text = _PROGRAMS[ended.code]
            yield Change(ChangeKind.FIX_INPUT, text, "backend_options.marathon.command")
        case _:
            return


_PROGRAMS: Final[Mapping[int | None, str]] = {
    _NO_PROGRAM: "install the server on the agents, use an image that has it, or set backend_options.marathon.command",
    _NO_EXECUTABLE: "make the server executable for the task's user, or set backend_options.marathon.command",
}
