"""Check a model version against the digest that the fleet file gives, before its server is started.

Run by the shim, inside the replica's limits: ``python -I -S check_model.py CORE_ROOT FOLDER EXPECTED``. The core says
what a digest is; ``CORE_ROOT`` is the folder that holds its package, because ``-I -S`` finds nothing installed.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    core_root, folder, expected = sys.argv[1:]
    sys.path.append(core_root)
    from roadstead.spi.digest import DigestError, version_digest  # the path has to be set first

    try:
        found = version_digest(Path(folder))
    except DigestError as error:
        sys.exit(f"model cannot be checked: {error}")
    if found != expected:
        sys.exit(f"model in {folder} has digest {found}, the fleet file says {expected}")
