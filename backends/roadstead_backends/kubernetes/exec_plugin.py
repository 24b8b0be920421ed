"""Credentials from a program, as ``client.authentication.k8s.io`` describes it.

The official client has this too, but waits for ever, and takes a program that failed for a user without credentials.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from typing import Final

import attrs
import msgspec

from roadstead.units import Duration
from roadstead_backends.kubernetes.kubeconfig import Plugin, Unusable

__all__ = ["Issued", "run_plugin"]

_SHOWN: Final = 500


class _Credential(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: dt.datetime | None = None


class _Printed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    api_version: str
    kind: str
    status: _Credential | None = None


@attrs.frozen(kw_only=True)
class Issued:
    """What a program gave us: a token, or a certificate with its key, and until when they hold."""

    token: str | None = attrs.field(repr=False)
    certificate: bytes | None = attrs.field(repr=False)
    key: bytes | None = attrs.field(repr=False)
    expires: dt.datetime | None


def run_plugin(plugin: Plugin, *, timeout: Duration) -> Issued:
    """Run the program and return what it prints; raises :class:`Unusable`.

    It runs with our environment and what the kubeconfig adds, without a terminal, and is killed after ``timeout``.
    """
    info = {
        "apiVersion": plugin.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": False} | ({} if plugin.cluster is None else {"cluster": dict(plugin.cluster)}),
    }
    try:
        done = subprocess.run(
            [plugin.command, *plugin.args],
            env={**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout.seconds,
            check=False,
        )
    except FileNotFoundError as error:
        hint = plugin.install_hint or "install it, or name it by its path in the kubeconfig"
        raise Unusable(f"there is no {plugin.command!r} to get credentials from", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise _failed(plugin, f"did not end within {timeout}") from error
    except OSError as error:
        raise _failed(plugin, f"cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        complaint = done.stderr[-_SHOWN:].decode(errors="replace").strip()
        raise _failed(plugin, f"ended with {done.returncode}: {complaint or 'it says nothing'}")
    return _read(plugin, done.stdout)


def _read(plugin: Plugin, printed: bytes) -> Issued:
    try:
        said = msgspec.json.decode(printed, type=_Printed)
    except msgspec.DecodeError as error:  # without what it printed: that may be a credential
        raise _failed(plugin, f"printed no ExecCredential: {error}") from error
    if said.kind != "ExecCredential" or said.api_version != plugin.api_version:
        raise _failed(plugin, f"printed a {said.kind} of {said.api_version}, not of {plugin.api_version}")
    status = said.status or _Credential()
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        raise _failed(plugin, "printed neither a token nor a certificate with its key")
    return Issued(
        token=status.token or None,
        certificate=status.client_certificate_data.encode() or None,
        key=status.client_key_data.encode() or None,
        expires=status.expiration_timestamp,
    )


def _failed(plugin: Plugin, what: str) -> Unusable:
    return Unusable(f"{plugin.command!r}, which is to give us credentials, {what}", hint="run it by hand")
