"""``roadstead predict``."""

from __future__ import annotations

import http.client
import json
from typing import Any, TextIO
from urllib.parse import quote

import click

from roadstead.cli.errors import NotFound, NotUnderstood, ServerFailed
from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import source
from roadstead.decide.report import DeploymentStatus, Life, ReplicaStatus

__all__ = ["body_of", "command"]

_SERVING = (Life.LISTED, Life.READY)


@click.command("predict", cls=Command)
@common()
@click.argument("name")
@click.argument("input", type=click.File("r", encoding="utf-8"), default="-")
@click.option("--replica", metavar="REPLICA", help="Ask this replica, and not the first that is listed.")
@click.option("--signature", metavar="NAME", help="The model's signature. [default: serving_default]")
@click.option("--within", type=click.FloatRange(min=0.001), default=60.0, show_default=True, help="Seconds to wait.")
def command(name: str, input: TextIO, *, replica: str | None, signature: str | None, within: float) -> None:  # noqa: A002
    """Send JSON to a served model and print its answer.

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
    chosen = _replica(deployment, replica)
    screen.detail(f"asking {chosen.id} at {chosen.host}:{chosen.rest}")
    click.echo(json.dumps(_ask(chosen, deployment.model, body, within), indent=2))


def body_of(text: str, signature: str | None) -> dict[str, Any]:
    """Return the request that ``text`` means; raises :class:`NotUnderstood`."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NotUnderstood(f"the input is no JSON: {error}", hint='for example {"instances": [[1.0, 2.0]]}') from error
    if isinstance(found, list):
        found = {"instances": found}
    elif not isinstance(found, dict):
        raise NotUnderstood(f"the input is {found!r}, neither a list nor an object", hint="`roadstead predict --help`")
    elif not found.keys() & {"instances", "inputs"}:
        found = {"inputs": found}
    return {**found, **({"signature_name": signature} if signature is not None else {})}


def _replica(deployment: DeploymentStatus, name: str | None) -> ReplicaStatus:
    if name is not None:
        found = next((one for one in deployment.replicas if one.id == name), None)
        if found is None or found.rest is None:
            raise NotFound(f"{deployment.name} has no replica {name!r} with a REST port", hint="`roadstead status`")
        return found
    serving = [one for one in deployment.replicas if one.life in _SERVING and one.rest is not None]
    if not serving:
        raise NotFound(
            f"{deployment.name} has no replica that serves REST now", hint=f"`roadstead why {deployment.name}` says why"
        )
    return min(serving, key=lambda one: (_SERVING.index(one.life), one.id))


def _ask(replica: ReplicaStatus, model: str, body: dict[str, Any], within: float) -> Any:
    connection = http.client.HTTPConnection(replica.host or "", replica.rest, timeout=within)
    try:
        path = f"/v1/models/{quote(model, safe='')}:predict"
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise ServerFailed(
            f"{replica.id} gave no answer: {str(error) or type(error).__name__}",
            hint=f"`roadstead logs {replica.id}` shows what it printed",
        ) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ServerFailed(
            f"{replica.id} answered {answer.status}: {_error_in(text)}", hint="the input is not what the model takes"
        )
    return json.loads(text)


def _error_in(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:500]
