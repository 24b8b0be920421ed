"""The backends that come with Roadstead: one package per kind of cluster.

A backend turns a group into what its orchestrator understands, and reads the orchestrator's state back as a snapshot.
What belongs here: translation (each package's ``translate`` module, pure), the calls to the orchestrator, and the
module ``plugin`` that registers the kind. What does not: any decision. How many replicas a group should have is the
core's.

A backend imports of the core only its contracts and values (``roadstead.spi``, ``model``, ``units``, ...), never
another backend, and it alone imports its orchestrator's client.
"""
