"""A Kubernetes cluster: every group is a ReplicaSet, every replica a pod, in one namespace.

What belongs here: the ``kubernetes`` backend, its client of the API server, and all knowledge of Kubernetes' objects.
The libraries ``kubernetes`` and ``msgspec`` are imported here and nowhere else. What does not: any decision about which
group has how many replicas.
"""
