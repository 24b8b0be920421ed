"""What a fleet file can say about a local cluster."""

from __future__ import annotations

from pathlib import Path

import attrs

from roadstead.units import Cpus, Memory

__all__ = ["LocalOptions"]


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@attrs.frozen(kw_only=True)
class LocalOptions:
    """How much of this machine replicas may have, and from where their files come."""

    cpu: Cpus | None = attrs.field(
        default=None, metadata=_doc("how much of this machine's processors; default: all that we may run on")
    )
    memory: Memory | None = attrs.field(
        default=None, metadata=_doc("how much of its memory; default: all less a tenth, at least 512Mi")
    )
    model_roots: tuple[Path, ...] = attrs.field(
        default=(Path(),), metadata=_doc("models are read only from under these folders")
    )
    model_server: Path | None = attrs.field(
        default=None, metadata=_doc("path of tensorflow_model_server; default: found on the PATH")
    )
