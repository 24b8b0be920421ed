"""The command ``roadstead``: its commands by name, each imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import NamedTuple

import click

from roadstead.cli.settings import common

__all__ = ["COMMANDS", "EMULATORS", "Lazy", "LazyGroup", "cli"]


class Lazy(NamedTuple):
    """A command that is not imported yet: where it is, and the one line that help says of it."""

    module: str
    summary: str


COMMANDS: Mapping[str, Mapping[str, Lazy]] = {
    "Start": {
        "init": Lazy("init", "Write a small fleet file with comments."),
        "import": Lazy("importing", "Write a fleet file for what others declared, with a report of every field."),
        "check": Lazy("check", "Check this machine, the plugins and the fleet file."),
        "validate": Lazy("validate", "Read the fleet file and list everything wrong with it."),
        "daemon": Lazy("daemon", "Start, stop or ask for the daemon."),
    },
    "Change": {
        "plan": Lazy("plan", "Show what would be done, and change nothing."),
        "apply": Lazy("apply", "Make the fleet what its file says, and follow it."),
        "scale": Lazy("scale", "Set how many replicas a deployment has."),
        "migrate": Lazy("migrate", "Move a deployment to another cluster."),
        "rollout": Lazy("rollout", "Follow, pause, resume, promote or undo a rollout."),
        "delete": Lazy("delete", "Remove a deployment and its replicas."),
    },
    "Look": {
        "status": Lazy("status", "Show deployments, replicas, clusters and quotas."),
        "why": Lazy("why", "Explain why a deployment is as it is."),
        "logs": Lazy("logs", "Show what a replica's server prints."),
        "events": Lazy("events", "Show what happened."),
        "limits": Lazy("limits", "Show what replicas may use, have and use, and what owners may hold."),
        "drift": Lazy("drift", "List what others changed of our objects."),
        "endpoints": Lazy("endpoints", "List the addresses that clients may use."),
    },
    "Use": {
        "predict": Lazy("predict", "Send JSON to a served model and print its answer."),
        "load": Lazy("load", "Put a served model under load and tell what became of every request."),
        "model": Lazy("model", "Work on model files."),
        "sim": Lazy("sim", "Show what would become of the fleet in a scenario."),
        "emulate": Lazy("emulate", "Stand in for an orchestrator on this machine."),
        "bench": Lazy("bench", "Time the same work on several clusters."),
    },
    "Know": {
        "explain": Lazy("explain", "Print the page about an error code or a reason."),
        "backend": Lazy("backend", "List the installed plugins, and ask a backend whether it keeps the contract."),
        "completion": Lazy("completion", "Print the completion script for a shell."),
        "version": Lazy("version", "Print the version."),
    },
}
EMULATORS = "emulate-"
"""Commands of plugins whose names begin so stand under ``roadstead emulate``."""
_BY_NAME: Mapping[str, Lazy] = {name: lazy for section in COMMANDS.values() for name, lazy in section.items()}


class LazyGroup(click.Group):
    """A group that imports a command when it is used, and takes in the commands that plugins bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click passes it
        """Return the names of our commands and of the plugins'."""
        return [*_BY_NAME, *(name for name, _ in self._of_plugins())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one command."""
        lazy = _BY_NAME.get(cmd_name)
        if lazy is None:
            return next((command for name, command in self._of_plugins() if name == cmd_name), None)
        command = importlib.import_module(f"roadstead.cli.commands.{lazy.module}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of that name."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            # Only now: a name that is spelt well does not need it.
            from difflib import get_close_matches  # noqa: PLC0415

            near = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"did you mean `roadstead {near[0]}`?" if near else "`roadstead --help` lists them"
            raise click.UsageError(f"there is no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands by section, from the table and not from their modules."""
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, lazy.summary) for name, lazy in section.items()])
        others = [(name, command.get_short_help_str()) for name, command in self._of_plugins()]
        if others:
            with formatter.section("From plugins"):
                formatter.write_dl(others)

    def _of_plugins(self) -> Iterator[tuple[str, click.Command]]:
        """Yield what other distributions bring; with none installed nothing is imported to find that out."""
        if all(point.dist is None or point.dist.name == "roadstead" for point in entry_points(group="roadstead")):
            return
        # Loads every plugin, for those who have some.
        from roadstead.cli.plugins import commands  # noqa: PLC0415

        yield from (each for each in commands() if not each[0].startswith(EMULATORS))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`roadstead explain CODE` explains any code. Exit codes: docs/reference/cli.md.",
)
@common(hidden=False)
def cli() -> None:
    """Place, scale, heal and move language-model servers from one fleet file."""
