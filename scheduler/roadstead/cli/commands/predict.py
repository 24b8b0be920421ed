"""``roadstead predict``."""

from __future__ import annotations

import http
import http.client
import json
import ssl
from typing import Any, TextIO
from urllib.parse import quote

import attrs
import click

from roadstead.cli.errors import BadInput, NotFound, ServerFailed, ServerSilent
from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import source
from roadstead.cli.trust import Trust, trusting
from roadstead.decide.report import AddressStatus, DeploymentStatus, Life, ReplicaStatus, authority

__all__ = ["body_of", "command"]

_SERVING = (Life.LISTED, Life.READY)


@click.command("predict", cls=Command)
@common()
@click.argument("name")
@click.argument("input", type=click.File("r", encoding="utf-8"), default="-")
@click.option("--replica", metavar="REPLICA", help="Ask this replica itself, past the gateway.")
@click.option("--signature", metavar="NAME", help="The model's signature. [default: serving_default]")
@click.option("--within", type=click.FloatRange(min=0.001), default=60.0, show_default=True, help="Seconds to wait.")
@trusting
def command(
    name: str,
    input: TextIO,  # noqa: A002  # click calls it as the argument is called in help
    *,
    replica: str | None,
    signature: str | None,
    within: float,
    trust: Trust,
) -> None:
    """Send JSON to a served model and print its answer.

    The request goes to the deployment's address, and without a gateway to one of its replicas.

    INPUT is a file, or - for stdin (the default). It is the body of a TensorFlow Serving REST request,
    {"instances": [...]} in row format or {"inputs": {...}} in column format; a bare list is taken as rows, any other
    object as columns.

    \b
    echo '{"instances": [{"input_ids": [101, 7592, 102], "attention_mask": [1, 1, 1]}]}' | roadstead predict minilm
    """  # noqa: D301  # the \b is click's: what follows keeps its lines
    screen = Screen()
    body = body_of(input.read(), signature)
    with source(screen) as asked:
        deployment = deployment_in(asked.status(), name)
    address = deployment.address
    server = _replica(deployment, replica) if address is None or replica else _gateway(deployment.name, address, trust)
    screen.detail(f"asking {server}")
    click.echo(json.dumps(_ask(server, deployment.model, body, within), indent=2))


def body_of(text: str, signature: str | None) -> dict[str, Any]:
    """Return the request that ``text`` means; raises :class:`BadInput`."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadInput(f"the input is no JSON: {error}", hint='for example {"instances": [[1.0, 2.0]]}') from error
    if isinstance(found, list):
        found = {"instances": found}
    elif not isinstance(found, dict):
        raise BadInput(f"the input is {found!r}, neither a list nor an object", hint="`roadstead predict --help`")
    elif not found.keys() & {"instances", "inputs"}:
        found = {"inputs": found}
    return {**found, **({"signature_name": signature} if signature is not None else {})}


@attrs.frozen(kw_only=True)
class _Server:
    """Where the request goes; ``called`` is its name in messages, and ``hint`` where to look if it does not answer."""

    called: str
    host: str
    port: int
    hint: str
    trust: Trust | None = None

    def __str__(self) -> str:
        return f"{self.called} at {authority(self.host, self.port)}"

    def connection(self, within: float) -> http.client.HTTPConnection:
        """Return a connection that is not made yet."""
        if self.trust is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=within)
        return self.trust.connection(self.host, self.port, within)


def _gateway(deployment: str, address: AddressStatus, trust: Trust) -> _Server:
    return _Server(
        called=f"gateway {address.gateway}",
        host=address.from_here.host,
        port=address.port,
        hint=f"`roadstead why {deployment}` says how requests get to its replicas",
        trust=trust if address.tls else None,
    )


def _replica(deployment: DeploymentStatus, name: str | None) -> _Server:
    if name is not None:
        found = next((one for one in deployment.replicas if one.id == name), None)
        if found is None or found.rest is None:
            raise NotFound(f"{deployment.name} has no replica {name!r} with a REST port", hint="`roadstead status`")
        return _itself(found)
    serving = [one for one in deployment.replicas if one.life in _SERVING and one.rest is not None]
    if not serving:
        raise NotFound(
            f"{deployment.name} has no replica that serves REST now", hint=f"`roadstead why {deployment.name}` says why"
        )
    return _itself(min(serving, key=lambda one: (_SERVING.index(one.life), one.id)))


def _itself(replica: ReplicaStatus) -> _Server:
    return _Server(
        called=replica.id,
        host=replica.host or "",
        port=replica.rest or 0,
        hint=f"`roadstead logs {replica.id}` shows what it printed",
    )


def _ask(server: _Server, model: str, body: dict[str, Any], within: float) -> Any:
    try:
        status, text = _answer(server.connection(within), model, body)
    except ssl.SSLError as error:
        raise ServerFailed(
            f"{server}: no TLS that can be trusted: {getattr(error, 'verify_message', '') or error.reason or error}",
            hint="--ca names who signed its certificate, --server-name the name in it",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        said = str(error) or type(error).__name__
        raise ServerSilent(f"{server} gave no answer: {said}", hint=server.hint) from error
    if status == http.HTTPStatus.OK:
        return json.loads(text)
    said = f"{server} answered {status}: {_error_in(text)}"
    if status < http.HTTPStatus.INTERNAL_SERVER_ERROR and status != http.HTTPStatus.TOO_MANY_REQUESTS:
        raise BadInput(said, hint="the input is not what the model takes")
    raise ServerFailed(said, hint=server.hint)


def _answer(connection: http.client.HTTPConnection, model: str, body: dict[str, Any]) -> tuple[int, str]:
    try:
        path = f"/v1/models/{quote(model, safe='')}:predict"
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def _error_in(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:500]
