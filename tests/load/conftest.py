"""A server to be put under load, in a process of its own, and what is sent to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from roadstead.load.course import Course
from roadstead.load.engine import Measured, Watch, measure
from roadstead.spi.load import Destination, Wire, Work
from roadstead_plugins.runtimes.tf_serving.runtime import TfServing
from tests.tf_serving.conftest import own_address, start_for_module

__all__ = ["start_for_module"]

ROOT = Path(__file__).parents[2]
REQUESTS = ({"inputs": {"x": [2.0, 4.0]}}, {"inputs": {"x": [10.0]}})
EXPECTED = ({1: {"outputs": [1.0, 2.0]}, 2: {"outputs": [7.0, 7.0]}}, {1: {"outputs": [5.0]}, 2: {"outputs": [7.0]}})
PORTS = {Wire.GRPC: 8500, Wire.REST: 8501}


@attrs.frozen
class Canned:
    """A process of ``tests.load.canned``."""

    host: str
    process: subprocess.Popen[str]

    def address(self, wire: Wire) -> str:
        """Return HOST:PORT."""
        return f"{self.host}:{PORTS[wire]}"

    def destination(self, wire: Wire, connections: int = 2) -> Destination:
        """Return where requests go."""
        return Destination(wire=wire, addresses=(self.address(wire),), connections=connections)

    def measure(
        self, wire: Wire, model: str, course: Course, work: Work | None = None, watch: Watch | None = None
    ) -> Measured:
        """Put the server under load."""
        work = attrs.evolve(work or Work(model="", requests=REQUESTS, expected=EXPECTED), model=model)
        caller = TfServing().caller(self.destination(wire), work)
        return measure(caller, course, requests=len(work.requests), every=0.1, watch=watch)


@contextmanager
def canned(*tls: Path) -> Iterator[Canned]:
    """Run one for a while, with the certificate in the folder ``tls`` if there is one."""
    host = own_address()
    command = [sys.executable, "-m", "tests.load.canned", host, *map(str, tls)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert "serving\n" == process.stdout.readline()
            yield Canned(host, process)
        finally:
            process.kill()


@pytest.fixture(scope="package")
def server() -> Iterator[Canned]:
    """One that nobody stops."""
    with canned() as started:
        yield started


@pytest.fixture
def mortal() -> Iterator[Canned]:
    """One that a test may stop."""
    with canned() as started:
        yield started
