"""TensorFlow Serving as a runtime: how its servers are launched, asked and reloaded, and a server of our own.

What belongs here: everything that knows TensorFlow Serving's flags, protos or files. What does not: where and when a
replica runs. Importing this package costs nothing; gRPC and the protos come with the first call to a server.
"""
