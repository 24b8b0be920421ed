"""Reads a fleet file: its text, its tree, its values, the checks between them, and the fleet that they make."""

from __future__ import annotations

import codecs
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import attrs

from roadstead.config.building import cluster_spec, daemon_spec, deployment_of, gateway_spec
from roadstead.config.checks import findings
from roadstead.config.entries import FleetEntry
from roadstead.config.keys import fleet_table
from roadstead.config.nodes import Entries, compose
from roadstead.config.places import Places
from roadstead.config.problems import ProblemCode, Problems
from roadstead.config.reader import Place, read
from roadstead.config.sections import NamedSection, Section, finished, merged
from roadstead.config.source import Source, Spot
from roadstead.errors import RoadsteadError
from roadstead.model import Deployment, Fleet
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import RuntimePlugin
from roadstead.spi.runtime import Runtime

__all__ = ["MAX_BYTES", "file_source", "read_fleet"]

MAX_BYTES: Final = 16 * 1024 * 1024
_START: Final = Spot(1, 1)
_HOW_MANY: Final = frozenset({"replicas", "autoscaling"})
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


def read_fleet(path: Path, host: PluginHost, *, text: str | None = None) -> Fleet:
    """Return the fleet that the file at ``path`` declares, with the plugins of ``host``.

    ``text`` is what it says, where that has been read already (standard input, a file that is being followed).
    Relative paths in it are relative to the folder of ``path`` all the same. Raises
    :class:`roadstead.config.problems.FleetFileError` with every problem of the file.
    """
    source = Source(str(path), text.removeprefix("\ufeff")) if text is not None else file_source(path)
    with _uncollected():
        return _read(source, path.parent.resolve(), host)


def _read(source: Source, base: Path, host: PluginHost) -> Fleet:
    problems = Problems(source)
    root = compose(source, problems) if _short_enough(source, problems) else None
    if root is None:
        raise problems.error()
    section = read(fleet_table(host), root, Place(problems, (), root.spot))
    if not isinstance(section, Section) or not isinstance(root, Entries):
        raise problems.error()
    written = cast(FleetEntry, finished(_with_defaults(section), (), problems))
    places = Places(root)
    _check(written, places, host, problems)
    fleet = _fleet(written, base, host, places, problems)
    problems.raise_if_any()
    return fleet


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the cyclic garbage collector out while a tree grows that has no garbage: it takes half of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


# ---- text ----


def file_source(path: Path) -> Source:
    """Return the text of the file at ``path``; a UTF-8 byte order mark is passed over.

    Raises :class:`roadstead.config.problems.FleetFileError` where there is none to be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "name a fleet file that you may read, or let `roadstead init` write one"
        raise _unusable(
            Source(str(path), ""), ProblemCode.UNREADABLE, _START, f"cannot be read: {reason}", hint
        ) from error
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return Source(str(path), data.decode("utf-8"))
    except UnicodeDecodeError as error:
        source = Source(str(path), data.decode("utf-8", errors="replace"))
        if data.startswith(_UTF_16):
            raise _unusable(source, ProblemCode.ENCODING, _START, "this is UTF-16", "save the file as UTF-8") from error
        spot = source.spot_at(len(data[: error.start].decode("utf-8")))
        what = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise _unusable(source, ProblemCode.ENCODING, spot, what, "save the file as UTF-8") from error


def _unusable(source: Source, code: ProblemCode, spot: Spot, what: str, hint: str) -> RoadsteadError:
    problems = Problems(source)
    problems.add(code, (), spot, what, hint)
    return problems.error()


def _short_enough(source: Source, problems: Problems) -> bool:
    if len(source.text) <= MAX_BYTES:
        return True
    what = f"the file is larger than {MAX_BYTES // 1024**2} MiB"
    problems.add(ProblemCode.LIMIT, (), _START, what, "is this a fleet file? declare several fleets if it is")
    return False


# ---- values ----


def _with_defaults(section: Section) -> Section:
    """Return the file's section with ``defaults`` merged into each deployment."""
    defaults, deployments = section.values.get("defaults"), section.values.get("deployments")
    if not isinstance(defaults, Section) or not isinstance(deployments, NamedSection):
        return section
    filled = {name: merged(_without_rivals(defaults, own), own) for name, own in deployments.values.items()}
    values = {name: value for name, value in section.values.items() if name != "defaults"}
    return attrs.evolve(section, values={**values, "deployments": NamedSection(values=filled)})


def _without_rivals(defaults: Section, own: object) -> Section:
    """Return ``defaults`` without the other way to say how many replicas there are than a deployment's own."""
    said = _HOW_MANY & own.values.keys() if isinstance(own, Section) else frozenset()
    if len(said) != 1:
        return defaults
    values = {key: value for key, value in defaults.values.items() if key not in _HOW_MANY - said}
    return attrs.evolve(defaults, values=values)


def _check(written: FleetEntry, places: Places, host: PluginHost, problems: Problems) -> None:
    """Tell about what is wrong between keys, but not about what only follows from a value that is wrong already."""
    for finding in findings(written, places, host):
        path, spot = places.of(finding.path)
        involved = (where for one in finding.involving for where in (one, places.of(one)[0]))
        if all(problems.sound(one) for one in (finding.path, path)) and not any(
            problems.wrong(one) for one in involved
        ):
            problems.add(
                finding.code, path, places.key_of(path) if finding.about_key else spot, finding.what, finding.hint
            )


def _fleet(written: FleetEntry, base: Path, host: PluginHost, places: Places, problems: Problems) -> Fleet:
    """Return the fleet; deployments with a problem are not in it, the others have been shown to their runtime."""
    runtimes = {one.record.name: one.record for one in host.all(RuntimePlugin)}
    deployments: dict[str, Deployment] = {}
    sound_defaults = problems.sound(("defaults",)) and problems.sound(("clusters",))
    for name in written.deployments:
        if sound_defaults and problems.sound(("deployments", name)):
            deployments[name] = deployment_of(name, written, runtimes, base)
    _ask_runtimes(deployments, runtimes, places, problems)
    return Fleet(
        name=written.fleet,
        clusters={name: cluster_spec(name, entry, base) for name, entry in written.clusters.items()},
        deployments=deployments,
        quotas=written.quotas,
        gateways={name: gateway_spec(name, entry, base) for name, entry in written.gateways.items()},
        daemon=daemon_spec(written.daemon, base),
    )


def _ask_runtimes(
    deployments: Mapping[str, Deployment], runtimes: Mapping[str, RuntimePlugin], places: Places, problems: Problems
) -> None:
    """Tell about what a runtime says is wrong with a template of its own."""
    made: dict[str, Runtime | None] = {}
    for name, deployment in deployments.items():
        runtime_name = deployment.targets[0].template.runtime.name
        path, spot = places.of(("deployments", name, "runtime"))
        if runtime_name not in made:
            made[runtime_name] = None
            try:
                made[runtime_name] = resolve(runtimes[runtime_name].factory, f"runtime {runtime_name!r}")()
            except RoadsteadError as error:
                problems.add(ProblemCode.PLUGIN, path, spot, str(error), error.hint or "see `roadstead backend list`")
        runtime = made[runtime_name]
        if runtime is not None:
            said = [what for target in deployment.targets for what in runtime.check(target.template)]
            if said:
                problems.add(
                    ProblemCode.COMBINATION,
                    path,
                    spot,
                    "; ".join(dict.fromkeys(said)),
                    f"see the runtime {runtime_name}",
                )
    for runtime in made.values():
        if runtime is not None:
            runtime.close()
