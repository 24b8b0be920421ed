"""Requests over real sockets: answers, every kind of failure, streams and their end, and who is trusted."""

from __future__ import annotations

import base64
import datetime as dt
import json
import ssl
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.errors import (
    BackendError,
    Conflict,
    Forbidden,
    OutcomeUnknown,
    Rejected,
    Retryable,
    Unreachable,
)
from roadstead.testing.http_faults import Cut, Delay, FaultProxy, LoseReply, LoseRequest, Reply, Rule, Silence
from roadstead.units import Duration
from roadstead_backends.kubernetes.transport import Transport
from tests.cluster.certificates import Authority, Credentials
from tests.kubernetes.client.apiserver import PATH, ApiServer, api_server
from tests.kubernetes.client.connecting import PATIENT, connected, write_kubeconfig

_BODY = json.dumps({"metadata": {"name": "a"}}).encode()


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server."""
    with api_server() as one:
        yield one


# ---- answers ----


def test_an_answer_has_its_status_headers_and_body(server: ApiServer, tmp_path: Path) -> None:
    """And the server gets the path, the query and the body as they were given."""
    with connected(tmp_path, server.url) as transport:
        made = transport.call("POST", PATH, body=_BODY, query={"fieldManager": "me & you"}, content_type="a/b")
        assert (201, "application/json") == (made.status, made.headers["content-type"])
        assert "a" == json.loads(made.body)["metadata"]["name"]
    asked = server.asked[0]
    assert ("POST", PATH, {"fieldManager": "me & you"}, _BODY) == (asked.method, asked.path, asked.query, asked.body)
    assert "a/b" == asked.headers["content-type"]
    assert asked.headers["user-agent"].startswith("roadstead/")


def test_one_connection_serves_many_requests(server: ApiServer, tmp_path: Path) -> None:
    """Also after a refusal, whose body is read to its end."""
    with connected(tmp_path, server.url) as transport:
        for _ in range(3):
            transport.call("GET", PATH)
            with pytest.raises(Rejected):
                transport.call("GET", "/nothing")
        _, pool = transport._pools or (None, None)
        assert pool is not None
        assert 1 == sum(one.num_connections for one in pool.pools._container.values())


def test_an_unknown_path_is_an_error_that_names_its_subject(server: ApiServer, tmp_path: Path) -> None:
    """A refusal is raised, never returned."""
    with connected(tmp_path, server.url) as transport, pytest.raises(Rejected, match=r"prod/it: .* 404: not found"):
        transport.call("GET", "/nothing", subject="it")


@pytest.mark.parametrize(
    ("rule", "method", "kind"),
    [
        (Rule(LoseReply()), "POST", OutcomeUnknown),
        (Rule(LoseRequest()), "POST", OutcomeUnknown),
        (Rule(Cut(5)), "POST", OutcomeUnknown),
        (Rule(Silence(5)), "POST", OutcomeUnknown),
        (Rule(Delay(Duration(60_000)), times=None), "POST", OutcomeUnknown),
        (Rule(LoseReply()), "GET", Unreachable),
        (Rule(Cut(5)), "GET", Unreachable),
        (Rule(Silence(5)), "GET", Unreachable),
        (Rule(Reply(429, headers={"Retry-After": "2"})), "POST", Retryable),
        (Rule(Reply(409)), "POST", Conflict),
        (Rule(Reply(302, headers={"Location": "http://elsewhere.example/"})), "GET", Rejected),
    ],
    ids=lambda one: type(one.fault).__name__ if isinstance(one, Rule) else getattr(one, "__name__", one),
)
def test_what_went_wrong_on_the_way(
    server: ApiServer, tmp_path: Path, rule: Rule, method: str, kind: type[BackendError]
) -> None:
    """Nothing is asked a second time: whoever asked decides whether that is right."""
    waits = isinstance(rule.fault, (Silence, Delay))
    limits = attrs.evolve(PATIENT, read=Duration(300)) if waits else PATIENT
    never = isinstance(rule.fault, Delay)  # it is to come after all is over
    with FaultProxy(server.url) as proxy, connected(tmp_path, proxy.url, limits) as transport:
        proxy.add(rule)
        with pytest.raises(kind):
            transport.call(method, PATH, body=_BODY if method == "POST" else None)
        assert proxy.wait_for(lambda proxy: len(proxy.exchanges) == 1, Duration(60_000))
        if never:
            proxy.remove(rule)
    assert (0 if isinstance(rule.fault, (LoseRequest, Reply, Delay)) else 1) == len(server.asked)


def test_a_server_that_refuses_connections_has_done_nothing(server: ApiServer, tmp_path: Path) -> None:
    """So a write to it is known not to have happened."""
    with FaultProxy(server.url) as proxy, connected(tmp_path, proxy.url) as transport:
        with proxy.refusing(), pytest.raises(Unreachable, match="cannot be reached"):
            transport.call("POST", PATH, body=_BODY)
        transport.call("POST", PATH, body=_BODY)


def test_an_answer_has_its_time_as_a_whole(server: ApiServer, tmp_path: Path) -> None:
    """A server that says something now and then, and never ends, does not keep us."""
    limits = attrs.evolve(PATIENT, whole=Duration(1_000))
    stop = threading.Event()

    def say_something() -> None:
        server.wait_for_watch()
        while not stop.wait(0.02):
            server.bookmark()

    talking = threading.Thread(target=say_something)
    talking.start()
    late = pytest.raises(Unreachable, match="after its time is over")
    with connected(tmp_path, server.url, limits) as transport, late:
        transport.call("GET", PATH, query={"watch": "1", "resourceVersion": "0"})
    stop.set()
    talking.join()


def test_an_answer_that_is_too_long_is_none(server: ApiServer, tmp_path: Path) -> None:
    """Memory has a limit too."""
    server.put("a", text="x" * 10_000)
    long = pytest.raises(Unreachable, match="more than 5000 bytes")
    with connected(tmp_path, server.url, attrs.evolve(PATIENT, body=5_000)) as transport, long:
        transport.call("GET", PATH)


# ---- streams ----


def _watch(transport: Transport, idle: Duration = Duration(20_000)) -> Any:
    return transport.stream(PATH, query={"watch": "1", "resourceVersion": "0"}, idle=idle)


def test_a_stream_yields_whole_lines_as_they_come(server: ApiServer, tmp_path: Path) -> None:
    """However the network cuts them, and however long they are."""
    with connected(tmp_path, server.url) as transport, _watch(transport) as lines:
        for sent in (b"one", b"x" * 300_000, b"", b"two"):
            server.say(sent + b"\n")
            assert sent == next(lines)
        server.say(b"three\nfour\nfi")
        server.say(b"ve\nno end")
        server.end_watches()
        assert [b"three", b"four", b"five", b"no end"] == list(lines)


def test_a_line_that_is_too_long_is_a_failure(server: ApiServer, tmp_path: Path) -> None:
    """Memory has a limit too."""
    with connected(tmp_path, server.url, attrs.evolve(PATIENT, line=1_000)) as transport, _watch(transport) as lines:
        server.say(b"x" * 2_000)
        with pytest.raises(Unreachable, match="more than 1000 bytes"):
            next(lines)


def test_a_silent_stream_is_a_failure_after_its_time(server: ApiServer, tmp_path: Path) -> None:
    """Not of the time for an answer: a watch may be silent for longer than that."""
    limits = attrs.evolve(PATIENT, read=Duration(1_000))
    with connected(tmp_path, server.url, limits) as transport, _watch(transport, Duration(1_400)) as lines:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="timed out"):
            next(lines)
        assert 1.2 < time.monotonic() - began


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_stream_is_closed_from_another_thread(tmp_path: Path, secure: bool) -> None:
    """Whoever waits for a line is told that there are no more, at once."""
    pki = Pki(tmp_path)
    tls, trusted = (pki.serving(), pki.trusted) if secure else (None, {})
    with api_server(tls) as server, connected(tmp_path, server.url, cluster=trusted) as transport:
        lines = _watch(transport, Duration(60_000))
        got: list[bytes] = []
        one_came = threading.Event()

        def read() -> None:
            for line in lines:
                got.append(line)
                one_came.set()

        reading = threading.Thread(target=read)
        reading.start()
        server.say(b"one\n")
        assert one_came.wait(30)
        lines.close()
        reading.join(timeout=30)
        assert not reading.is_alive()
        assert [b"one"] == got


def test_closing_the_transport_ends_every_stream(server: ApiServer, tmp_path: Path) -> None:
    """And afterwards there is nobody to ask."""
    with connected(tmp_path, server.url) as transport:
        lines = _watch(transport)
        transport.close()
        assert [] == list(lines)
        with pytest.raises(Unreachable, match="closed"):
            transport.call("GET", PATH)
        with pytest.raises(Unreachable, match="closed"):
            _watch(transport)


# ---- who is asked, and who asks ----


class Pki:
    """An authority, and a server's certificate of it for 127.0.0.1 and ``api.example``."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create("test", dt.datetime.now(dt.UTC))
        self._folder = folder

    def serving(self, *, wants: bool = False) -> ssl.SSLContext:
        """Return what a server shows; one that ``wants`` asks for a certificate too."""
        shown = self.authority.issue("server", names=["api.example"], addresses=[IPv4Address("127.0.0.1")])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*shown.write(self._folder, "server"))
        if wants:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.authority.certificate.decode())
        return context

    @property
    def trusted(self) -> dict[str, str]:
        """What a kubeconfig says to trust it."""
        return {"certificate-authority-data": base64.b64encode(self.authority.certificate).decode()}


def _user(credentials: Credentials) -> dict[str, str]:
    return {
        "client-certificate-data": base64.b64encode(credentials.certificate).decode(),
        "client-key-data": base64.b64encode(credentials.key).decode(),
    }


def test_the_right_authority_is_trusted(tmp_path: Path) -> None:
    """In the kubeconfig, or in a file that it names, wherever we are."""
    pki = Pki(tmp_path)
    (tmp_path / "ca.crt").write_bytes(pki.authority.certificate)
    with api_server(pki.serving()) as server:
        for trusted in (pki.trusted, {"certificate-authority": "ca.crt"}):
            with connected(tmp_path, server.url, cluster=trusted) as transport:
                assert 200 == transport.call("GET", PATH).status


@pytest.mark.parametrize("stranger", ["another-authority", "the-system-s", "another-name"])
def test_whoever_is_not_trusted_is_told_nothing(tmp_path: Path, stranger: str) -> None:
    """Not even our token: the connection ends before a request is sent."""
    pki = Pki(tmp_path)
    other = Authority.create("other", dt.datetime.now(dt.UTC)).certificate
    cluster = {
        "another-authority": {"certificate-authority-data": base64.b64encode(other).decode()},
        "the-system-s": {},
        "another-name": {**pki.trusted, "tls-server-name": "other.example"},
    }[stranger]
    user = {"token": "secret"}
    with api_server(pki.serving()) as server, connected(tmp_path, server.url, cluster=cluster, user=user) as transport:
        with pytest.raises(Unreachable, match="not trusted") as failed:
            transport.call("POST", PATH, body=_BODY)
        assert [] == server.asked
    assert "secret" not in str(failed.value) + repr(failed.value)


def test_the_name_in_the_certificate_can_be_another_than_the_address_s(tmp_path: Path) -> None:
    """As behind a tunnel: ``tls-server-name`` of the kubeconfig counts."""
    pki = Pki(tmp_path)
    with api_server(pki.serving()) as server:
        cluster = {**pki.trusted, "tls-server-name": "api.example"}
        with connected(tmp_path, server.url, cluster=cluster) as transport:
            assert 200 == transport.call("GET", PATH).status


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_not_to_verify_is_said_loudly(tmp_path: Path) -> None:
    """It works as the kubeconfig wants it, and everybody can see that."""
    pki = Pki(tmp_path)
    blind = {"insecure-skip-tls-verify": True}
    with api_server(pki.serving()) as server, connected(tmp_path, server.url, cluster=blind) as transport:
        assert 200 == transport.call("GET", PATH).status
        assert [True] == ["insecure-skip-tls-verify" in note for note in transport.notes]


def test_a_certificate_of_ours_is_shown(tmp_path: Path) -> None:
    """It and its key are nowhere on the disk, and are used again for every connection."""
    pki = Pki(tmp_path)
    user = _user(pki.authority.issue("me"))
    with api_server(pki.serving(wants=True)) as server:
        with connected(tmp_path, server.url, cluster=pki.trusted, user=user) as transport:
            for _ in range(2):
                assert 200 == transport.call("GET", PATH).status
                assert transport._pools is not None
                transport._pools[1].clear()
        with connected(tmp_path, server.url, cluster=pki.trusted) as transport, pytest.raises(Unreachable):
            transport.call("GET", PATH)


# ---- credentials that change ----


def test_a_token_that_was_rotated_is_read_again(server: ApiServer, tmp_path: Path) -> None:
    """Before anybody is refused, where its file changed; and at once where the server refuses the one before."""
    token = tmp_path / "token"
    token.write_text("first\n")
    server.tokens = {"first"}
    with connected(tmp_path, server.url, user={"tokenFile": "token"}) as transport:
        transport.call("GET", PATH)
        token.write_text("second\n")
        server.tokens = {"second"}
        _let_time_pass(transport)
        transport.call("GET", PATH)
        assert ["Bearer first", "Bearer second"] == [one.headers["authorization"] for one in server.asked]


def test_a_refused_token_is_read_again_once(server: ApiServer, tmp_path: Path) -> None:
    """And the request is sent again with the new one; with the same one it is refused for good."""
    server.tokens = {"first"}
    with connected(tmp_path, server.url, user={"token": "first"}) as transport:
        transport.call("GET", PATH)
        server.tokens = {"second"}
        transport._login._loaded_at -= 60
        with pytest.raises(Forbidden, match="401"):
            transport.call("GET", PATH)
        write_kubeconfig(tmp_path / "kubeconfig", server.url, user={"token": "second"})
        transport._login._loaded_at -= 60
        assert 200 == transport.call("GET", PATH).status
    sent = [one.headers["authorization"].removeprefix("Bearer ") for one in server.asked]
    assert ["first", "first", "first", "second"] == sent


def test_half_a_kubeconfig_is_no_reason_to_forget_who_we_are(server: ApiServer, tmp_path: Path) -> None:
    """Whoever writes it anew is not done yet: what we have is used until there is something else."""
    server.tokens = {"first"}
    with connected(tmp_path, server.url, user={"token": "first"}) as transport:
        transport.call("GET", PATH)
        (tmp_path / "kubeconfig").write_text("clusters: [")
        _let_time_pass(transport)
        transport.call("GET", PATH)
        server.tokens = {"second"}
        write_kubeconfig(tmp_path / "kubeconfig", server.url, user={"token": "second"})
        _let_time_pass(transport)
        transport.call("GET", PATH)


def _let_time_pass(transport: Transport) -> None:
    """Let it be time to look at files again."""
    transport._login._looked_at -= 60
