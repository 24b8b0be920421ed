"""Which process is which, for a backend whose replicas are processes: an id alone is reused, one with its start is not.

The definitions are the shim's, which may import nothing of the core; here they have a name that is kept for plugins.
"""

from __future__ import annotations

from roadstead.shim.identity import ProcessIdentity, identity_of, is_running, is_zombie, open_process

__all__ = ["ProcessIdentity", "identity_of", "is_running", "is_zombie", "open_process"]
