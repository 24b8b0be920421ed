"""The kinds of text that a fleet file holds: names, paths, addresses and references, each with its rule in words.

A function here takes the text of a value and returns what it means, or raises
:class:`roadstead.config.shapes.Refused`. Nothing is looked up: whether a path exists is for the cluster that reads it.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from roadstead.config.problems import ProblemCode
from roadstead.config.shapes import Refused, Text
from roadstead.config.source import UNFILLED, shown

__all__ = [
    "ADDRESS",
    "ATTRIBUTE",
    "CLUSTER_NAME",
    "DEPLOYMENT_NAME",
    "DIGEST",
    "FILE_PATH",
    "FLEET_NAME",
    "GATEWAY_NAME",
    "MODEL_NAME",
    "OWNER_NAME",
    "PATTERN",
    "SCHEMES",
    "SECRET_REF",
    "SOURCE",
    "VARIABLE_NAME",
    "alternatives",
    "nearest",
]

SCHEMES: Final = ("http", "https", "s3", "gs", "oci", "pvc")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def alternatives(words: Iterable[str]) -> str:
    """Return ``words`` as a sentence lists what may be chosen.

    >>> alternatives(["a", "b", "c"])
    'a, b or c'
    """
    *most, last = list(words) or ["nothing"]
    return f"{', '.join(most)} or {last}" if most else last


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return which of the ``known`` words was meant, or ``None`` where none is near; camelCase and ``-`` are near.

    >>> nearest("maxSurge", ["max_surge", "history"]), nearest("memroy", ["cpu", "memory"]), nearest("x", ["cpu"])
    ('max_surge', 'memory', None)
    """
    return _nearest(word, tuple(sorted(known))) if len(word) <= 64 else None


@lru_cache(maxsize=4096)  # the same mistake is often made in many places, and through aliases in very many
def _nearest(word: str, candidates: tuple[str, ...]) -> str | None:
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", word).lower().replace("-", "_")
    for candidate in candidates:
        if candidate.lower().replace("-", "_") == snake:
            return candidate
    found = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.7) if len(candidates) <= 1000 else []
    return found[0] if found else None


def _address(text: str) -> str:
    host, separator, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not separator or not re.fullmatch("[0-9]{1,5}", port, re.ASCII) or int(port) > 65535 or not bare:
        raise Refused(
            f"{shown(text)} is no address with a port",
            "write it like 127.0.0.1:7070 or [::1]:7070; port 0 takes a free one",
        )
    if bare == "localhost":
        return text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError as error:
        raise Refused(
            f"{shown(bare)} is no IP address", "write an IP address or localhost, such as 127.0.0.1:7070"
        ) from error
    if address.version == 6 and bare == host:
        raise Refused(f"{shown(text)} is ambiguous", f"write an IPv6 address in brackets: [{bare}]:{port}")
    if not address.is_loopback:
        raise Refused(
            f"{bare} is not a loopback address, which needs TLS and a token, and those are not in this version",
            "use 127.0.0.1 and put a proxy that asks for credentials in front of it",
            ProblemCode.NOT_BUILT,
        )
    return text


def _path(text: str) -> str:
    """Check a path; one of Windows would be taken for the name of one file."""
    if "\\" in text or re.match("[A-Za-z]:/", text):
        hint = "write it as the machine that uses it knows it, with / between the folders"
        raise Refused(f"{shown(text)} is a path of Windows", hint)
    return _filled_in(text)


def _filled_in(text: str) -> str:
    if UNFILLED.search(text):
        raise Refused(f"{shown(text)} has a variable in it, and nothing is filled in here", "write the path itself")
    return text


def _source(text: str) -> str:
    if not text:
        raise Refused("the source is empty", "write a path or a URL")
    if text.startswith("~"):
        raise Refused(
            f"{shown(text)}: ~ is not expanded, because the daemon may have another home", "write the whole path"
        )
    scheme = _SCHEME.match(_filled_in(text))
    if scheme is None:
        return _path(text)
    word = scheme[1]
    if word == "file":
        raise Refused(
            f"{shown(text)} is a path in the form of a URL", f"write the path: {text.removeprefix('file://')[:80]}"
        )
    if word not in SCHEMES:
        near = nearest(word, SCHEMES)
        hint = f"did you mean {near}://?" if near else f"use a path, or {alternatives(f'{one}://' for one in SCHEMES)}"
        raise Refused(f"{shown(text)} has a scheme that is not known, {word!r}", hint)
    try:
        place = urlsplit(text).netloc
    except ValueError as error:
        raise Refused(f"{shown(text)} is no URL: {error}", "write it like https://host/path") from error
    if not place:
        raise Refused(f"{shown(text)} names no host, bucket or claim", f"write it like {word}://NAME/path")
    return text


def _secret_ref(text: str) -> str:
    kind, separator, rest = text.partition(":")
    if not separator or kind not in ("file", "env", "kubernetes"):
        raise Refused(
            f"{shown(text)} does not say where the secret is kept",
            "write file:/run/secrets/token, env:TOKEN or kubernetes:secret/key; never the secret itself",
        )
    if kind == "file" and not rest.startswith("/"):
        raise Refused(
            f"{shown(text)} has a relative path", "write the whole path, as the machine that runs the replica knows it"
        )
    if kind == "env" and not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", rest):
        raise Refused(f"{shown(rest)} is no name of an environment variable", "write it like env:TOKEN")
    if kind == "kubernetes" and not re.fullmatch("[a-z0-9][a-z0-9.-]*/[A-Za-z0-9._-]+", rest):
        raise Refused(f"{shown(rest)} is no secret with a key", "write it like kubernetes:secret/key")
    return text


def _pattern(text: str) -> str:
    """Check a regular expression; one that Python warns about is refused too: it does not mean what it seems to."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise Refused(
            f"{shown(text)} is no regular expression: {error}", "see Python's `re`; the whole attribute must match"
        ) from error
    return text


_LABEL: Final = "[a-z]([a-z0-9-]{0,33}[a-z0-9])?"
_LABEL_RULE: Final = (
    "lower-case letters, digits and -, starting with a letter and not ending in -, at most 35 characters"
)

FLEET_NAME: Final = Text(
    noun="a fleet's name",
    pattern="[a-z][a-z0-9]{0,15}",
    rule="lower-case letters and digits, starting with a letter, at most 16 characters",
    code=ProblemCode.NAME,
)
DEPLOYMENT_NAME: Final = Text(noun="a deployment's name", pattern=_LABEL, rule=_LABEL_RULE, code=ProblemCode.NAME)
CLUSTER_NAME: Final = Text(noun="a cluster's name", pattern=_LABEL, rule=_LABEL_RULE, code=ProblemCode.NAME)
GATEWAY_NAME: Final = Text(noun="a gateway's name", pattern=_LABEL, rule=_LABEL_RULE, code=ProblemCode.NAME)
OWNER_NAME: Final = Text(
    noun="an owner's name",
    pattern="[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?",
    rule="letters, digits and ._- between them, at most 63 characters",
    code=ProblemCode.NAME,
)
MODEL_NAME: Final = Text(
    noun="a model's name",
    pattern="[A-Za-z0-9][A-Za-z0-9._-]{0,127}",
    rule="letters, digits and ._-, starting with a letter or digit, at most 128 characters",
    code=ProblemCode.NAME,
)
VARIABLE_NAME: Final = Text(
    noun="the name of an environment variable",
    pattern="[A-Za-z_][A-Za-z0-9_]{0,254}",
    rule="letters, digits and _, not starting with a digit",
    code=ProblemCode.NAME,
)
ATTRIBUTE: Final = Text(
    noun="a node attribute",
    pattern="[A-Za-z0-9][A-Za-z0-9._/-]{0,252}",
    rule="letters, digits and ._/-, starting with a letter or digit",
    code=ProblemCode.NAME,
)
DIGEST: Final = Text(
    noun="a digest",
    pattern="[0-9a-f]{64}",
    rule="64 hexadecimal digits in lower case, as `roadstead model digest PATH` prints them",
)
ADDRESS: Final = Text(noun="an address", parse=_address, most=260)
SOURCE: Final = Text(noun="a path or URL", parse=_source)
SECRET_REF: Final = Text(noun="a reference to a secret", parse=_secret_ref)
PATTERN: Final = Text(noun="a regular expression", parse=_pattern, most=256)
FILE_PATH: Final = Text(noun="a path", pattern="[^~](.|\n)*", rule="not empty, and ~ is not expanded", parse=_path)
