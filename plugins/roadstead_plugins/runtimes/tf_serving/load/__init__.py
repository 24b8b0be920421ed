"""Putting TensorFlow Serving's API under load: the callers of :mod:`roadstead.spi.load` for gRPC and for REST.

What belongs here: writing requests beforehand, sending them as cheaply as can be, and judging answers. What does not:
when to send and what to count.
"""
