"""A real Kubernetes cluster for tests: the published components, started as processes in namespaces of their own.

What belongs here: building and fetching the components (:mod:`binary`, :mod:`packages`), the machines they run on
(:mod:`machine`, :mod:`network`), what makes machines a cluster (:mod:`control_plane`, :mod:`node`, :mod:`cluster`), and
pytest's fixtures (:mod:`fixtures`). Nothing here knows Roadstead, so that what is seen through it is Kubernetes' own
behaviour. ``docs/how-to/test-on-kubernetes.md`` tells how to use it, ``python -m tests.cluster --help`` what
there is by hand.

How it hangs together: every machine is a set of mount, process and network namespaces with a PID 1 of ours
(:mod:`init`), and everything on it dies with that. One machine, the router, runs the control plane; each node is a
machine of its own, wired to the router. The tests stay outside: a pair of virtual interfaces and one route make the
API server, the nodes and the pods reachable from where pytest runs, by addresses out of 198.18.0.0/15, which is set
aside for testing (RFC 2544).
"""
