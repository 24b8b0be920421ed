"""Connections to an API server on loopback, as a fleet file's options would make them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roadstead.units import Duration
from roadstead_backends.kubernetes.access import FromFiles, Login
from roadstead_backends.kubernetes.transport import Limits, Transport

__all__ = ["PATIENT", "chance", "connected", "logged_in", "write_kubeconfig"]

PATIENT = Limits(connect=Duration(10_000), read=Duration(10_000), whole=Duration(20_000))


def chance(seed: int) -> random.Random:
    """Return a source of chance that can be repeated."""
    return random.Random(seed)  # noqa: S311  # repeatable on purpose


def write_kubeconfig(path: Path, server: str, **parts: Mapping[str, Any]) -> Path:
    """Write a kubeconfig with one context, that ``user``, ``cluster`` and ``context`` add to; return where."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "one", "user": "me", **parts.get("context", {})}}],
        "clusters": [{"name": "one", "cluster": {"server": server, **parts.get("cluster", {})}}],
        "users": [{"name": "me", "user": {**parts.get("user", {})}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document))
    return path


def logged_in(path: Path, *, allow_exec: bool = False, context: str | None = None) -> Login:
    """Return the credentials of a kubeconfig."""
    return Login(FromFiles(paths=(path,), context=context, allow_exec=allow_exec))


@contextmanager
def connected(folder: Path, server: str, limits: Limits = PATIENT, **parts: Mapping[str, Any]) -> Iterator[Transport]:
    """Connect to a server with a kubeconfig that is written for that, and disconnect at the end."""
    login = logged_in(write_kubeconfig(folder / "kubeconfig", server, **parts))
    transport = Transport(login, cluster="prod", limits=limits)
    try:
        yield transport
    finally:
        transport.close()
