"""What a fleet file can say about an Envoy gateway."""

from __future__ import annotations

from pathlib import Path

import attrs

from roadstead.units import Memory

__all__ = ["EnvoyOptions"]


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


def _a_count(_instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value < 1 << 31:
        raise ValueError(f"{attribute.name} is {value}; it must be at least 1, and less than 2147483648")


def _a_size(_instance: object, attribute: attrs.Attribute[Memory], value: Memory) -> None:
    if not 1 <= value.bytes < 1 << 32:
        raise ValueError(f"{attribute.name} is {value}; it must be at least 1 byte, and less than 4Gi")


@attrs.frozen(kw_only=True)
class EnvoyOptions:
    """How much a gateway takes from its clients, and whether it writes down who asked."""

    max_connections: int = attrs.field(
        default=10_000,
        validator=_a_count,
        metadata=_doc("how many clients' connections at once, over all deployments; one more is closed at once"),
    )
    max_request: Memory = attrs.field(
        default=Memory(64 << 20),
        validator=_a_size,
        metadata=_doc("the largest request; a larger one is refused with 413"),
    )
    access_log: Path | None = attrs.field(
        default=None,
        metadata=_doc("where a link to the bounded log with a line per request is made; null: no such log"),
    )
