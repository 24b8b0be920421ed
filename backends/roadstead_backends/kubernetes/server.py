"""What is asked of an API server once, about itself."""

from __future__ import annotations

import msgspec

from roadstead_backends.kubernetes.transport import Transport

__all__ = ["server_minor"]


def server_minor(transport: Transport) -> int | None:
    """Return the minor version of the API server; ``None`` where it does not say one."""
    said = msgspec.json.decode(transport.call("GET", "/version").body)
    digits = "".join(filter(str.isdigit, str(said.get("minor", ""))))
    return int(digits) if digits else None
