"""The machine in front of you as a cluster: replicas are processes, each under a shim of its own.

What belongs here: the ``local`` backend (directed), the place of limits (control groups, or affinity and a watchdog),
and the addresses and devices of this machine. What does not: any decision about which group has how many replicas.
"""
