"""The command of a task: a shell script that writes the server's files, checks its model, and becomes the server. Pure.

Configuration files travel in the command, for an app has nowhere else to keep them. The folder of a task is known on
its agent alone, so what the launch leaves open becomes a variable of the shell, and all else is quoted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final

from roadstead.model import Template
from roadstead.spi.runtime import Launch
from roadstead_backends.marathon.app_options import AppOptions, Network
from roadstead_backends.marathon.sources import Source

__all__ = ["UNUSABLE", "depends_on_place", "script"]

_VARIABLE: Final = re.compile(r"(\$\([A-Z_]+\))")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_FILES: Final = "$MESOS_SANDBOX/config"
UNUSABLE: Final = 65
"""What the command ends with where the model is not what was declared."""

_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # the address is the task's own, or its agent's network stands before it


def script(template: Template, launch: Launch, options: AppOptions, source: Source) -> str:
    """Return what ``/bin/sh -c`` runs; raises :class:`ValueError` for what cannot be said there."""
    meanings = {
        "$(HOST)": '"$HOST"' if options.network is Network.HOST else shlex.quote(_EVERYWHERE),
        "$(MODEL_DIR)": source.folder,
        "$(CONFIG_DIR)": f'"{_FILES}"',
        **_ports(launch, options),
    }
    server = [*map(shlex.quote, options.command or _program(launch)), *(_quoted(one, meanings) for one in launch.args)]
    lines = ["set -eu", *_files(launch, meanings), *_check(template, source), *_variables(template, launch, meanings)]
    return "\n".join([*lines, f"exec {' '.join(server)}"])


def depends_on_place(value: str) -> bool:
    """Return whether a launch leaves something open in a text."""
    return _VARIABLE.search(value) is not None


def _quoted(text: str, meanings: Mapping[str, str]) -> str:
    r"""Return one word of the shell: ``text``, with the variables of a launch filled in when it runs.

    >>> _quoted("--it's=$(HOST)", {"$(HOST)": '"$HOST"'})
    '\'--it\'"\'"\'s=\'"$HOST"'
    """
    pieces = [meanings.get(piece) or shlex.quote(piece) for piece in _VARIABLE.split(text) if piece]
    return "".join(pieces) or "''"


def _files(launch: Launch, meanings: Mapping[str, str]) -> list[str]:
    if not launch.files:
        return []
    for file in launch.files:
        if not _FILE_NAME.fullmatch(file.name):
            raise ValueError(f"configuration file {file.name!r} is no plain file name; use letters and .-_")
    return [
        f'mkdir -p "{_FILES}"',
        *(f'printf %s {_quoted(file.content, meanings)} > "{_FILES}/{file.name}"' for file in launch.files),
    ]


def _check(template: Template, source: Source) -> list[str]:
    """Return what refuses to start over files that are not what was declared, by the digest's public definition."""
    if template.model.digest is None:
        return []
    folder = f"{source.folder}/{template.model.version}"
    digest = "find -L . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-64"
    return [
        f"found=$(cd {folder} && {digest})",
        f'if [ "$found" != {template.model.digest} ]; then',
        '  echo "the model\'s files cannot be used: their digest is $found" >&2',
        f"  exit {UNUSABLE}",
        "fi",
    ]


def _variables(template: Template, launch: Launch, meanings: Mapping[str, str]) -> list[str]:
    """Return the runtime's variables that depend on the place; all others are in the app's own environment."""
    said = {variable.name for variable in template.env}
    return [
        f"export {name}={_quoted(value, meanings)}"
        for name, value in launch.env
        if name not in said and depends_on_place(value)
    ]


def _ports(launch: Launch, options: AppOptions) -> dict[str, str]:
    """Return what ports mean: on the agent's own network those that Marathon gave, elsewhere the launch's own.

    A launch that fixes its ports cannot be used on the agent's network, where it may find them taken.
    """
    asked = {"$(GRPC_PORT)": launch.grpc_port, "$(REST_PORT)": launch.rest_port}
    ports = {name: port for name, port in asked.items() if port is not None}
    if options.network is not Network.HOST:
        return {name: str(port) for name, port in ports.items()}
    said = " ".join((*launch.args, *(value for _, value in launch.env), *(file.content for file in launch.files)))
    for name, port in ports.items():
        if name not in said:
            raise ValueError(
                f"the runtime sets port {port} and does not ask for {name}, and on the agent's network Marathon "
                "chooses ports; set network to bridge or container"
            )
    return {name: f'"$PORT{index}"' for index, name in enumerate(ports)}


def _program(launch: Launch) -> tuple[str, ...]:
    if launch.program.module is not None:
        return ("python3", "-u", "-m", launch.program.module)
    return (launch.program.executable or "",)
