"""The GPUs of this machine, and who holds their memory, through NVIDIA's management library where it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

__all__ = ["DeviceProvider", "GpuDevice", "NoDevices", "NvidiaDevices", "find_devices"]


@attrs.frozen(kw_only=True)
class GpuDevice:
    """One GPU: its UUID, its model's name, its memory in bytes, and the memory that each process holds on it.

    A process whose share the driver does not tell (in some containers it does not) is there with ``None``; ``used`` is
    the device's own count of memory in use.
    """

    id: str
    model: str
    memory: int
    used: int
    processes: Mapping[int, int | None]


class DeviceProvider(Protocol):
    """Where devices come from."""

    @property
    def note(self) -> str:
        """Why there are no devices, or which driver tells of them; a sentence for a person."""

    def devices(self) -> tuple[GpuDevice, ...]:
        """Return every device as it is now, ordered by id."""

    def close(self) -> None:
        """Let go of the library."""


@attrs.frozen
class NoDevices:
    """A machine without GPUs, or without the means to see them."""

    note: str

    def devices(self) -> tuple[GpuDevice, ...]:
        """Return none."""
        return ()

    def close(self) -> None:
        """Nothing is held."""


class NvidiaDevices:
    """The devices that NVML tells of; ``library`` is the module ``pynvml``."""

    def __init__(self, library: Any) -> None:
        self._nvml = library
        self._nvml.nvmlInit()
        self.note = f"NVIDIA driver {_text(self._nvml.nvmlSystemGetDriverVersion())}"

    def devices(self) -> tuple[GpuDevice, ...]:
        """Return every device as it is now, ordered by id."""
        count = self._nvml.nvmlDeviceGetCount()
        found = (self._device(self._nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count))
        return tuple(sorted(found, key=lambda device: device.id))

    def close(self) -> None:
        """Let go of the library."""
        self._nvml.nvmlShutdown()

    def _device(self, handle: Any) -> GpuDevice:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        return GpuDevice(
            id=_text(self._nvml.nvmlDeviceGetUUID(handle)),
            model=_text(self._nvml.nvmlDeviceGetName(handle)),
            memory=int(memory.total),
            used=int(memory.used),
            processes=self._processes(handle),
        )

    def _processes(self, handle: Any) -> Mapping[int, int | None]:
        held: dict[int, int | None] = {}
        for question in (
            self._nvml.nvmlDeviceGetComputeRunningProcesses,
            self._nvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            try:
                processes = question(handle)
            except self._nvml.NVMLError_NotSupported:
                continue
            held.update({process.pid: process.usedGpuMemory for process in processes})
        return held


def find_devices() -> DeviceProvider:
    """Return the devices of this machine, by whatever can see them."""
    try:
        import pynvml  # noqa: PLC0415 (an optional extra, wanted only by machines with a GPU)
    except ImportError:
        return NoDevices("GPUs are not looked for: nvidia-ml-py is not installed (extra `gpu`)")
    try:
        return NvidiaDevices(pynvml)
    except pynvml.NVMLError as error:
        return NoDevices(f"no GPUs: {error}")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
