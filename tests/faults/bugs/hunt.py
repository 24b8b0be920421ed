"""Puts each seeded bug into a copy of the sources, and has the fault machine look for it.

    python -m tests.faults.bugs.hunt                     # all of them; prints what was killed by which plan
    python -m tests.faults.bugs.hunt "Retry-After"       # those with that in their name
    python -m tests.faults.bugs.hunt --tests tests/act   # ... and whether these tests pass with the bug in

A bug is killed by the first plan that shows something wrong: the story as it is, one fault, or two close together.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tests.faults.bugs.seeded import BUGS, Bug

ROOT = Path(__file__).parents[3]
SOURCES = ("scheduler", "backends", "plugins")


def main() -> None:
    """Hunt all bugs, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[""])
    parser.add_argument("--tests", nargs="*", default=(), help="tests that are to pass with the bug in")
    asked = parser.parse_args()
    hunted = [bug for bug in BUGS if any(name in bug.name for name in asked.names)]
    killed = counting = 0
    for bug in hunted:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder)
            seed(bug, copy)
            by = killer(bug, copy)
            passed = tests_pass(copy, asked.tests) if by and asked.tests else None
        if not bug.caught_by:
            counting += 1
            killed += by is not None
        tests = {None: "", True: "; those tests pass", False: "; those tests fail"}[passed]
        click.echo(f"{'killed' if by else 'ALIVE '} | {bug.kind.value} | {bug.name} | {by or ''}{tests}")
    click.echo(f"{killed} of {counting} killed that no ordinary test is known to catch; {len(hunted)} hunted")


def seed(bug: Bug, copy: Path) -> None:
    """Copy the sources to ``copy`` with the bug in."""
    for source in SOURCES:
        shutil.copytree(ROOT / source, copy / source, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / bug.path
    text = path.read_text()
    if text.count(bug.was) != 1:
        raise ValueError(f"{bug.name!r}: {bug.was!r} occurs {text.count(bug.was)} times in {bug.path}")
    path.write_text(text.replace(bug.was, bug.now))


def killer(bug: Bug, copy: Path) -> str | None:
    """Return the plan that shows the bug, in words, or ``None`` where none does."""
    first, then, at = (",".join(one.name for one in some) for some in (bug.first, bug.then, bug.at))
    command = [sys.executable, "-m", "tests.faults.bugs.kill", bug.temper, first, then, at, *bug.stories]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=_environment(copy),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"{bug.name!r}: {done.stderr[-2_000:]}")
    return done.stdout.strip() if done.returncode else None


def tests_pass(copy: Path, tests: Sequence[str]) -> bool:
    """Return whether these tests pass with the sources of ``copy``, which come before those that pytest is told of."""
    paths = " ".join((*(str(copy / source) for source in SOURCES), str(ROOT)))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", f"pythonpath={paths}"]
    done = subprocess.run(
        [*command, "--timeout=900", *tests], cwd=ROOT, env=_environment(copy), capture_output=True, check=False
    )
    return done.returncode == 0


def _environment(copy: Path) -> dict[str, str]:
    path = os.pathsep.join(str(copy / source) for source in SOURCES)
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


if __name__ == "__main__":
    main()
