"""The stand-in nodes as a process of their own, so that what they cost is not charged to what is measured.

::

    python -m tests.cluster.standin_command --kubeconfig PATH --nodes 1000

It says ``ready`` once all nodes are registered, takes commands from standard input, a line each, answers each with a
line, and ends with its standard input: ``silence NODE...``, ``return NODE...``, ``remove NODE...``, ``offer NODE
RESOURCE AMOUNT``, ``evict NAMESPACE/POD``, ``writes``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tests.cluster.standin import Standin
from tests.cluster.standin_api import Access
from tests.cluster.standin_life import Chances
from tests.cluster.standin_node import NodeShape

__all__ = ["main"]


@click.command()
@click.option("--kubeconfig", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--nodes", required=True, type=click.IntRange(min=1))
@click.option("--gpus", default=8, show_default=True, help="what each node offers of nvidia.com/gpu")
@click.option("--heartbeat", default=30.0, show_default=True, help="seconds between two renewals of a node's lease")
@click.option("--seed", default=0, show_default=True)
@click.option("--crash", default=0.0, show_default=True, help="the chance that a pod crashes again and again")
def main(kubeconfig: Path, nodes: int, gpus: int, heartbeat: float, seed: int, crash: float) -> None:
    """Stand in for as many nodes, named n-00000 and so on, until standard input ends."""
    shapes = [NodeShape(name=f"n-{number:05}", extended={"nvidia.com/gpu": gpus}) for number in range(nodes)]
    chances = Chances(crash=crash)
    access = Access.from_kubeconfig(kubeconfig)
    with Standin(access, shapes, chances=chances, seed=seed, heartbeat=heartbeat) as standin:
        click.echo("ready")
        for line in sys.stdin:
            if line.strip():
                click.echo(obeyed(standin, line.strip()))


def obeyed(standin: Standin, line: str) -> str:
    """Carry out one command line, and return the answer to it."""
    verb, *words = line.split()
    match verb, words:
        case "silence", names:
            standin.silence(*names)
        case "return", names:
            standin.speak(*names)
        case "remove", names:
            standin.remove(*names)
        case "offer", [name, resource, amount]:
            standin.offer(name, {resource: amount})
        case "evict", [pod]:
            namespace, _, name = pod.partition("/")
            standin.evict(namespace, name)
        case "writes", []:
            return str(standin.writes)
        case _:
            return f"no such command: {line}"
    return "done"


if __name__ == "__main__":
    main()
