"""``roadstead init``."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import click

from roadstead.cli.errors import NoModel, NotUnderstood
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common

__all__ = ["command", "fleet_file"]

_TEXT = """\
# A fleet file: what is served, where, and how much of it. `roadstead validate` checks it, `roadstead plan` shows what
# it would change, `roadstead apply` does it. Every key: docs/reference/fleet-file.md

version: 1
fleet: {fleet}  # letters and digits; part of the name of everything that is created

clusters:
  here:
    backend: local                # replicas are processes on this machine
    options:
      # cpu: 2                    # how much of the machine they may use; without it, all but a reserve
      # memory: 8Gi
      model_roots: [.]            # models only from under these folders

# gateways:                       # one address for each deployment, whatever its replicas do; needs roadstead[gateway]
#   edge: {{kind: envoy}}           # without one, clients follow `roadstead endpoints NAME --watch`

quotas:                           # what one owner may hold at any moment; every owner stands here
  me: {{}}                          # for example {{cpu: 4, memory: 8Gi}}

{deployments}"""
_DEPLOYMENTS = """\
deployments:
  {name}:
    owner: me
    model:
      # A folder with one folder for each version in it: {source}/{version}/saved_model.pb
      source: {source}
      version: {version}
    replicas: 1
    resources:                    # of each replica, as a hard limit
      cpu: 500m
      memory: 1Gi
"""
_NO_DEPLOYMENTS = """\
deployments: {}                   # no model was found in models/; a deployment is written like this:
"""
_NO_NAME = re.compile(r"[^a-z0-9-]+")


@attrs.frozen
class _Written:
    file: str
    model: str | None


@click.command("init", cls=Command)
@common()
@click.option("--model", type=click.Path(path_type=Path), help="The model's folder. [default: the first under models/]")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(*, model: Path | None, force: bool) -> None:
    """Write a small fleet file with comments."""
    screen = Screen()
    path = screen.settings.file
    folder = path.absolute().parent
    found = _first(folder) if model is None else model
    if found is not None and not _versions(folder, found):
        raise NoModel(
            f"there is no version of a model in {found}",
            hint="name the folder that holds the version folders, such as models/minilm with models/minilm/1 in it",
        )
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(fleet_file(folder, found))
    except FileExistsError as error:
        raise NotUnderstood(f"{path} is there already", hint="--force writes over it, --file names another") from error
    except OSError as error:
        raise NotUnderstood(f"{path} cannot be written: {error.strerror}", hint="--file names another") from error
    if found is None:
        screen.say(
            f"wrote {path} without a deployment: there is no model in {folder / 'models'}; it says how one is added"
        )
    else:
        screen.say(f"wrote {path}; next: `roadstead validate`, then `roadstead apply`")
    if not screen.text:
        screen.data(_Written(str(path), None if found is None else str(found)))


def fleet_file(folder: Path, model: Path | None) -> str:
    """Return the text of a fleet file for ``folder``, about ``model``, or with an example for a comment."""
    fleet = re.sub(r"[^A-Za-z0-9]", "", folder.name)[:16] or "fleet"
    if model is None:
        example = _DEPLOYMENTS.format(name="mymodel", source="models/mymodel", version=1)
        commented = "".join(f"# {line}\n" for line in example.splitlines())
        return _TEXT.format(fleet=fleet, deployments=_NO_DEPLOYMENTS + commented)
    absolute = model if model.is_absolute() else folder / model
    shown = absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute
    versions = _versions(folder, model)
    deployments = _DEPLOYMENTS.format(
        name=_name(model.name), source=shown.as_posix(), version=versions[-1] if versions else 1
    )
    return _TEXT.format(fleet=fleet, deployments=deployments)


def _first(folder: Path) -> Path | None:
    return next((path.parent.parent for path in sorted(folder.glob("models/*/*/saved_model.pb"))), None)


def _versions(folder: Path, model: Path) -> list[int]:
    """Return the versions in a model's folder; a folder that is not there has none."""
    return sorted(int(path.name) for path in (folder / model).glob("[0-9]*") if path.name.isdigit())


def _name(text: str) -> str:
    name = _NO_NAME.sub("-", text.lower()).strip("-")[:35].strip("-")
    return name if name[:1].isalpha() else f"m-{name}".strip("-")[:35]
