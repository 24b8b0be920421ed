"""Errors as a person reads them: what, where, the next thing to do, and the code that explains more."""

from __future__ import annotations

import os
import tempfile
import traceback

import attrs
import click

from roadstead.cli.errors import Refused
from roadstead.daemon.errors import StartFailed
from roadstead.errors import BackendError, RoadsteadError

__all__ = ["Failure", "exits", "failure", "from_click", "from_roadstead", "from_unexpected"]

_UNEXPECTED = "RS000"
_USAGE = "RS030"
_FLEET_FILE = "RS200"


@attrs.frozen(kw_only=True)
class _Error:
    """What went wrong, for programs; ``problems`` are those of a fleet file."""

    code: str
    message: str
    hint: str
    exit: int
    problems: tuple[object, ...] = ()


@attrs.frozen
class Failure:
    """The object that a program reads instead of the data that it asked for."""

    error: _Error


def failure(error: Exception, code: int) -> Failure:
    """Return an error as a value; ``code`` is what the command ends with."""
    if isinstance(error, click.ClickException):
        return Failure(_Error(code=_USAGE, message=error.format_message().rstrip("."), hint="", exit=int(code)))
    if not isinstance(error, RoadsteadError):
        return Failure(_Error(code=_UNEXPECTED, message=f"{type(error).__name__}: {error}", hint="", exit=int(code)))
    told = error.told if isinstance(error, Refused | StartFailed) else error.code
    problems = getattr(error, "problems", ()) if error.code == _FLEET_FILE else ()
    return Failure(_Error(code=told, message=str(error), hint=error.hint or "", exit=int(code), problems=problems))


def _message(what: str, *, where: str = "", hint: str = "", code: str) -> str:
    first, *rest = what.splitlines() or [""]
    lines = [f"{click.style('error:', fg='red', bold=True)} {first}", *(f"  {line}" for line in rest)]
    if where:
        lines.append(f"  {where}")
    if hint:
        lines.append(f"  hint: {hint}")
    lines.append(f"  code: {code} (roadstead explain {code})")
    return "\n".join(lines)


def from_roadstead(error: RoadsteadError) -> str:
    """Return the message for an error of ours."""
    if error.code == _FLEET_FILE:
        # Imported already where such an error comes from; nobody else's message waits for it.
        from roadstead.config.problems import FleetFileError  # noqa: PLC0415

        assert isinstance(error, FleetFileError)
        problems = "\n\n".join(str(problem) for problem in error.problems)
        return f"{problems}\n\n{_message(error.summary, hint=error.hint or '', code=error.code)}"
    code = error.told if isinstance(error, Refused | StartFailed) else error.code
    if isinstance(error, BackendError):
        where = f"cluster {error.cluster}" + (f", {error.subject}" if error.subject else "")
        return _message(str(error.args[0]), where=where, hint=error.hint or "", code=code)
    return _message(str(error), hint=error.hint or "", code=code)


def exits(error: RoadsteadError) -> int:
    """Return what a command ends with for an error of ours."""
    return error.exits if isinstance(error, Refused | StartFailed) else error.exit_code


def from_click(error: click.ClickException) -> str:
    """Return the message for a command line that was not understood."""
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` says how" if context is not None else ""
    return _message(error.format_message().rstrip("."), hint=hint, code=_USAGE)


def from_unexpected(error: Exception, report: str) -> str:
    """Write the traceback to a file of its own and return the message that names it."""
    handle, path = tempfile.mkstemp(prefix="roadstead-", suffix=".traceback")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    what = f"unexpected {type(error).__name__}: {error}"
    return _message(what.splitlines()[0], where=f"traceback: {path}", hint=report, code=_UNEXPECTED)
