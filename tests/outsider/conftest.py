"""The outsider's own tests are run where it is installed, not here."""

from __future__ import annotations

collect_ignore = ["pier"]
