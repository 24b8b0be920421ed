"""Real Envoys, real replicas on addresses of their own, and clients that count what fails."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import attrs
import grpc
import pytest

from roadstead.errors import Unreachable
from roadstead.model import Tls
from roadstead.shim.tree import MARK
from roadstead.spi.gateway import Destination, GatewayContext, Route, RouteTable
from roadstead.spi.runtime import Check
from roadstead.traffic import Endpoint, GatewayView, Passage
from roadstead_plugins.gateways.envoy.gateway import EnvoyGateway, connect
from roadstead_plugins.gateways.envoy.options import EnvoyOptions
from tests.envoy.backend import Replica, check_of

T = TypeVar("T")
WAIT_S = 60.0
PORT = 18000
HOST_NAME = "roadstead.test"
BACKEND = Path(__file__).with_name("backend.py")


def until(question: Callable[[], T | bool | None], within: float = WAIT_S) -> T:
    """Return the first answer that is neither ``None`` nor ``False``."""
    pause = threading.Event()
    deadline = time.monotonic() + within
    while True:
        found = question()
        if found is not None and found is not False:
            return found  # type: ignore[return-value]  # what is left is a T
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {question}")
        pause.wait(0.005)


def own_address() -> str:
    """Return a loopback address that nobody else uses."""
    first, second = os.urandom(2)
    return f"127.{100 + first % 100}.{second}.{1 + os.getpid() % 250}"


# ---- replicas ----


@pytest.fixture
def replica() -> Iterator[Callable[..., Replica]]:
    """Starts replicas in this process."""
    made: list[Replica] = []

    def make(**how: object) -> Replica:
        made.append(Replica(own_address(), **how))  # type: ignore[arg-type]  # its own keywords
        return made[-1]

    yield make
    for one in made:
        one.close()


@attrs.frozen
class Apart:
    """A replica in a process of its own."""

    endpoint: Endpoint
    process: subprocess.Popen[str]


@pytest.fixture
def apart() -> Iterator[Callable[[], Apart]]:
    """Starts replicas that can be killed."""
    made: list[Apart] = []

    def make() -> Apart:
        host = own_address()
        command = [sys.executable, str(BACKEND), host, "8500", "8501", "m"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        made.append(Apart(Endpoint(host=host, grpc=8500, rest=8501), process))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.communicate()


def serving(replicas: list[Apart]) -> None:
    """Wait until replicas in processes of their own serve."""
    for one in replicas:
        assert one.process.stdout is not None
        assert "serving\n" == one.process.stdout.readline()


# ---- tables ----


def destination(endpoint: Endpoint, *, draining: bool = False, check: Check | None = None) -> Destination:
    """Return a replica of the model ``m`` as a table has it."""
    return Destination(endpoint=endpoint, draining=draining, check=check or check_of("m"))


def route(*destinations: Destination, deployment: str = "m", port: int = PORT) -> Route:
    """Return a deployment's route."""
    return Route(deployment=deployment, port=port, destinations=destinations)


def table(*routes: Route) -> RouteTable:
    """Return a table."""
    return RouteTable({one.deployment: one for one in routes})


def to(*endpoints: Endpoint, draining: tuple[Endpoint, ...] = ()) -> RouteTable:
    """Return a table with one route, to these, of which some get nothing new."""
    return table(route(*(destination(endpoint, draining=endpoint in draining) for endpoint in endpoints)))


# ---- gateways ----


@attrs.define
class Subject:
    """A gateway as a test has it: the object of now, and how the next daemon would make its own."""

    context: GatewayContext
    gateway: EnvoyGateway

    @property
    def address(self) -> str:
        """Where clients connect."""
        return self.context.address

    def until(self, holds: Callable[[GatewayView], bool], within: float = WAIT_S) -> GatewayView:
        """Return the first view of which ``holds`` is true."""

        def question() -> GatewayView | None:
            with contextlib.suppress(Unreachable):
                view = self.gateway.view()
                return view if holds(view) else None
            return None

        return until(question, within)

    def offer(self, routes: RouteTable) -> GatewayView:
        """Offer a table, and return the view once it is in force."""
        self.gateway.route(routes)
        return self.until(lambda view: view.settled)

    def serve(self, *endpoints: Endpoint) -> GatewayView:
        """Have the gateway serve these, and return the view once requests get to all of them."""
        self.gateway.route(to(*endpoints))
        return self.until(
            lambda view: view.settled and all(passage_of(view, endpoint).serving for endpoint in endpoints)
        )

    def reopen(self, **changes: object) -> None:
        """Let go of the gateway as a daemon that ends does, and take it again as the next one."""
        self.gateway.close()
        self.context = attrs.evolve(self.context, **changes)  # type: ignore[arg-type]  # its own fields
        self.gateway = connect(self.context)

    def pid(self) -> int:
        """Return Envoy's process."""
        identity = until(self.gateway._process.incarnation)
        return identity.pid

    @contextlib.contextmanager
    def dead(self) -> Iterator[None]:
        """Kill Envoy, and keep its shim from starting it again until the block ends."""
        state, pid = self.gateway._process.state(), self.pid()
        assert state is not None
        assert state.shim is not None
        os.kill(state.shim.pid, signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGKILL)
            yield
        finally:
            os.kill(state.shim.pid, signal.SIGCONT)

    def processes(self) -> list[int]:
        """Return what runs of it: Envoy."""
        mark = f"{MARK}={self.gateway._process._name}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found


def passage_of(view: GatewayView, endpoint: Endpoint, deployment: str = "m") -> Passage:
    """Return how requests get to an endpoint; one that is not there gets none."""
    found = view.routes[deployment].passages if deployment in view.routes else {}
    return found.get(endpoint, Passage(listed=False, serving=False, idle=True))


Open = Callable[..., Subject]


@pytest.fixture
def open_gateway(tmp_path: Path) -> Iterator[Open]:
    """Opens gateways; afterwards nothing of them is left running, or the test has failed."""
    opened: list[Subject] = []

    def make(*, tls: Tls | None = None, root: Path | None = None, **options: object) -> Subject:
        context = GatewayContext(
            name="edge",
            fleet="tests",
            owner_id="0123456789",
            address=own_address(),
            tls=tls,
            options=EnvoyOptions(**options),  # type: ignore[arg-type]  # its own keywords
            root=root or tmp_path / f"gateway-{len(opened)}",
        )
        opened.append(Subject(context, connect(context)))
        return opened[-1]

    yield make
    for subject in opened:
        with contextlib.suppress(ValueError):  # the test closed it
            subject.gateway.stop()
            subject.gateway.close()
        assert [] == subject.processes()


@pytest.fixture
def subject(open_gateway: Open) -> Subject:
    """A gateway with the default options."""
    return open_gateway()


# ---- clients ----


class Client:
    """One gRPC channel and one HTTP connection to a gateway."""

    def __init__(self, address: str, port: int = PORT, *, trusted: bytes | None = None) -> None:
        target = f"{address}:{port}"
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        if trusted is None:
            self._channel = grpc.insecure_channel(target, options=options)
        else:
            options.append(("grpc.ssl_target_name_override", HOST_NAME))  # type: ignore[arg-type]
            self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(trusted), options=options)
        self.who: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary("/test/Who")
        self.hold: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary("/test/Hold")
        self.size: grpc.StreamUnaryMultiCallable[bytes, bytes] = self._channel.stream_unary("/test/Size")
        self.echo: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream("/test/Echo")
        self._address, self._port = address, port

    def rest(self, path: str, body: bytes | None = None) -> tuple[int, str]:
        """Return status and text of the answer to one request, on a connection of its own."""
        connection = http.client.HTTPConnection(self._address, self._port, timeout=WAIT_S)
        try:
            connection.request("GET" if body is None else "POST", path, body=body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """Makes clients."""
    made: list[Client] = []

    def make(address: str, port: int = PORT, *, trusted: bytes | None = None) -> Client:
        made.append(Client(address, port, trusted=trusted))
        return made[-1]

    yield make
    for one in made:
        one.close()


@attrs.define
class Load:
    """Requests without a pause, over gRPC and REST: who answered, and what failed."""

    address: str
    clients: int = 4
    port: int = PORT
    answered: Counter[str] = attrs.field(factory=Counter)
    failed: list[str] = attrs.field(factory=list)
    _over: threading.Event = attrs.field(factory=threading.Event)
    _threads: list[threading.Thread] = attrs.field(factory=list)

    def __enter__(self) -> Load:
        """Begin."""
        for number in range(self.clients):
            thread = threading.Thread(target=self._grpc if number % 2 else self._rest, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        """End, and wait for the last answers."""
        self._over.set()
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()

    def more(self, count: int = 100) -> None:
        """Wait until so many more requests were answered."""
        enough = self.answered.total() + count
        until(lambda: self.answered.total() >= enough)

    def _grpc(self) -> None:
        client = Client(self.address, self.port)
        while not self._over.is_set():
            try:
                self.answered[client.who(b"", timeout=30.0).decode()] += 1
            except grpc.RpcError as error:
                self.failed.append(str(error.code()))
        client.close()

    def _rest(self) -> None:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=30.0)
        while not self._over.is_set():
            try:
                connection.request("GET", "/who")
                response = connection.getresponse()
                text = response.read().decode()
                if response.status == 200:
                    self.answered[text] += 1
                else:
                    self.failed.append(f"{response.status} {text}")
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
        connection.close()


# ---- certificates ----


@attrs.frozen
class Certificates:
    """A certificate signed by itself and its key, in files that can be renewed."""

    folder: Path

    @property
    def tls(self) -> Tls:
        """The files."""
        return Tls(certificate=str(self.folder / "cert.pem"), key=str(self.folder / "key.pem"))

    def renew(self) -> bytes:
        """Write another certificate over the one before, as a plain copy does, and return it."""
        ask = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={HOST_NAME}".split()
        files = ["-keyout", self.tls.key, "-out", self.tls.certificate, "-addext", f"subjectAltName=DNS:{HOST_NAME}"]
        openssl = shutil.which("openssl")
        assert openssl is not None, "openssl is not installed"
        subprocess.run([openssl, *ask, *files], check=True, capture_output=True)
        return Path(self.tls.certificate).read_bytes()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """A place for a certificate."""
    return Certificates(tmp_path)


def shown_certificate(address: str, port: int = PORT) -> bytes:
    """Return the certificate that a gateway shows to a new client."""
    return ssl.get_server_certificate((address, port), timeout=WAIT_S).encode()
