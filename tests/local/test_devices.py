"""GPUs as NVIDIA's library tells of them, with a stand-in for the library: no driver is needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from roadstead_backends.local.devices import NvidiaDevices, find_devices


class NotSupportedError(Exception):
    """What the library raises for a question that a device cannot answer."""


@pytest.fixture
def library() -> Any:
    """Two devices; the first runs a process whose use is hidden, the second knows nothing of graphics."""

    def graphics(handle: int) -> list[SimpleNamespace]:
        if handle == 1:
            raise NotSupportedError
        return []

    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: b"570.1",
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=80 << 30, used=handle << 30),
        nvmlDeviceGetUUID=lambda handle: ("GPU-b", b"GPU-a")[handle],
        nvmlDeviceGetName=lambda _: "NVIDIA H200",
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [
            SimpleNamespace(pid=7, usedGpuMemory=None if handle == 0 else 5)
        ],
        nvmlDeviceGetGraphicsRunningProcesses=graphics,
        NVMLError_NotSupported=NotSupportedError,
    )


def test_devices_are_told_with_who_uses_them(library: Any) -> None:
    """By UUID, in a fixed order; an answer that a device does not have is no answer, not an error."""
    found = NvidiaDevices(library).devices()
    assert [("GPU-a", 80 << 30, 1 << 30, {7: 5}), ("GPU-b", 80 << 30, 0, {7: None})] == [
        (device.id, device.memory, device.used, dict(device.processes)) for device in found
    ]


def test_the_driver_is_named(library: Any) -> None:
    """Whoever looks for a fault wants its version."""
    assert "NVIDIA driver 570.1" == NvidiaDevices(library).note


def test_a_machine_without_gpus_says_why() -> None:
    """Whatever is missing here, the library or the device, is said; where there is a GPU its driver is."""
    provider = find_devices()
    assert provider.note.startswith(("GPUs are not looked for: ", "no GPUs: ", "NVIDIA driver "))
    assert bool(provider.devices()) is provider.note.startswith("NVIDIA driver ")
    provider.close()
