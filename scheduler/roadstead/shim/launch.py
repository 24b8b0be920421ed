"""Start a shim: ``python -I -S launch.py REPLICA_DIRECTORY``.

With ``-I -S`` neither this file's folder nor ``site-packages`` is on ``sys.path``. The one folder that holds our own
package is added, so that the shim's modules are the same modules that the daemon and the tests import.
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import os
import sys

if __name__ == "__main__":
    # .../roadstead/shim/launch.py: three levels up lies the folder that holds the package.
    package_root = os.path.abspath(__file__).rsplit(os.sep, 3)[0]
    sys.path.append(package_root)
    from roadstead.shim.main import main  # the path has to be set first

    sys.exit(main(sys.argv))
