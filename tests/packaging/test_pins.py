"""What contributors install: exact, hashed, and free of any one place that it came from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = sorted((Path(__file__).parents[2] / "requirements").glob("*.txt"))

_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==[^ ]+( ; [^\\]+)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
_COMMENT = re.compile(r"^ *#")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_is_exact_and_hashed(lock: Path) -> None:
    """Each requirement is one version and at least one hash; nothing else stands in a lock, above all no address."""
    lines = lock.read_text().splitlines()

    unhashed = [
        line for line, after in zip(lines, [*lines[1:], ""], strict=True) if _PIN.match(line) and not _HASH.match(after)
    ]
    strange = [line for line in lines if not (_PIN.match(line) or _HASH.match(line) or _COMMENT.match(line))]

    assert any(_PIN.match(line) for line in lines)
    assert [] == unhashed
    assert [] == strange


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_lock_names_a_host_or_a_path(lock: Path) -> None:
    """Who installs decides from where: an address of the machine that made the lock must not travel with it."""
    assert [] == re.findall(r"\S*(?:://|--index-url|--find-links|/home/|/root/)\S*", lock.read_text())


def test_there_are_locks_to_check() -> None:
    """The two tests above would pass without a single lock."""
    assert ["dev.txt", "model.txt"] == [lock.name for lock in LOCKS]
