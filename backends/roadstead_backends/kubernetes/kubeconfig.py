"""What a kubeconfig says about one context, read without running anything that it names.

A kubeconfig is code: it can name a program that is run for credentials, and it says to whom they are sent. So it is
looked at before it is used, and what we would have to ignore in it is refused.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import yaml
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.kube_config import ConfigNode, KubeConfigMerger

__all__ = ["Entry", "Material", "Plugin", "Unusable", "read_kubeconfig"]

_LOOPBACK: Final = re.compile(r"http://(127(\.\d+){3}|localhost|\[::1\])(:\d+)?(/.*)?")
_IMPERSONATION: Final = ("as", "as-uid", "as-groups", "as-user-extra")

Material = Path | bytes
"""A certificate or a key: where it is, or what it is."""


class Unusable(Exception):
    """Why a cluster cannot be reached with these credentials; ``hint`` is the smallest next step."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@attrs.frozen(kw_only=True)
class Plugin:
    """A program that prints credentials, as the kubeconfig has it; ``cluster`` is what it may be told about ours."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    api_version: str
    install_hint: str
    cluster: Mapping[str, Any] | None


@attrs.frozen(kw_only=True)
class Entry:
    """One context: where the API server is, how it is known, and who we are there.

    ``read_from`` are the files that this was read from; when one of them changes, this is old.
    """

    context: str
    server: str
    namespace: str | None = None
    authority: Material | None = None
    server_name: str | None = None
    verify: bool = True
    proxy: str | None = None
    certificate: Material | None = None
    key: Material | None = attrs.field(default=None, repr=False)
    token: str | None = attrs.field(default=None, repr=False)
    token_file: Path | None = None
    basic: tuple[str, str] | None = attrs.field(default=None, repr=False)
    plugin: Plugin | None = None
    read_from: frozenset[Path] = frozenset()
    notes: tuple[str, ...] = ()


def read_kubeconfig(paths: tuple[Path, ...], context: str | None, *, allow_exec: bool) -> Entry:
    """Return what the first file of ``paths`` that has a thing says of it, as kubectl reads them; raises `Unusable`."""
    found = tuple(path for path in paths if path.exists())
    if not found:
        names = ", ".join(map(str, paths))
        raise Unusable(f"there is no kubeconfig at {names}", hint="name it with `kubeconfig` in the cluster's options")
    notes = tuple(note for path in found if (note := _check_file(path)) is not None)
    try:
        merged: ConfigNode = KubeConfigMerger(os.pathsep.join(map(str, found))).config  # type: ignore[no-untyped-call]
        return _entry(merged, context, found, notes, allow_exec=allow_exec)
    except (ConfigException, yaml.YAMLError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        names = ", ".join(map(str, found))
        raise Unusable(f"{names} cannot be used: {error}", hint="try it with `kubectl --context`") from error


def _check_file(path: Path) -> str | None:
    """Refuse a file that others may write; return what is to be said about one that others may read."""
    about = path.stat()
    if about.st_uid not in (0, os.geteuid()):
        raise Unusable(f"{path} belongs to user {about.st_uid}, not to us", hint=f"chown {os.geteuid()} {path}")
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unusable(f"others than its owner may write {path}", hint=f"chmod go-w {path}")
    if about.st_mode & stat.S_IROTH and _holds_secrets(path):
        return f"everybody on this machine may read the credentials in {path}"
    return None


def _holds_secrets(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.search(r"\b(token|password|client-key-data)\s*[\"']?:", text) is not None


def _entry(
    merged: ConfigNode, name: str | None, files: tuple[Path, ...], notes: tuple[str, ...], *, allow_exec: bool
) -> Entry:
    name = name or merged["current-context"]
    context = _named(merged, "contexts", name, "context")
    cluster = _named(merged, "clusters", context.value["cluster"], "cluster")
    named = context.value.get("user")
    user = _named(merged, "users", named, "user") if named else _Node({}, cluster.folder)
    _check_user(user.value, name, allow_exec=allow_exec)
    server = str(cluster.value["server"]).rstrip("/")
    _check_server(server)
    verify = not cluster.value.get("insecure-skip-tls-verify", False)
    token_file = user.path("tokenFile")
    materials = (
        cluster.material("certificate-authority"),
        user.material("client-certificate"),
        user.material("client-key"),
    )
    named_files = [one for one in (*materials, token_file) if isinstance(one, Path)]
    return Entry(
        context=name,
        server=server,
        namespace=context.value.get("namespace"),
        authority=materials[0],
        server_name=cluster.value.get("tls-server-name"),
        verify=verify,
        proxy=cluster.value.get("proxy-url"),
        certificate=materials[1],
        key=materials[2],
        token=user.value.get("token"),
        token_file=token_file,
        basic=(user.value["username"], user.value["password"]) if "password" in user.value else None,
        plugin=_plugin(user, cluster, server),
        read_from=frozenset((*files, *named_files)),
        notes=notes if verify else (*notes, _UNVERIFIED.format(context=name)),
    )


_UNVERIFIED: Final = (
    "nobody checks that {context} is the API server it should be (insecure-skip-tls-verify in the kubeconfig): "
    "whoever is in between can read the credentials and act with them"
)


# ---- what is refused ----


def _check_server(server: str) -> None:
    if server.startswith("https://") or _LOOPBACK.fullmatch(server):
        return
    raise Unusable(f"{server!r} is not https", hint="credentials are sent over TLS only, but for loopback addresses")


def _check_user(user: Mapping[str, Any], context: str, *, allow_exec: bool) -> None:
    ignored = [key for key in _IMPERSONATION if user.get(key)]
    if ignored:
        raise Unusable(
            f"context {context!r} acts as somebody else ({ignored[0]!r})", hint="use credentials of that user itself"
        )
    if user.get("auth-provider"):
        raise Unusable(
            f"context {context!r} gets its credentials by an auth-provider, which is not supported",
            hint="use an `exec` plug-in in its place, as kubectl does since 1.26",
        )
    if user.get("exec") and not allow_exec:
        raise Unusable(
            f"context {context!r} gets its credentials from a program, {user['exec'].get('command')!r}",
            hint="if you trust it, set `allow_exec: true` in the cluster's options",
        )


# ---- what is read ----


@attrs.frozen
class _Node:
    """A part of a kubeconfig, and the folder that relative paths in it begin at."""

    value: Mapping[str, Any]
    folder: Path

    def path(self, key: str) -> Path | None:
        """Return the file that is named there."""
        named = self.value.get(key)
        return self.folder / Path(named).expanduser() if named else None

    def material(self, key: str) -> Material | None:
        """Return the certificate or key that is there, or named there; what is there counts."""
        data = self.value.get(f"{key}-data")
        if not data:
            return self.path(key)
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ValueError(f"`{key}-data` is not base64: {error}") from error


def _named(merged: ConfigNode, kind: str, name: str, inner: str) -> _Node:
    found: ConfigNode = merged[kind].get_with_name(name)
    folder = Path(found.path).absolute().parent if found.path else Path.cwd()
    return _Node(found.value[inner] or {}, folder)


def _plugin(user: _Node, cluster: _Node, server: str) -> Plugin | None:
    asked = user.value.get("exec")
    if not asked:
        return None
    command = str(asked["command"])
    return Plugin(
        # As kubectl does: a bare name is looked up on the PATH, any other stands beside the file.
        command=str(user.folder / command) if os.sep in command else command,
        args=tuple(asked.get("args") or ()),
        env={one["name"]: one["value"] for one in asked.get("env") or ()},
        api_version=str(asked["apiVersion"]),
        install_hint=str(asked.get("installHint") or ""),
        cluster=_told(cluster.value, server) if asked.get("provideClusterInfo") else None,
    )


def _told(cluster: Mapping[str, Any], server: str) -> Mapping[str, Any]:
    """Return what a plug-in is told about its cluster, as ``client.authentication.k8s.io`` has it."""
    told = {
        "server": server,
        "tls-server-name": cluster.get("tls-server-name"),
        "insecure-skip-tls-verify": cluster.get("insecure-skip-tls-verify"),
        "certificate-authority-data": cluster.get("certificate-authority-data"),
        "proxy-url": cluster.get("proxy-url"),
        "config": next(
            (
                one["extension"]
                for one in cluster.get("extensions") or ()
                if one["name"] == "client.authentication.k8s.io/exec"
            ),
            None,
        ),
    }
    return {key: value for key, value in told.items() if value is not None}
