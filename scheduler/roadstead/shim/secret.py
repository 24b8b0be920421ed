"""Secrets, looked up where and when the server starts; only the reference is ever written down."""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import os

KINDS = ("env", "file")


class SecretError(Exception):
    """A secret cannot be looked up; the text names the variable and the reference, never a value."""


def look_up(name: str, reference: str) -> str:
    """Return the value of a secret: ``file:PATH`` (without a final newline) or ``env:NAME`` of this process.

    Raises :class:`SecretError`.
    """
    kind, _, where = reference.partition(":")
    if kind == "env":
        if where not in os.environ:
            raise SecretError(f"secret {name}: the daemon's environment has no {where}; start the daemon with it")
        return os.environ[where]
    if kind == "file":
        try:
            with open(where, encoding="utf-8") as file:
                return file.read().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(f"secret {name}: {where} cannot be read: {error}") from error
    raise SecretError(f"secret {name}: reference {reference!r} is of no kind known here; write file:PATH or env:NAME")
