"""An emulated Marathon on sockets, its time moved by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roadstead_backends.marathon.emulator.testing import Emulated, Plan, emulated


@pytest.fixture
def marathon() -> Iterator[Emulated]:
    """A single Marathon with three agents."""
    with emulated() as running:
        yield running


@pytest.fixture
def ensemble() -> Iterator[Emulated]:
    """Two Marathons, the second of which follows."""
    with emulated(Plan(by_hand=True, instances=2)) as running:
        yield running
