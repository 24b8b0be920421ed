"""The embedded server: TensorFlow Serving's API in one Python process on TensorFlow's C library.

What belongs here: what runs inside a replica. Nothing here is imported by the daemon; ``python -m
roadstead_plugins.runtimes.tf_serving.server`` is the way in. The layers, each knowing only those before it: ``status``,
``flags``, ``configs``; ``engine`` (a SavedModel through the C library); ``batching``; ``signatures`` (what a model
takes); ``memory``, ``warmup``, ``loading`` (one version, until it is ready); ``versions`` and ``models`` (what is
served); ``predict``; ``door``, ``grpc_api``, ``rest_api``, ``metrics``; ``ports``, ``process`` (opening, signals,
draining).
"""
