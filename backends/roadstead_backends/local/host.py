"""This machine as the cluster's one node: what it can do, what it has to give, and what it starts servers with."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import roadstead
from roadstead.capabilities import Capabilities, GpuKind, Limit
from roadstead.model import ModelSpec, Scheduling, Template
from roadstead.shim.cgroup import ReplicaCgroup
from roadstead.shim.cgroup_place import CgroupPlace, make_group, replica_group
from roadstead.shim.secret import KINDS
from roadstead.shim.spec import ShimSpec
from roadstead.spi.digest import DigestError, version_digest
from roadstead.spi.runtime import ConfigFile, Launch, Program
from roadstead.units import Cpus, Memory
from roadstead.world import Device, Node
from roadstead_backends.local import check_model
from roadstead_backends.local.confine import confine_model
from roadstead_backends.local.devices import DeviceProvider, GpuDevice
from roadstead_backends.local.machine import foreign_memory, grantable_memory, read_machine
from roadstead_backends.local.options import LocalOptions
from roadstead_backends.local.records import ReplicaRecord
from roadstead_backends.local.translate import Place, Programs, choose_cpus, config_files, shim_spec

__all__ = ["Host"]

_LOOK_EVERY_S = 5.0
_TF_SERVING = "tensorflow_model_server"
# What a server needs of the daemon's environment; everything else stays with the daemon.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class Host:
    """This machine. What it tells of its use is a few seconds old at most."""

    def __init__(self, options: LocalOptions, root: Path, place: CgroupPlace, devices: DeviceProvider) -> None:
        self._options = options
        self._root = root
        self._roots = tuple(root.resolve() for root in options.model_roots)
        self._place = place
        self._provider = devices
        self._looked = -_LOOK_EVERY_S
        self._foreign = 0
        self._devices: tuple[GpuDevice, ...] = ()
        self._ours: Collection[int] = ()
        self._machine = read_machine()
        self.name = self._machine.name
        self.capabilities = self._able()

    def _able(self) -> Capabilities:
        has_devices = bool(self._provider.devices())
        place = self._place
        notes = [*place.notes, self._provider.note]
        notes.append("disk is accounted for and not enforced")
        notes.append("nobody else writes what is stored here, so there is no drift")
        if place.cpu is None:
            notes.append("the processor limit is whole processors by affinity: less than one is not enforced")
        if place.memory is None:
            notes.append("the memory limit is watched four times a second: a fast server can pass it for a moment")
        if has_devices:
            notes.append("a share of a GPU is told to the server as a fraction, and not enforced")
        return Capabilities(
            scheduling=frozenset({Scheduling.DIRECTED}),
            exact_retire=True,
            heals_alone=True,
            binds_devices=True,
            restarts=True,
            reloads=True,
            gpu=frozenset({GpuKind.WHOLE, GpuKind.SHARE}) if has_devices else frozenset(),
            cpu_limit=Limit.AFFINITY if place.cpu is None else Limit.CFS,
            memory_limit=Limit.WATCHDOG if place.memory is None else Limit.CGROUP,
            gpu_limit=Limit.FRACTION if has_devices else Limit.NONE,
            schemes=frozenset({"file"}),
            roots=tuple(str(root) for root in self._roots),
            secrets=frozenset(KINDS),
            version=f"Linux {self._machine.kernel}, control groups v{place.version}"
            if place.folders
            else f"Linux {self._machine.kernel}, no control groups",
            notes=tuple(notes),
        )

    # ---- what there is ----

    def node(self, held_memory: Callable[[], int], processes: Callable[[], Collection[int]]) -> Node:
        """Return the node; the arguments tell what our replicas hold, and are asked only now and then."""
        now = time.monotonic()
        memory = self._options.memory
        granted = memory.bytes if memory is not None else grantable_memory(self._machine.memory_total)
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self._machine = read_machine()
            self._foreign = foreign_memory(self._machine, granted, held_memory())
            self._devices = self._provider.devices()
            self._ours = processes() if self._devices else ()
        cpu = self._options.cpu
        return Node(
            name=self.name,
            cpu=cpu if cpu is not None else Cpus(1000 * len(self._machine.cpus)),
            memory=Memory(granted),
            disk=Memory(shutil.disk_usage(self._root).total),
            devices=tuple(_device_view(device, self._ours) for device in self._devices),
            attributes={"hostname": self.name, "architecture": self._machine.architecture},
            foreign_memory=Memory(self._foreign),
        )

    # ---- what a replica gets ----

    def group_of(self, replica: str) -> ReplicaCgroup | None:
        """Return the control group of a replica, made or not."""
        return replica_group(self._place, replica)

    def limit(self, group: ReplicaCgroup, template: Template) -> None:
        """Make a replica's control group and set its limits; raises ``CgroupError``."""
        wanted = template.resources
        make_group(group, cpu_milli=wanted.cpu.milli, memory=wanted.memory.bytes)

    def choose_cpus(self, template: Template, taken: Collection[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the processors that a replica is held to, none where its control group does it better."""
        if self._place.cpu is not None:
            return ()
        return choose_cpus(self._machine.cpus, taken, template.resources.cpu.milli)

    def check_model(self, model: ModelSpec) -> None:
        """Return if the model's version is there and is what its digest says; raises ``ValueError`` or ``OSError``."""
        folder = confine_model(model.source, model.version, self._roots) / str(model.version)
        if not folder.is_dir():
            raise DigestError(f"{folder} is not there")
        found = version_digest(folder) if model.digest is not None else None
        if found != model.digest:
            raise DigestError(f"{folder} has digest {found}, the fleet file says {model.digest}")

    def render(
        self, record: ReplicaRecord, template: Template, launch: Launch, folder: Path, wake: Path
    ) -> tuple[ShimSpec, tuple[ConfigFile, ...]]:
        """Return what the shim of a bound replica is told, and the files that its server reads.

        Raises ``ValueError`` for a model outside the roots and ``FileNotFoundError`` for a missing program.
        """
        model_folder = confine_model(template.model.source, template.model.version, self._roots)
        by_id = {device.id: device for device in self._provider.devices()} if record.devices else {}
        place = Place(
            replica=record.id,
            host=record.host,
            folder=folder,
            model_folder=model_folder,
            devices=tuple(by_id[name] for name in record.devices),
            group=self.group_of(record.id),
            cpus=record.cpus,
            watched=self._place.memory is None,
            wake=str(wake),
        )
        return shim_spec(template, launch, place, self._programs(launch.program)), config_files(launch, place)

    def _programs(self, program: Program) -> Programs:
        return Programs(
            python=sys.executable,
            checker=str(check_model.__file__),
            core_root=str(Path(roadstead.__file__).parent.parent),
            server=None if program.executable is None else self._find(program.executable),
            base=_inherited(os.environ),
        )

    def _find(self, program: str) -> str:
        own = self._options.model_server
        found = shutil.which(own if own is not None and program == _TF_SERVING else program)
        if found is None:
            hint = "; install it, or set `model_server` in the cluster's options" if program == _TF_SERVING else ""
            raise FileNotFoundError(f"program {own or program} is not on this machine{hint}")
        return str(Path(found).absolute())


def _inherited(environment: Mapping[str, str]) -> Mapping[str, str]:
    return {name: environment[name] for name in _INHERITED if name in environment}


def _device_view(device: GpuDevice, ours: Collection[int]) -> Device:
    """Return a device with the memory that others hold: what is in use, less what our processes are known to hold."""
    own = sum(held or 0 for pid, held in device.processes.items() if pid in ours)
    return Device(
        id=device.id,
        model=device.model,
        memory=Memory(device.memory),
        foreign=Memory(max(0, device.used - own)),
    )
