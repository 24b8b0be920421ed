"""The test cluster by hand: build what it needs, start one and keep it, tell what this machine lacks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import click

from tests.cluster import binary, packages, prerequisites
from tests.cluster.cluster import Cluster, sweep
from tests.cluster.node_files import NodeSpec
from tests.cluster.places import ROOT, cache_folder


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.group()
def main() -> None:
    """Real Kubernetes on this machine, for tests (docs/how-to/test-on-kubernetes.md)."""


@main.command()
@click.option("--background", is_flag=True, help="Return at once, and build on with the lowest priority.")
@click.option("--nice", is_flag=True, help="Let everything else on the machine go first.")
def build(*, background: bool, nice: bool) -> None:
    """Build the components and fetch the packages, where they are not there yet."""
    if nice:
        os.nice(19)
    if background:
        log = cache_folder() / "build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            subprocess.Popen(
                [sys.executable, "-m", "tests.cluster", "build", "--nice"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                start_new_session=True,
            )
        _say(f"building in the background; what it says goes to {log}")
        return
    lacking = prerequisites.lacking_for_good()
    if lacking is not None:
        # Not a failure: what needs a cluster will be skipped, and say this again.
        _say(f"NOTE: no cluster can be started on this machine: {lacking}")
        return
    try:
        packages.fetch(_say)
        click.echo(binary.build(_say))
    except (binary.BuildError, packages.FetchError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--again", is_flag=True, help="Take the newest ones, whatever is there.")
def fetch(*, again: bool) -> None:
    """Fetch the packages: containerd, runc, network plugins, nft, busybox."""
    try:
        click.echo(packages.fetch(_say, again=again).root)
    except packages.FetchError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--nodes", type=click.IntRange(0, 7), default=1, show_default=True, help="How many real nodes.")
@click.option("--gpu", "gpus", multiple=True, metavar="RESOURCE=COUNT", help="Devices of each node; may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label of each node; may be repeated.")
def up(nodes: int, gpus: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Start a cluster and keep it until Ctrl-C, or the end of this process."""
    lacking = prerequisites.lacking()
    if lacking is not None:
        raise click.ClickException(lacking)
    devices = {name: int(count) for name, _, count in (each.partition("=") for each in gpus)}
    spec = NodeSpec(gpus=devices, labels=dict(each.split("=", 1) for each in labels))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cluster = Cluster.start()
    try:
        for _ in range(nodes):
            cluster.add_node(spec=spec, wait=False)
        for node in cluster.nodes.values():
            node.wait_ready()
        cluster.wait_ready()
        click.echo(f"export KUBECONFIG={cluster.kubeconfig}")
        click.echo(f"alias kubectl='{binary.built()} kubectl'")
        click.echo(f"# logs: {cluster.plane.folder / 'logs'}; Ctrl-C ends it")
        sys.stdout.flush()
        signal.pause()
    except KeyboardInterrupt:
        _say("stopping")
    finally:
        cluster.stop()


@main.command("sweep")
def sweep_command() -> None:
    """Take away what killed runs left behind."""
    for number in sweep():
        click.echo(f"took away cluster {number}")


@main.command()
def check() -> None:
    """Tell what this machine lacks; ends with 1 where it lacks something."""
    lacking = prerequisites.lacking()
    click.echo(lacking or "nothing is missing")
    sys.exit(lacking is not None)


if __name__ == "__main__":
    main(prog_name="python -m tests.cluster")
