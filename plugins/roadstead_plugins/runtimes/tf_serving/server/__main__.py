"""``python -m roadstead_plugins.runtimes.tf_serving.server --help``."""

import sys

from roadstead_plugins.runtimes.tf_serving.server.process import main

sys.exit(main(sys.argv[1:]))
