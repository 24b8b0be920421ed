"""What can be wrong with the gateways of a fleet on this machine, before and while they run.

Like the rest of the doctor it changes nothing and starts nothing. What it takes to run a kind of gateway its plugin
knows; whether one runs well is its own word, as the status has it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from roadstead.cli.doctor import Finding, Level
from roadstead.cli.text.traffic import gateway_state
from roadstead.cli.text.words import plural
from roadstead.decide.report import FleetStatus, GatewayStatus, authority
from roadstead.model import Fleet, GatewaySpec, Tls
from roadstead.shim.listeners import explain_taken, listener_at
from roadstead.shim.spec import Address
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import GatewayPlugin

__all__ = ["declared", "running"]

_ABOUT = "gateways"


def declared(fleet: Fleet, host: PluginHost) -> Iterator[Finding]:
    """Yield what is found about every gateway that a fleet file names, without asking it."""
    for spec in fleet.gateways.values():
        plugin = host.get(GatewayPlugin, spec.kind)
        lacks = resolve(plugin.missing, f"gateway {spec.kind!r}")(spec.options) if plugin.missing is not None else ()
        for text in lacks:
            yield Finding(level=Level.WRONG, about=_ABOUT, text=f"{spec.name} ({spec.kind}): {text}")
        if not lacks:
            yield Finding(level=Level.OK, about=_ABOUT, text=f"{spec.name} ({spec.kind}) can run here")
        if spec.tls is not None:
            yield _certificate(spec, spec.tls)


def _certificate(spec: GatewaySpec, tls: Tls) -> Finding:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, _no_password)
    except ssl.SSLError as error:
        wrong = f"{tls.certificate} and {tls.key} are no certificate and its key: {error.reason or error}"
    except OSError as error:
        wrong = f"{tls.certificate} or {tls.key} cannot be read: {error.strerror}"
    except ValueError as error:
        wrong = f"{tls.key} cannot be used: {error}"
    else:
        return Finding(level=Level.OK, about=_ABOUT, text=f"{spec.name}: {tls.certificate} and its key fit")
    hint = f"gateways.{spec.name}.tls names two PEM files that this user can read"
    return Finding(level=Level.WRONG, about=_ABOUT, text=f"{spec.name}: {wrong}", hint=hint)


def _no_password() -> str:
    raise ValueError("it is encrypted, and nobody is there to be asked for a password")


def running(status: FleetStatus, roots: Path) -> Iterator[Finding]:
    """Yield how every gateway is; for one that does not run, whether its ports are free.

    What each keeps, and prints, is in a folder of its name in ``roots``.
    """
    for gateway in status.gateways:
        if gateway.unseen_since is None and not gateway.error:
            yield _answering(gateway)
        elif status.service.daemon is not None:
            text = f"{gateway.name} {gateway_state(gateway)}"
            hint = f"what it prints is kept in {roots / gateway.name}"
            yield Finding(level=Level.WRONG, about=_ABOUT, text=text, hint=hint)
        else:
            yield from _ports(status, gateway)
    answering = {one.name for one in status.gateways if one.unseen_since is None}
    for one in status.deployments:
        if one.address is not None and one.address.problem and one.address.gateway in answering:
            text = f"{one.name} at {one.address.authority}: {one.address.problem}"
            yield Finding(level=Level.WRONG, about=_ABOUT, text=text, hint=f"`roadstead why {one.name}` says more")


def _answering(gateway: GatewayStatus) -> Finding:
    served = plural(len(gateway.deployments), "deployment")
    level = Level.WRONG if gateway.problem else Level.OK
    return Finding(level=level, about=_ABOUT, text=f"{gateway.name} answers, with {served}; {gateway_state(gateway)}")


def _ports(status: FleetStatus, gateway: GatewayStatus) -> Iterator[Finding]:
    """Yield which ports of a gateway that does not run cannot be had."""
    addresses = [(one.name, one.address) for one in status.deployments if one.address is not None]
    taken = 0
    for name, address in addresses:
        refusal = _refusal(address.host, address.port) if address.gateway == gateway.name else ""
        if refusal:
            taken += 1
            text = f"{gateway.name} cannot listen at {authority(address.host, address.port)} for {name}: {refusal}"
            hint = f"deployments.{name}.gateway.port names another port"
            yield Finding(level=Level.WRONG, about=_ABOUT, text=text, hint=hint)
    if not taken:
        yield Finding(level=Level.OK, about=_ABOUT, text=f"{gateway.name} does not run; its ports are free")


def _refusal(host: str, port: int) -> str:
    """Return why nobody can listen there, or nothing."""
    try:
        if ":" in host:
            _try_v6(host, port)
            return ""
        address = Address(host, port)
        listener = listener_at(address)
    except OSError as error:
        return error.strerror or str(error)
    return explain_taken(address, listener) if listener is not None else ""


def _try_v6(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        # As a server does it: what is left of closed connections is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
