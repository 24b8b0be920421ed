"""What comes from the distribution: containerd, runc, network plugins, nft and busybox, unpacked and never installed.

The newest versions that the distribution has are taken, once; what was taken stands in ``packages.json`` beside the
unpacked files, with the hash of each, and stays until ``python -m tests.cluster fetch --again``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from tests.cluster.places import cache_folder

__all__ = ["FetchError", "Packages", "fetch", "fetched", "lacking_to_fetch"]

_NAMES: Final = (
    *("containerd", "runc", "containernetworking-plugins", "busybox-static"),
    # nft and the libraries that a machine without it lacks
    *("nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libxtables12"),
)


class FetchError(Exception):
    """The distribution's packages could not be had."""


@attrs.frozen
class Packages:
    """The unpacked packages below one folder."""

    root: Path

    @property
    def containerd(self) -> Path:
        """The container runtime."""
        return self.root / "usr/bin/containerd"

    @property
    def runc(self) -> Path:
        """What starts a container."""
        return self.root / "usr/sbin/runc"

    @property
    def ctr(self) -> Path:
        """Containerd's client."""
        return self.root / "usr/bin/ctr"

    @property
    def network_plugins(self) -> Path:
        """The folder of the plugins that wire a pod."""
        return self.root / "usr/lib/cni"

    @property
    def busybox(self) -> Path:
        """A whole userland in one static file."""
        found = [path for path in (self.root / "bin/busybox", self.root / "usr/bin/busybox") if path.exists()]
        return found[0]

    @property
    def path(self) -> str:
        """A search path that finds them first."""
        own = (self.root / folder for folder in ("wrappers", "usr/sbin", "usr/bin"))
        return ":".join([*map(str, own), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])


def _folder() -> Path:
    return cache_folder() / "packages"


def fetched() -> Packages | None:
    """Return the packages, if they were fetched."""
    return Packages(_folder() / "root") if (_folder() / "packages.json").exists() else None


def lacking_to_fetch() -> str | None:
    """Return what this machine lacks for fetching packages, or ``None``."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            return f"{program} is not there: containerd, runc and nft are taken from Debian's or Ubuntu's packages"
    return None


def fetch(say: Callable[[str], object], *, again: bool = False) -> Packages:
    """Return the packages, after fetching them if need be, or ``again``; raise :class:`FetchError`."""
    found = fetched()
    if found is not None and not again:
        return found
    lacking = lacking_to_fetch()
    if lacking is not None:
        raise FetchError(lacking)
    say(f"fetching {len(_NAMES)} packages of the distribution (37 MB)")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="packages.") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        archives = _download(Path(scratch), say)
        record = []
        for archive in archives:
            _run(["dpkg-deb", "--extract", str(archive), str(new / "root")], Path(scratch))
            name, version = _run(["dpkg-deb", "--show", str(archive)], Path(scratch)).split()
            record.append(
                {"name": name, "version": version, "sha256": hashlib.sha256(archive.read_bytes()).hexdigest()}
            )
        _write_nft_wrapper(new / "root", _folder() / "root")
        (new / "packages.json").write_text(json.dumps(record, indent=1) + "\n")
        shutil.rmtree(_folder(), ignore_errors=True)
        new.rename(_folder())
    return Packages(_folder() / "root")


def _download(scratch: Path, say: Callable[[str], object]) -> list[Path]:
    archives = scratch / "archives"
    archives.mkdir()
    try:
        _run(["apt-get", "download", "-q", *_NAMES], archives)
    except FetchError:
        # A container often comes without lists: ours go into the scratch folder, so that the machine stays as it is.
        say("the machine's package lists will not do; reading new ones")
        (scratch / "lists/partial").mkdir(parents=True)
        (scratch / "apt/archives/partial").mkdir(parents=True)
        own = ("-o", f"Dir::State::lists={scratch}/lists", "-o", f"Dir::Cache={scratch}/apt")
        _run(["apt-get", *own, "update", "-q"], archives)
        _run(["apt-get", *own, "download", "-q", *_NAMES], archives)
    return sorted(archives.glob("*.deb"))


def _run(argv: list[str], folder: Path) -> str:
    # As root apt would hand the download to a user who cannot write here, and warn.
    argv = [argv[0], "-o", "APT::Sandbox::User=root", *argv[1:]] if argv[0] == "apt-get" else argv
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FetchError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _write_nft_wrapper(root: Path, final: Path) -> None:
    """Write a script that starts nft with the libraries it came with."""
    libraries = sorted({path.parent.relative_to(root) for path in root.glob("usr/lib/*/libnftables.so.*")})
    folders = ":".join(str(final / folder) for folder in libraries)
    (root / "wrappers").mkdir()
    script = root / "wrappers/nft"
    script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={folders} exec {final}/usr/sbin/nft "$@"\n')
    script.chmod(0o755)
