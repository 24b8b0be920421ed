"""``roadstead emulate marathon``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from roadstead_backends.marathon.emulator.settings import PROFILES, Settings, profile_named

__all__ = ["made"]

_FEATURES = ("secrets", "external_volumes", "vips", "gpu_resources", "task_killing")


@click.command("marathon")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; loopback unless you must.")
@click.option("--port", default=8080, show_default=True, help="Marathon's port; further instances have the next ones.")
@click.option("--mesos-port", default=5050, show_default=True, help="The port of Mesos' operator API and of faults.")
@click.option(
    "--profile",
    type=click.Choice([profile.name for profile in PROFILES]),
    default=PROFILES[0].name,
    show_default=True,
    help="The version to answer as.",
)
@click.option("--agents", default=3, show_default=True, type=click.IntRange(0, 5000), help="How many agents.")
@click.option("--zones", default=2, show_default=True, type=click.IntRange(1), help="Over how many zones and racks.")
@click.option(
    "--prefix",
    default="127.0",
    show_default=True,
    help="First half of the agents' addresses; another one for each emulator with --processes on a machine.",
)
@click.option("--cpus", default=8.0, show_default=True, help="CPUs of each agent.")
@click.option("--mem", default=16384.0, show_default=True, help="Memory of each agent in MB.")
@click.option("--gpus", default=0, show_default=True, help="GPUs of each agent.")
@click.option("--instances", default=1, show_default=True, type=click.IntRange(1), help="Marathons; the first leads.")
@click.option("--credentials", metavar="USER:PASSWORD", help="Ask for these with HTTP basic authentication.")
@click.option("--feature", "features", multiple=True, type=click.Choice(_FEATURES), help="Enable a feature.")
@click.option(
    "--processes",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Run the tasks' commands for real, with their sandboxes in FOLDER.",
)
@click.option(
    "--limits",
    is_flag=True,
    help="With --processes, hold each task to its CPUs and memory by control groups, as the isolators of Mesos do.",
)
def _command(**given: Any) -> None:
    """A Marathon on an emulated Mesos cluster.

    It answers as the chosen version does: the same defaults, errors, deployments, queue and events. Tasks are pretended
    unless --processes is given. `POST /emulator/NAME` on the port of Mesos makes faults; `GET /emulator` lists them.
    """
    from roadstead_backends.marathon.emulator.serving.emulation import Machine, Plan  # noqa: PLC0415  # when it is run

    features: Sequence[str] = given["features"]
    settings = Settings(
        profile=profile_named(given["profile"]), features=frozenset(features), credentials=given["credentials"]
    )
    machine = Machine(cpus=given["cpus"], mem=given["mem"], gpus=given["gpus"])
    plan = Plan(
        settings=settings,
        machine=machine,
        processes=given["processes"],
        limits=given["limits"],
        **{name: given[name] for name in ("agents", "zones", "prefix", "host", "port", "mesos_port", "instances")},
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(plan))


async def _run(plan: Any) -> None:
    from roadstead_backends.marathon.emulator.serving.emulation import Emulation  # noqa: PLC0415  # when it is run

    emulation = Emulation(plan)
    end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    try:
        await emulation.open()
        for address in emulation.addresses:
            click.echo(f"marathon http://{address}")
        click.echo(f"mesos    http://{emulation.mesos_address}")
        await end.wait()
    finally:
        await emulation.close()


def made() -> click.Command:
    """Return the command."""
    return _command
