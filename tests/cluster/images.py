"""Container images made without an engine: tar files that containerd imports.

``pause`` holds a pod's namespaces, ``busybox`` is a shell and its tools, and ``host`` holds nothing: its containers
find the machine's own programs, this environment and this source tree, mounted read-only when they start
(:mod:`tests.cluster.host_folders`). An image that really held TensorFlow would be 2.5 GB to write, import and unpack.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.cluster import host_folders

__all__ = ["BUSYBOX", "HOST", "PAUSE", "Image", "archive", "images"]

PAUSE: Final = "localhost/roadstead/pause:1"
BUSYBOX: Final = "localhost/roadstead/busybox:1"
HOST: Final = host_folders.IMAGE

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_EXECUTABLE: Final = 0o755
_STICKY: Final = 0o1777


@attrs.frozen(kw_only=True)
class Image:
    """What an image of one layer holds, by paths without a leading slash, and how its containers start."""

    name: str
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    path: str = "/bin"
    folders: Sequence[str] = ()
    files: Mapping[str, bytes] = {}
    links: Mapping[str, str] = {}


def images(busybox: bytes) -> tuple[Image, ...]:
    """Return the images that every node has, made from a static busybox."""
    shell = {"bin/busybox": busybox}
    # The applet is chosen by the name that it is called by.
    applets = {f"bin/{name}": "busybox" for name in ("sh", "sleep", "cat", "echo", "wget", "nc", "httpd", "dd", "id")}
    path = host_folders.search_path()
    return (
        Image(name=PAUSE, entrypoint=["/bin/busybox", "sleep", "2147483647"], folders=["bin"], files=shell),
        Image(name=BUSYBOX, command=["/bin/sh"], folders=["bin", "etc", "tmp"], files=shell, links=applets),
        Image(
            name=HOST,
            command=["/bin/sh"],
            # Numeric and not root, as in an image that somebody would run with `runAsNonRoot`.
            user="65532:65532",
            path=path,
            folders=["dev", "etc", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var"],
            links=host_folders.links(),
        ),
    )


def archive(image: Image) -> bytes:
    """Return an image as an archive in Docker's format, the same bytes for the same image."""
    layer = _tar(_layer_entries(image))
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "Env": [f"PATH={image.path}"],
            "Entrypoint": list(image.entrypoint) or None,
            "Cmd": list(image.command) or None,
            "User": image.user,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }
    described = json.dumps(config, sort_keys=True).encode()
    name = hashlib.sha256(described).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": [image.name], "Layers": [f"{layer_digest}/layer.tar"]}]
    files = {
        f"{layer_digest}/layer.tar": layer,
        f"{name}.json": described,
        "manifest.json": json.dumps(manifest).encode(),
    }
    return _tar([(_file(path, content), content) for path, content in files.items()])


def _layer_entries(image: Image) -> list[tuple[tarfile.TarInfo, bytes]]:
    entries = []
    for path in image.folders:
        folder = tarfile.TarInfo(path)
        folder.type, folder.mode = tarfile.DIRTYPE, _STICKY if path == "tmp" else _EXECUTABLE
        entries.append((folder, b""))
    for path, content in image.files.items():
        entries.append((_file(path, content), content))
    for path, target in image.links.items():
        link = tarfile.TarInfo(path)
        link.type, link.linkname = tarfile.SYMTYPE, target
        entries.append((link, b""))
    return entries


def _file(path: str, content: bytes) -> tarfile.TarInfo:
    found = tarfile.TarInfo(path)
    found.size, found.mode = len(content), _EXECUTABLE
    return found


def _tar(entries: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def write(folder: Path, image: Image) -> Path:
    """Write an image's archive into a folder and return where it is."""
    name = image.name.rpartition("/")[2].partition(":")[0]
    path = folder / f"{name}.tar"
    path.write_bytes(archive(image))
    return path
