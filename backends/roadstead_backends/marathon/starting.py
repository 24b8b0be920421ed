"""How the task of a foreign app starts its server: the program, its flags, and the files that it is given. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from roadstead_backends.marathon.shell import Command, commands, expanded

__all__ = ["EMBEDDED", "SANDBOX", "Starting", "by_image", "by_words", "is_server", "of_command"]

EMBEDDED: Final = "roadstead_plugins.runtimes.tf_serving.server"
"""The module that is the server which comes with Roadstead."""

SANDBOX: Final = "/mnt/mesos/sandbox"
"""Where containers see the folder of their task; without one, ``$MESOS_SANDBOX`` says it."""

_SERVER: Final = re.compile(rf"tensorflow_model_server|{re.escape(EMBEDDED)}")
_IMAGE: Final = re.compile(r"tensorflow[/_]serving|tf[-_]serving")
_FLAG: Final = re.compile(r"--?([a-z_]+)(?:=(.*))?", re.DOTALL)
_CHECK: Final = re.compile(  # as `command.py` writes it, the one script that a shell must run
    r"^found=\$\(cd [^\n]* && find -L [^\n]*\)\n"
    r"if \[ \"\$found\" != (?P<digest>[0-9a-f]{64}) \]; then\n(?:  [^\n]*\n)*fi$",
    re.MULTILINE,
)


@attrs.frozen(kw_only=True)
class Starting:
    """What is run: ``program`` up to the first flag, and the flags as ``(name, value, whole word)`` in their order.

    ``files`` are those that the command writes, by path, ``folder`` is where it runs, ``digest`` what it holds the
    model's files to. ``besides`` is what else it does. In all texts the task's folder is :data:`SANDBOX`, and other
    variables stand as ``$NAME``, but for ``$(HOST)`` and ``$(CONFIG_DIR)``.
    """

    program: tuple[str, ...] = ()
    flags: tuple[tuple[str, str, str], ...] = ()
    odd: tuple[str, ...] = ()
    files: Mapping[str, str] = MappingProxyType({})
    folder: str = SANDBOX
    digest: str | None = None
    besides: tuple[str, ...] = ()

    def flag(self, name: str) -> str | None:
        """Return the value that counts of a flag, ``None`` where it is not said: the last one."""
        said = [value for one, value, _ in self.flags if one == name]
        return said[-1] if said else None


def is_server(words: Sequence[str]) -> bool:
    """Return whether words start a server that we know."""
    return any(_SERVER.search(word) for word in words)


def by_image(image: str) -> bool:
    """Return whether an image starts such a server by itself."""
    return bool(_IMAGE.search(image))


def by_words(words: Sequence[str]) -> Starting:
    """Return what a list of arguments starts, without a shell.

    >>> by_words(["tensorflow_model_server", "--port=1", "x"]).flags
    (('port', '1', '--port=1'),)
    """
    first = next((at for at, word in enumerate(words) if word.startswith("-") and not _is_python(words[:at])), None)
    program = tuple(words if first is None else words[:first])
    flags, odd = [], []
    for word in words[len(program) :]:
        found = _FLAG.fullmatch(word)
        if found is not None:
            flags.append((found[1], found[2] or "", word))
        else:
            odd.append(word)
    return Starting(program=program, flags=tuple(flags), odd=tuple(odd))


def of_command(text: str, environment: Mapping[str, str]) -> Starting:
    """Return what a command starts; raises :class:`ValueError` where only a shell could tell."""
    check = _CHECK.search(text)
    found = commands(_CHECK.sub("", text))
    known = {**environment, "HOST": "$(HOST)", "MESOS_SANDBOX": SANDBOX, "MESOS_DIRECTORY": SANDBOX}
    servers = [one for one in found if is_server([expanded(word, known) for word in one.words])]
    if not servers:
        raise ValueError("no command of it starts TensorFlow Serving")
    *before, server = found[: found.index(servers[0]) + 1]
    around = _Around()
    for one in before:
        around.take(one, known)
    words = [expanded(word, known) for word in server.words]
    if words[0] == "exec":
        words = words[1:]
    for name, value in server.assignments:
        around.besides.append(f"{name}={expanded(value, known)}")
    for one in found[found.index(server) + 1 :]:
        around.besides.append(_said(one, known))
    return attrs.evolve(
        by_words(words),
        files=MappingProxyType(around.files),
        folder=around.folder,
        digest=check["digest"] if check is not None else None,
        besides=tuple(around.besides),
    )


@attrs.define
class _Around:
    """What a script does before its server starts."""

    files: dict[str, str] = attrs.field(factory=dict)
    folder: str = SANDBOX
    besides: list[str] = attrs.field(factory=list)

    def take(self, command: Command, known: Mapping[str, str]) -> None:
        """Follow one command."""
        words = [expanded(word, known) for word in command.words]
        match words:
            case ["printf", "%s", content] if command.output is not None:
                self.files[posixpath.join(self.folder, expanded(command.output, known))] = content
            case ["cd", folder]:
                self.folder = posixpath.normpath(posixpath.join(self.folder, folder))
            case ["set", *_] | ["mkdir", "-p", _]:
                pass
            case _:
                self.besides.append(_said(command, known))


def _said(command: Command, known: Mapping[str, str]) -> str:
    assigned = (f"{name}={expanded(value, known)}" for name, value in command.assignments)
    return " ".join([*assigned, *(expanded(word, known) for word in command.words)])


def _is_python(before: Sequence[str]) -> bool:
    """Return whether what comes after these words are flags of Python's, up to the module that it runs."""
    return bool(before) and posixpath.basename(before[0]).startswith("python") and EMBEDDED not in before
