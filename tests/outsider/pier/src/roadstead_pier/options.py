"""What a fleet file can say about a pier."""

from __future__ import annotations

import attrs

from roadstead.spi.values import Cpus, Memory


@attrs.frozen(kw_only=True)
class PierOptions:
    """How much of this machine replicas may have."""

    cpu: Cpus = attrs.field(default=Cpus(4_000), metadata={"doc": "how much of its processors"})
    memory: Memory = attrs.field(default=Memory(8 * 1024**3), metadata={"doc": "how much of its memory"})
