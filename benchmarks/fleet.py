"""A fleet that really runs, for measurements: the `roadstead` command, its daemon, and servers of a real model.

Everything lies in a temporary folder and is taken down at the end, whatever happened before. A measurement looks at
what anybody can see: the command's words, the control socket, the shims' state files, the kernel's control groups, and
the servers' own answers. Points in time are seconds since the epoch, because the shims write them so.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import attrs
import grpc

from configs.minilm.embed import request
from roadstead.act.state import StateDirectory
from roadstead.cli.client import Client
from roadstead.cli.errors import NoDaemon, Refused
from roadstead.decide.report import DeploymentStatus, Life
from roadstead.shim import state as phases
from roadstead.shim.cgroup import ReplicaCgroup
from roadstead.shim.files import read_json
from roadstead.shim.identity import ProcessIdentity, identity_of, open_process
from roadstead.shim.spec import SPEC_FILE, ShimSpec, spec_from_json
from roadstead.shim.state import STATE_FILE, ShimState, state_from_json
from roadstead_plugins.runtimes.tf_serving import grpc_client
from roadstead_plugins.runtimes.tf_serving.protos import predict_pb2, prediction_service_pb2_grpc

T = TypeVar("T")

MODEL: Final = "minilm"
SENTENCE: Final = "A man is eating food."
PATIENCE: Final = 120.0
"""Seconds after which a measurement gives up."""
LOOK_EVERY: Final = 0.02
"""Seconds between two looks at the same thing: the resolution of what is measured by looking."""

_COLUMNS: Final = "120"
_CHANNEL: Final = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # else a new channel would inherit the pause of one that failed
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
)


@attrs.frozen
class Said:
    """What a command said and ended with."""

    code: int
    out: str


def until(look: Callable[[], T | None], *, every: float = LOOK_EVERY, within: float = PATIENCE) -> T:
    """Return the first thing that ``look`` finds (nothing that is false counts); raises ``TimeoutError``."""
    deadline = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not seen within {within:g} seconds: {look}")
        time.sleep(every)
    return found


def kill(process: ProcessIdentity) -> float:
    """End exactly this process with SIGKILL, and return when it was dead."""
    pidfd = open_process(process)
    if pidfd is None:
        raise ProcessLookupError(f"process {process.pid} is not there to be killed")
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll.poll(1000 * PATIENCE)
        return time.time()
    finally:
        os.close(pidfd)


@attrs.frozen(kw_only=True)
class Replica:
    """One replica: its id, its folder, and the address of its server."""

    id: str
    folder: Path
    host: str
    port: int

    @property
    def address(self) -> str:
        """HOST:PORT of gRPC."""
        return f"{self.host}:{self.port}"

    def state(self) -> ShimState:
        """Return what its shim wrote last."""
        value = read_json(str(self.folder / STATE_FILE))
        assert value is not None, f"{self.id} has no state"
        return state_from_json(value)

    def spec(self) -> ShimSpec:
        """Return what its shim was told."""
        value = read_json(str(self.folder / SPEC_FILE))
        assert value is not None, f"{self.id} has no spec"
        return spec_from_json(value)

    def group(self) -> ReplicaCgroup:
        """Return its control groups."""
        found = self.spec().limits.cgroup
        if found is None:
            raise SystemExit("this machine gives us no control groups, so there are no limits to measure")
        return found

    def server(self) -> ProcessIdentity:
        """Return the process of its server."""
        found = self.state().server
        assert found is not None, f"{self.id} has no server"
        return found

    def until_started(self, after: ProcessIdentity) -> float:
        """Wait until its shim has recorded another process than ``after``; return when that was started."""

        def look() -> float | None:
            state = self.state()
            is_new = state.phase == phases.RUNNING and state.server != after
            return state.started if is_new else None

        return until(look, every=0.005)

    def until_forgiven(self) -> None:
        """Wait until its server has run for so long that its shim takes the next crash for a first one."""
        until(lambda: self.state().crashes == 0)

    def until_answers(self) -> tuple[float, float]:
        """Return when ``GetModelStatus`` said AVAILABLE and when a ``Predict`` was answered, both seen from outside."""
        until(self._listens)
        with grpc.insecure_channel(self.address, options=_CHANNEL) as channel:
            until(lambda: _is_available(channel))
            available = time.time()
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            stub.Predict(request([SENTENCE], model=MODEL), timeout=PATIENCE)
        return available, time.time()

    def _listens(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return True
        except OSError:
            return False


def _is_available(channel: grpc.Channel) -> bool:
    found = grpc_client.versions(channel, MODEL, timeout=5)
    return isinstance(found, tuple) and any(entry.state == "AVAILABLE" for entry in found)


class Stage:
    """One fleet: its file, its command, its daemon and its replicas. Made by `running`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "fleet.yaml"
        self.state = StateDirectory(folder / "state")
        self.client = Client(self.state.socket)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start `roadstead` with these words."""
        command = [sys.executable, "-m", "roadstead", "-f", str(self.file), *words]
        environment = {**os.environ, "COLUMNS": _COLUMNS, "NO_COLOR": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def say(self, *words: str) -> Said:
        """Run `roadstead` with these words to its end."""
        process = self.start(*words)
        out, _ = process.communicate(timeout=PATIENCE)
        return Said(process.returncode, out.rstrip())

    def must(self, *words: str) -> str:
        """Run `roadstead` with these words and return what it said, or end everything where it failed."""
        said = self.say(*words)
        if said.code != 0:
            raise SystemExit(f"roadstead {' '.join(words)} ended with {said.code}:\n{said.out}")
        return said.out

    def deployment(self, name: str) -> DeploymentStatus | None:
        """Return what the daemon says of a deployment now, or ``None`` where it does not answer or knows nothing."""
        try:
            return self.client.status().deployment(name)
        except (NoDaemon, Refused):
            return None

    def replicas(self, deployment: str) -> list[Replica]:
        """Return the replicas that are listed for clients."""
        found = self.deployment(deployment)
        assert found is not None, f"nothing is known of {deployment}"
        folder = self.state.cluster("here") / "replicas"
        return [
            Replica(id=one.id, folder=folder / one.id, host=one.host, port=one.grpc)
            for one in found.replicas
            if one.life is Life.LISTED and one.host is not None and one.grpc is not None
        ]

    def is_listed(self, deployment: str, replica: Replica, restarts: int) -> bool:
        """Tell whether the daemon offers a replica to clients, in its run after so many restarts."""
        found = self.deployment(deployment)
        return found is not None and any(
            one.id == replica.id and one.life is Life.LISTED and one.restarts == restarts for one in found.replicas
        )

    def daemon(self) -> ProcessIdentity:
        """Return the process of the daemon."""
        pid = self.client.status().service.daemon
        found = None if pid is None else identity_of(pid)
        assert found is not None, "no daemon runs"
        return found

    def take_down(self) -> None:
        """Stop the replicas, then the daemon, which is started for it where none runs; raises where any is left."""
        specs = [read_json(str(path)) for path in self.state.path.glob(f"clusters/*/replicas/*/{SPEC_FILE}")]
        groups = [spec_from_json(spec).limits.cgroup for spec in specs if spec is not None]
        if not self.client.alive():
            self.must("daemon", "start", "--background")
        self.must("daemon", "stop", "--stop-replicas", "--yes", "--timeout", "60s")
        left = [path for one in groups if one is not None for path in one.folders if Path(path).exists()]
        if left:
            raise SystemExit(f"control groups are left: {left}")


@contextmanager
def running(text: str, **values: object) -> Iterator[Stage]:
    """Start a daemon on a fleet file and wait until it is settled; take everything down at the end.

    ``text`` is formatted with ``values``, a free port as ``http`` and the folder for state as ``state``. What cannot be
    taken down is left with its folder, for a person to look at.
    """
    folder = Path(tempfile.mkdtemp(prefix="roadstead-"))
    stage = Stage(folder)
    stage.file.write_text(textwrap.dedent(text).format(**values, http=free_address(), state=stage.state.path))
    stage.must("daemon", "start", "--background")
    try:
        stage.must("apply", "--yes")
        yield stage
    finally:
        stage.take_down()
    shutil.rmtree(folder)


def free_address() -> str:
    """Return HOST:PORT on the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
        return f"{host}:{port}"


class Load:
    """Clients that ask servers the same thing again and again, each in a thread and with a channel of its own.

    Each rests for ``pause`` seconds after an answer. ``took`` are the seconds that each answer took, ``failures`` the
    words of each request that was not answered.
    """

    def __init__(
        self, replicas: Sequence[Replica], message: predict_pb2.PredictRequest, *, pause: float = LOOK_EVERY
    ) -> None:
        self._message = message
        self._pause = pause
        self._over = threading.Event()
        self.took: list[float] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(replica,)) for replica in replicas]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, replica: Replica) -> None:
        with grpc.insecure_channel(replica.address, options=_CHANNEL) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not self._over.is_set():
                began = time.monotonic()
                try:
                    stub.Predict(self._message, timeout=PATIENCE)
                except grpc.RpcError as error:
                    self.failures.append(f"{error.code().name}: {error.details()}")
                    self._over.wait(LOOK_EVERY)
                else:
                    self.took.append(time.monotonic() - began)
                    self._over.wait(self._pause)
