"""What can be wrong with a fleet file, and the collection of it: all at once, each once, in the order of the file."""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import attrs

from roadstead.config.source import Source, Spot, printable
from roadstead.errors import RoadsteadError

__all__ = ["MAX_PROBLEMS", "FleetFileError", "Path", "Problem", "ProblemCode", "Problems", "dotted"]

MAX_PROBLEMS: Final = 200

Path: TypeAlias = tuple[str | int, ...]
"""The keys and list positions from the top of the file to one value."""


@enum.unique
class ProblemCode(enum.Enum):
    """The kinds of problem; the value is public and never used for anything else.

    :data:`roadstead.config.codes.EXPLANATIONS` says what each means and what to do.
    """

    UNREADABLE = "RS201"
    ENCODING = "RS202"
    SYNTAX = "RS203"
    TAB = "RS204"
    FEATURE = "RS205"
    LIMIT = "RS206"
    EMPTY = "RS207"
    UNKNOWN_KEY = "RS210"
    MISSING_KEY = "RS211"
    DUPLICATE_KEY = "RS212"
    TYPE = "RS213"
    AMBIGUOUS = "RS214"
    AMOUNT = "RS220"
    RANGE = "RS221"
    NAME = "RS222"
    FORM = "RS223"
    CHOICE = "RS224"
    REFERENCE = "RS230"
    PLUGIN = "RS231"
    COMBINATION = "RS232"
    NOT_BUILT = "RS240"


def dotted(path: Path) -> str:
    """Return ``path`` as messages write it.

    >>> dotted(("deployments", "minilm", "runtime", "args", 0)), dotted(("env", "a.b"))
    ('deployments.minilm.runtime.args[0]', 'env."a.b"')
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = part if part.replace("-", "_").isidentifier() and part.isascii() and len(part) <= 64 else _quoted(part)
        text += f".{name}" if text else name
    return text


def _quoted(part: str) -> str:
    shortened = part if len(part) <= 64 else part[:61] + "..."
    return '"' + shortened.encode("unicode_escape").decode("ascii") + '"'


@attrs.frozen(kw_only=True)
class Problem:
    """One thing that is wrong, as a person is told about it.

    ``line`` and ``column`` count from 1; ``where`` is the dotted path of keys, empty for the file as a whole;
    ``excerpt`` is the line with a caret below it, empty where there is none; ``hint`` is the smallest change that
    helps.
    """

    file: str
    line: int
    column: int
    where: str
    what: str
    excerpt: str
    code: ProblemCode
    hint: str

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        lines = [f"{self.file}:{self.line}:{self.column}: {where}{self.what}"]
        if self.excerpt:
            lines.append(self.excerpt)
        lines += [f"      hint: {self.hint}", f"      code: {self.code.value}"]
        return "\n".join(lines)


class FleetFileError(RoadsteadError):
    """A fleet file that cannot be used; ``problems`` has everything that is wrong with it, in the order of the file."""

    code = "RS200"
    exit_code = 65

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            f"{problems[0].file}: {count}", hint="correct the file; `roadstead explain CODE` says more about a code"
        )
        self.problems = problems

    def __str__(self) -> str:
        return "\n\n".join([*(str(problem) for problem in self.problems), self.summary])

    @property
    def summary(self) -> str:
        """One line: the file and how many problems it has."""
        return str(self.args[0])


class Problems:
    """Collects the problems of one file.

    A place is told about once for each code, however often it is read (through an alias, or as a default of many
    deployments). What depends on a value that is itself wrong is not to be told at all: see :meth:`wrong` and
    :meth:`sound`.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._found: dict[tuple[Spot, ProblemCode, str], Problem] = {}
        self._told: set[tuple[Spot, ProblemCode]] = set()
        self._wrong: set[Path] = set()
        self._above_wrong: set[Path] = set()

    def known(self, code: ProblemCode, spot: Spot) -> bool:
        """Return whether something like this has been told of that place: it needs no words again."""
        return (self.source.within(spot), code) in self._told

    def add(self, code: ProblemCode, path: Path, spot: Spot, what: str, hint: str) -> None:
        """Take one problem in; raises :class:`FleetFileError` when there are so many that reading on helps nobody."""
        self.distrust(path)
        spot = self.source.within(spot)
        if (spot, code, what) in self._found:
            return
        if len(self._found) == MAX_PROBLEMS:
            what, hint = f"more than {MAX_PROBLEMS} problems: reading stopped here", "correct those above first"
            self._keep(ProblemCode.LIMIT, (), spot, what, hint)
            raise self.error()
        self._keep(code, path, spot, what, hint)

    def _keep(self, code: ProblemCode, path: Path, spot: Spot, what: str, hint: str) -> None:
        self._told.add((spot, code))
        self._found[spot, code, what] = Problem(
            file=self.source.file,
            line=spot.line,
            column=spot.column,
            where=dotted(path),
            what=printable(what),
            excerpt=self.source.excerpt(spot),
            code=code,
            hint=printable(hint),
        )

    def distrust(self, path: Path) -> None:
        """Say that the value at ``path`` is not what its owner meant, without a problem of its own."""
        if path:
            self._wrong.add(path)
            self._above_wrong.update(path[:length] for length in range(1, len(path)))

    def wrong(self, path: Path) -> bool:
        """Return whether the value at ``path``, or something around it, is wrong."""
        return any(path[:length] in self._wrong for length in range(1, len(path) + 1))

    def sound(self, path: Path) -> bool:
        """Return whether nothing is wrong with the value at ``path``, around it and inside it."""
        return not self.wrong(path) and path not in self._above_wrong

    def raise_if_any(self) -> None:
        """Raise :class:`FleetFileError` with everything that was found."""
        if self._found:
            raise self.error()

    def error(self) -> FleetFileError:
        """Return everything that was found, which is at least one problem, as an error."""
        ordered = sorted(self._found.values(), key=lambda one: (one.line, one.column, one.code.value))
        return FleetFileError(tuple(ordered))
