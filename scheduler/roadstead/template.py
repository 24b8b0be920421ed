"""A template's canonical form and its revision: the identity under which a group exists on a cluster.

The canonical form leaves out every field that equals its default, so adding a key with a default to the model changes
no revision and restarts nothing. For the same reason **a default never changes within a canonical version**, and
``tests`` pin the revision of a known template.
"""

from __future__ import annotations

import base64
import hashlib
import json

import attrs

from roadstead.model import Target, Template
from roadstead.wire import from_wire, to_wire

__all__ = ["CANONICAL_VERSION", "REVISION_LENGTH", "canonical", "from_canonical", "revision", "target"]

CANONICAL_VERSION = 1
REVISION_LENGTH = 10
_ANY_VERSION = -1


def canonical(template: Template) -> str:
    """Return the template as JSON text with sorted keys, no white space, and nothing that equals its default."""
    document = {"canonical": CANONICAL_VERSION, **to_wire(template)}
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def from_canonical(text: str) -> Template:
    """Return the template whose canonical form is ``text``; raises :class:`ValueError` for anything else."""
    try:
        document = json.loads(text)
        version = document.pop("canonical")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"not the canonical form of a template: {text[:60]!r}") from error
    if version != CANONICAL_VERSION:
        raise ValueError(f"canonical form {version!r} is not known here, only {CANONICAL_VERSION}")
    return from_wire(document, Template)


def revision(template: Template) -> str:
    """Return 10 lower-case base-32 characters (50 bits) of the SHA-256 of the canonical form."""
    digest = hashlib.sha256(canonical(template).encode("ascii")).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:REVISION_LENGTH]


def target(cluster: str, template: Template, *, reloads: bool = False) -> Target:
    """Return ``template`` as what a deployment runs on ``cluster``.

    Where the deployment ``reloads``, the version is no part of what a replica embodies: the same replica loads another
    one. Its revision is therefore that of the template with version -1, which no model has, and without digest. So it
    outlives a change of these two, and differs from the revision of the same deployment when it does not reload.
    """
    if not reloads:
        return Target(cluster=cluster, template=template, revision=revision(template))
    model = attrs.evolve(template.model, version=_ANY_VERSION, digest=None)
    return Target(cluster=cluster, template=template, revision=revision(attrs.evolve(template, model=model)))
