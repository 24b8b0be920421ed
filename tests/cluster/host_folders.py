"""What a container of the ``host`` image finds of the machine, and the step of runc's that puts it there.

On the nodes containerd starts ``runc`` through this file. Before a container of that image is created, the folders of
the machine that a Python program needs are added, read-only, to the mounts in its description; everything else, of this
and of every other container, is as containerd wrote it. So a pod that names the image needs nothing else: no volume, no
privilege, no key in its manifest that a real one would not have.

It is run by path for each call of runc's, so it imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

IMAGE: Final = "localhost/roadstead/host:1"

_IMAGE_NAME: Final = "io.kubernetes.cri.image-name"
_ROOT: Final = Path(__file__).resolve().parents[2]
_SOURCES: Final = ("scheduler", "backends", "plugins", "tests")
_TOP: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def folders() -> tuple[str, ...]:
    """Return the machine's folders that a container of the image gets, at the same paths."""
    top = [f"/{name}" for name in _TOP if Path(f"/{name}").is_dir() and not Path(f"/{name}").is_symlink()]
    python = [os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix)]
    sources = [str(_ROOT / name) for name in _SOURCES]
    wanted = ["/usr", *top, *python, *sources]
    # Python is often below /usr, which is there already.
    return tuple(dict.fromkeys(path for path in wanted if path == "/usr" or not path.startswith("/usr/")))


def links() -> dict[str, str]:
    """Return the links of the machine's root folder, which on most are /bin, /lib and the like."""
    return {name: str(Path(f"/{name}").readlink()) for name in _TOP if Path(f"/{name}").is_symlink()}


def search_path() -> str:
    """Return the PATH of such a container: this environment's programs first."""
    return f"{os.path.realpath(sys.prefix)}/bin:/usr/local/bin:/usr/bin:/bin"


def script(runc: Path, mounts: tuple[str, ...]) -> str:
    """Return the program that containerd calls as ``runc``: a shell, for only one call in ten creates a container."""
    python, here = os.path.realpath(sys.executable), Path(__file__).resolve()
    return (
        "#!/bin/sh\n"
        'for word in "$@"; do\n'
        f'  [ "$word" = create ] && exec {python} -I -S {here} {runc} {",".join(mounts)} "$@"\n'
        "done\n"
        f'exec {runc} "$@"\n'
    )


def _add(bundle: Path, paths: list[str]) -> None:
    """Add read-only mounts to a container's description if it is of the image."""
    description = bundle / "config.json"
    container = json.loads(description.read_text())
    if container.get("annotations", {}).get(_IMAGE_NAME) != IMAGE:
        return
    root, rest = container["mounts"][:1], container["mounts"][1:]
    # First, so that what the pod itself mounts lies over them. But where the pod mounts a folder above one of them,
    # such as an empty /tmp over a checkout in /tmp, that one comes last: nobody would find it.
    above = tuple(f"{mount['destination'].rstrip('/')}/" for mount in rest)
    hidden = [_mount(path) for path in paths if path.startswith(above)]
    shown = [_mount(path) for path in paths if not path.startswith(above)]
    container["mounts"] = [*root, *shown, *rest, *hidden]
    description.write_text(json.dumps(container))


def _mount(path: str) -> dict[str, str | list[str]]:
    return {"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro", "nosuid", "nodev"]}


def main() -> None:
    """Be runc: ``host_folders.py RUNC FOLDER,FOLDER ARGUMENTS...``."""
    runc, mounts, *arguments = sys.argv[1:]
    _add(Path(arguments[arguments.index("--bundle") + 1]), mounts.split(","))
    os.execv(runc, [runc, *arguments])  # containerd's runc, with containerd's arguments


if __name__ == "__main__":
    main()
