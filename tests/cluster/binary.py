"""The binary that holds Kubernetes' components: built once per machine from ``tests/cluster/parts``, and kept.

A cold build takes 10 to 12 minutes on two cores, 3 GB of memory and 5 GB of caches of Go's. What was built is found by
a hash of its sources, and two builds at once are one build: the second waits for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.places import cache_folder

__all__ = ["KUBERNETES", "BuildError", "build", "built", "is_being_built", "lacking_to_build"]

KUBERNETES: Final = "1.37.2"
"""The version that go.mod pins; the components must be told, or they call themselves v0.0.0."""

_SOURCES: Final = Path(__file__).with_name("parts")
_MODULE: Final = "k8s.io/component-base/version"
_GO: Final = (1, 26)
_SAY_EVERY: Final = 10.0

Say = Callable[[str], object]


class BuildError(Exception):
    """The components could not be built."""


def _sources() -> list[Path]:
    return sorted(path for path in _SOURCES.iterdir() if path.name in {"go.mod", "go.sum"} or path.suffix == ".go")


def _folder() -> Path:
    digest = hashlib.sha256(KUBERNETES.encode())
    for path in _sources():
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return cache_folder() / "parts" / digest.hexdigest()[:16]


def built() -> Path | None:
    """Return the binary for the present sources, if it has been built."""
    binary = _folder() / "parts"
    return binary if binary.exists() else None


def lacking_to_build() -> str | None:
    """Return what this machine lacks for building, or ``None``."""
    go = _go()
    if go is None:
        return "Go is not installed (no `go` on PATH, nor in /usr/local/go/bin)"
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _GO:
        return f"Go {_GO[0]}.{_GO[1]} is needed, and this is {said.strip() or 'of unknown version'}"
    return None


def _go() -> str | None:
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def is_being_built() -> bool:
    """Whether somebody builds just now."""
    path = cache_folder() / "parts" / "lock"
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def build(say: Say) -> Path:
    """Return the binary, after building it if need be; ``say`` is told how far it is, a line at a time.

    Raises :class:`BuildError`.
    """
    with _alone(say):
        found = built()
        if found is not None:
            return found
        lacking = lacking_to_build()
        go = _go()
        if lacking is not None or go is None:
            raise BuildError(f"the components of Kubernetes cannot be built: {lacking}")
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        _compile(go, folder, say)
        (folder / "parts.new").rename(folder / "parts")
        for old in folder.parent.iterdir():
            if old.is_dir() and old != folder:
                shutil.rmtree(old)
        return folder / "parts"


@contextmanager
def _alone(say: Say) -> Iterator[None]:
    """Hold the lock of building; whoever has to wait for it is told so."""
    path = cache_folder() / "parts" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(go: str, folder: Path, say: Say) -> None:
    major, minor, _ = KUBERNETES.split(".")
    version = (
        f"-X {_MODULE}.gitVersion=v{KUBERNETES} -X {_MODULE}.gitMajor={major} -X {_MODULE}.gitMinor={minor} "
        f"-X {_MODULE}.gitTreeState=clean"
    )
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}
    say(f"building the components of Kubernetes {KUBERNETES}: about 12 minutes on two cores, once")
    packages = _count_packages(go, environment, folder, say)
    process = subprocess.Popen(
        [go, "build", "-v", "-ldflags", f"-s -w {version}", "-o", str(folder / "parts.new"), "."],
        cwd=_SOURCES,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    began = said = time.monotonic()
    done = 0
    last: list[str] = []
    with process.stdout as lines:
        for line in lines:
            last = [*last[-19:], line.rstrip()]
            done += not line.startswith(("go: ", "#"))
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                say(f"{said - began:4.0f} s: {done} packages compiled, of {packages} at most; now {line.rstrip()}")
    if process.wait() != 0:
        raise BuildError("go build failed; its last words:\n" + "\n".join(last))
    say(f"built in {time.monotonic() - began:.0f} s")


def _count_packages(go: str, environment: dict[str, str], folder: Path, say: Say) -> int:
    """Return how many packages the binary is made of; it also fetches what is not there yet."""
    say("fetching the sources (0.9 GB, once)")
    listed = subprocess.run(
        [go, "list", "-deps", "."], cwd=_SOURCES, env=environment, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        shutil.rmtree(folder)
        raise BuildError(f"go list failed: {listed.stderr.strip()[-2000:]}")
    return len(listed.stdout.splitlines())
