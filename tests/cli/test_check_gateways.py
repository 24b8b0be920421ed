"""What `roadstead check` finds about gateways: what is missing, certificates, ports, and what they say themselves."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.cli.data_path import declared as found_before
from roadstead.cli.data_path import running as found_running
from roadstead.cli.doctor import Finding, Level
from roadstead.decide.report import FleetStatus, RolloutState
from roadstead.model import GatewaySpec, Tls
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.host import PluginHost, Provenance
from roadstead.spi.records import GatewayPlugin
from tests.cli.stage import DAEMON, EDGE, Stage, behind, declared

ROOTS = Path("/state/gateways")


class Lacking:
    """Brings a kind of gateway that says what it lacks."""

    def __init__(self, *lacks: str) -> None:
        self.lacks = lacks

    @hookimpl
    def roadstead_gateways(self) -> Iterator[GatewayPlugin]:
        """Bring it."""
        yield GatewayPlugin(
            name="lacking", factory="nowhere:at_all", summary="for tests", missing=lambda _options: self.lacks
        )


def host_with(plugin: object) -> PluginHost:
    """Return a host that knows this plugin alone."""
    host = PluginHost()
    host.register(plugin, Provenance(distribution="lacking", version="1.0", module="lacking"))
    return host


def found(spec: GatewaySpec, *lacks: str) -> list[Finding]:
    """Return what is found about a gateway before it runs."""
    return list(found_before(behind(declared(), spec=spec), host_with(Lacking(*lacks))))


def certificate(folder: Path, *more: str) -> Tls:
    """Make a certificate of its own, and its key."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl is not installed"
    made = Tls(certificate=str(folder / "cert.pem"), key=str(folder / "key.pem"))
    ask = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=x", *more]
    files = ["-keyout", made.key, "-out", made.certificate]
    subprocess.run([openssl, *ask, *files], check=True, capture_output=True)
    return made


def status_of(stage: Stage, **service: Any) -> FleetStatus:
    """Return the status of a stage as a daemon, or with ``daemon=None`` a command, would give it."""
    return stage.status(attrs.evolve(DAEMON, **service))


def settled(status: FleetStatus) -> bool:
    """Whether everything in the fleet is as asked."""
    return all(one.state is RolloutState.SETTLED for one in status.deployments)


def test_what_a_kind_of_gateway_lacks_here_is_told_in_its_plugins_words() -> None:
    """Nothing is started to find that out; what lacks nothing can run."""
    spec = attrs.evolve(EDGE, kind="lacking")
    assert [(Level.WRONG, "edge (lacking): there is no proxy here")] == [
        (one.level, one.text) for one in found(spec, "there is no proxy here")
    ]
    assert [(Level.OK, "edge (lacking) can run here")] == [(one.level, one.text) for one in found(spec)]


def test_envoy_says_what_it_lacks() -> None:
    """It is installed where the tests run, and found by looking at files."""
    spec = attrs.evolve(EDGE, options=None)
    (one,) = found_before(behind(declared(), spec=spec), PluginHost.installed())
    assert (Level.OK, "edge (envoy) can run here") == (one.level, one.text)


def test_a_certificate_is_tried_with_its_key(tmp_path: Path) -> None:
    """As the gateway will: that both are there, can be read, and belong together."""
    tls = certificate(tmp_path, "-nodes")
    spec = attrs.evolve(EDGE, kind="lacking", tls=tls)
    assert [Level.OK, Level.OK] == [one.level for one in found(spec)]


@pytest.mark.parametrize("wrong", ["missing", "garbage", "another key", "encrypted"])
def test_a_certificate_that_cannot_be_used_is_in_the_way(tmp_path: Path, wrong: str) -> None:
    """And nobody is asked for a password."""
    tls = certificate(tmp_path, *(["-passout", "pass:secret"] if wrong == "encrypted" else ["-nodes"]))
    if wrong == "missing":
        Path(tls.key).unlink()
    elif wrong == "garbage":
        Path(tls.certificate).write_text("no PEM at all")
    elif wrong == "another key":
        (tmp_path / "other").mkdir()
        Path(tls.key).write_text(Path(certificate(tmp_path / "other", "-nodes").key).read_text())
    _, one = found(attrs.evolve(EDGE, kind="lacking", tls=tls))
    assert Level.WRONG is one.level
    assert tls.key in one.text
    assert "gateways.edge.tls" in one.hint


def test_a_gateway_that_answers_is_told_with_what_it_serves() -> None:
    """One finding, and none for addresses that are served."""
    stage = Stage(behind(declared()))
    stage.until(settled)
    assert [(Level.OK, "edge answers, with 1 deployment; up to date")] == [
        (one.level, one.text) for one in found_running(status_of(stage), ROOTS)
    ]


def test_an_address_that_clients_cannot_use_is_in_the_way() -> None:
    """With the gateway's own words, and where to read more."""
    stage = Stage(behind(declared()))
    stage.until(settled)
    stage.proxy.faults.problems["minilm"] = "address already in use"
    _, one = found_running(status_of(stage), ROOTS)
    assert (Level.WRONG, "minilm at 127.0.0.1:18000: address already in use") == (one.level, one.text)
    assert "`roadstead why minilm`" in one.hint


def test_a_gateway_that_does_not_answer_its_daemon_is_in_the_way() -> None:
    """Once: every address behind it is as good as that."""
    stage = Stage(behind(declared(), declared("translate", replicas=1)))
    stage.until(settled)
    stage.proxy.faults.mute = True
    stage.turn()
    (one,) = found_running(status_of(stage), ROOTS)
    assert Level.WRONG is one.level
    assert "edge does not answer since" in one.text
    assert "/state/gateways/edge" in one.hint


def test_a_port_that_somebody_has_is_found_before_the_gateway_runs() -> None:
    """By trying to have it; with who has it, and the key that names another."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        stage = Stage(behind(declared(), port=port))
        (one,) = found_running(status_of(stage, daemon=None), ROOTS)
    assert Level.WRONG is one.level
    assert f"edge cannot listen at 127.0.0.1:{port} for minilm: " in one.text
    assert "in use by process" in one.text
    assert "deployments.minilm.gateway.port" in one.hint
    (free,) = found_running(status_of(stage, daemon=None), ROOTS)
    assert (Level.OK, "edge does not run; its ports are free") == (free.level, free.text)


@pytest.mark.parametrize(("address", "told"), [("192.0.2.1", "assign requested address"), ("::2", "requested address")])
def test_an_address_that_this_machine_does_not_have_is_found_too(address: str, told: str) -> None:
    """Whatever its version; addresses for documentation (RFC 5737) are nobody's."""
    stage = Stage(behind(declared(), spec=attrs.evolve(EDGE, address=address)))
    (one,) = found_running(status_of(stage, daemon=None), ROOTS)
    assert Level.WRONG is one.level
    assert told in one.text
