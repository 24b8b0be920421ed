"""From a group's rendering and a place on this machine to what a shim is told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from roadstead.model import GpuPart, Template
from roadstead.shim.backoff import Backoff
from roadstead.shim.cgroup import ReplicaCgroup
from roadstead.shim.spec import Address, Limits, ShimSpec
from roadstead.spi.expansion import expand, own_ports
from roadstead.spi.runtime import ConfigFile, Launch
from roadstead_backends.local.devices import GpuDevice

__all__ = ["CONFIG_FOLDER", "Place", "Programs", "choose_cpus", "config_files", "environment", "shim_spec"]

_LEAST_GOOD_RUN_S = 10.0
CONFIG_FOLDER = "config"


@attrs.frozen(kw_only=True)
class Programs:
    """What this machine starts things with.

    ``checker`` checks digests, ``core_root`` holds the core's package. ``server`` is the program that the launch names,
    found; ``None`` for a Python module. ``base`` is the environment that every server gets.
    """

    python: str
    checker: str
    core_root: str
    server: str | None
    base: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Place:
    """Where one replica goes: its address, folders, devices and limits.

    ``cpus`` is empty where the control group limits the processor; ``watched`` says that the shim watches the memory.
    """

    replica: str
    host: str
    folder: Path
    model_folder: Path
    devices: tuple[GpuDevice, ...] = ()
    group: ReplicaCgroup | None = None
    cpus: tuple[int, ...] = ()
    watched: bool = False
    wake: str | None = None


def shim_spec(template: Template, launch: Launch, place: Place, programs: Programs) -> ShimSpec:
    """Return what the shim of a replica is told."""
    meanings = _meanings(launch, place)
    return ShimSpec(
        replica=place.replica,
        argv=(*_program(launch, programs), *(expand(word, meanings) for word in launch.args)),
        env=tuple(sorted(environment(template, launch, place, programs, meanings).items())),
        secrets=tuple((secret.name, secret.ref) for secret in template.secrets),
        cwd=str(place.folder),
        prepare=_checks(template, place, programs),
        addresses=tuple(Address(place.host, port) for port in (launch.grpc_port, launch.rest_port) if port is not None),
        limits=Limits(
            cgroup=place.group,
            affinity=place.cpus,
            watched_memory=template.resources.memory.bytes if place.watched else None,
        ),
        backoff=Backoff(reset_after=max(_LEAST_GOOD_RUN_S, template.health.proven_after.seconds)),
        kill_after=template.stop.kill_after.seconds,
        wake=place.wake,
    )


def config_files(launch: Launch, place: Place) -> tuple[ConfigFile, ...]:
    """Return the launch's files with their variables expanded; raises ``ValueError`` for a name that is a path."""
    for file in launch.files:
        if Path(file.name).name != file.name:
            raise ValueError(
                f"configuration file {file.name!r} is not a plain file name; this is an error of the runtime"
            )
    meanings = _meanings(launch, place)
    return tuple(ConfigFile(file.name, expand(file.content, meanings)) for file in launch.files)


def _meanings(launch: Launch, place: Place) -> Mapping[str, str]:
    return {
        **own_ports(launch),
        "HOST": place.host,
        "MODEL_DIR": str(place.model_folder),
        "CONFIG_DIR": str(place.folder / CONFIG_FOLDER),
    }


def environment(
    template: Template, launch: Launch, place: Place, programs: Programs, meanings: Mapping[str, str]
) -> dict[str, str]:
    """Return a server's whole environment; the fleet file's words win over the runtime's, those over the machine's."""
    return {
        **programs.base,
        **_device_variables(template, place),
        **{name: expand(value, meanings) for name, value in launch.env},
        **{variable.name: variable.value for variable in template.env},
    }


def choose_cpus(available: Iterable[int], taken: Iterable[tuple[int, ...]], milli: int) -> tuple[int, ...]:
    """Return the processors for a replica that is held by affinity: whole ones, the least used first.

    >>> choose_cpus([0, 1, 2, 3], [(0, 1), (1,)], 1500)
    (2, 3)
    """
    load = dict.fromkeys(sorted(available), 0)
    for cpus in taken:
        for cpu in cpus:
            if cpu in load:
                load[cpu] += 1
    count = max(1, -(-milli // 1000))
    return tuple(sorted(sorted(load, key=lambda cpu: (load[cpu], cpu))[:count]))


def _program(launch: Launch, programs: Programs) -> tuple[str, ...]:
    if launch.program.module is not None:
        # Isolated: neither the working folder nor PYTHON* variables decide what is imported. Unbuffered: logs are now.
        return (programs.python, "-I", "-u", "-m", launch.program.module)
    assert programs.server is not None, "whoever renders a program has found it"
    return (programs.server,)


def _checks(template: Template, place: Place, programs: Programs) -> tuple[tuple[str, ...], ...]:
    model = template.model
    if model.digest is None:
        return ()
    folder = str(place.model_folder / str(model.version))
    return ((programs.python, "-I", "-S", programs.checker, programs.core_root, folder, model.digest),)


def _device_variables(template: Template, place: Place) -> dict[str, str]:
    """Return what shows a server its devices and no other; a share is asked for, nothing enforces it."""
    variables = {"CUDA_VISIBLE_DEVICES": ",".join(device.id for device in place.devices)}
    gpu = template.resources.gpu
    if isinstance(gpu, GpuPart) and place.devices:
        whole = place.devices[0].memory
        fraction = gpu.memory.bytes / whole if gpu.memory.bytes and whole else gpu.share.milli / 1000
        variables["ROADSTEAD_GPU_MEMORY_FRACTION"] = f"{min(1.0, fraction):.4f}"
        variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{min(1.0, fraction):.4f}"
        variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return variables
