"""A cluster that exists only in memory, in virtual time, with every fault on demand.

What belongs here: the ``simulated`` backend (directed, native, like Kubernetes, like Marathon), the runtime that asks
its servers, worlds of such clusters for ``roadstead sim``, and the faults that tests and exercises order. It keeps the
backend contract to the letter, so that whatever holds over it holds over a real cluster as far as the contract says.
What does not belong here: anything that opens a socket or starts a process. When its process ends, the cluster is gone.
"""
