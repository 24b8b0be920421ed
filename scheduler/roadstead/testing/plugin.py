"""The pytest plugin that comes with the kit: better messages of its assertions, and a matrix of what was asked of whom.

It is loaded by every pytest in an environment with Roadstead in it, and so imports nothing of it until a test of the
kit has run.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from roadstead.testing.conformance.matrix import Matrix

__all__: list[str] = []

_KIT = "roadstead.testing.conformance"
_MATRIX: pytest.StashKey[Matrix] = pytest.StashKey()

pytest.register_assert_rewrite(_KIT)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("roadstead")
    group.addoption(
        "--roadstead-matrix",
        action="store_true",
        help="print what Roadstead's conformance kit asked of which cluster, and what not",
    )
    group.addoption(
        "--roadstead-fleet", metavar="FILE", help="the fleet file for roadstead.testing.conformance.declared"
    )
    group.addoption("--roadstead-cluster", metavar="NAME", help="which of its clusters is asked")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what became of a test of the kit."""
    report = yield
    if isinstance(item, pytest.Function) and report.when == "call" and item.config.getoption("--roadstead-matrix"):
        area = _area(item)
        if area is not None:
            # Deferred: by now the test has imported the kit.
            from roadstead.testing.conformance.matrix import Matrix, cluster_of  # noqa: PLC0415

            matrix = item.config.stash.setdefault(_MATRIX, Matrix())
            subject = item.funcargs.get("subject")
            matrix.note(cluster_of(item), area, report.outcome, subject)  # type: ignore[arg-type]  # it is a subject
    return report


def _area(item: pytest.Function) -> str | None:
    """Return the part of the kit that a test comes from, ``None`` for any other test."""
    classes = item.cls.__mro__ if item.cls is not None else ()
    origin = next((one for one in classes if item.originalname in vars(one)), None)
    return origin.__name__ if origin is not None and origin.__module__.startswith(_KIT) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the matrix."""
    matrix = config.stash.get(_MATRIX, None)
    if matrix is not None:
        terminalreporter.section("Roadstead: what was asked of whom")
        for line in matrix.lines():
            terminalreporter.line(line)
