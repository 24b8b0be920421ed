"""What servers count of their own requests, on a screen."""

from __future__ import annotations

from collections.abc import Collection

from rich.table import Table

from roadstead.cli.text.traffic import ms, per_second
from roadstead.cli.text.words import age, table
from roadstead.decide.report import DeploymentStatus, ServerLoadStatus

__all__ = ["server_load_table"]

_NUMBERS = frozenset({"SAY SO", "REQ/S", "ERR/S", "IN FLIGHT", "MEAN", "READ"})


def server_load_table(deployments: Collection[DeploymentStatus], *, replicas: bool) -> Table:
    """Return the load of each deployment as its servers count it, and with ``replicas`` that of each of them."""
    made = table("SERVERS' OWN COUNT", "SAY SO", "REQ/S", "ERR/S", "IN FLIGHT", "MEAN", "READ", right=_NUMBERS)
    for one in deployments:
        said = f"{one.server_load.replicas}/{len(one.replicas)}"
        made.add_row(one.name, said, *_cells(one.server_load))
        for replica in one.replicas if replicas else ():
            made.add_row(f"  {replica.id}", "", *_cells(replica.server_load))
    return made


def _cells(load: ServerLoadStatus) -> tuple[str, ...]:
    return (
        per_second(load.rate),
        per_second(load.error_rate),
        # A mean of what is there at once has the size of a rate, and as few digits.
        per_second(load.in_flight),
        ms(load.latency),
        f"{age(load.age)} ago" if load.age is not None else "never",
    )
