"""Runtimes: one package per serving engine that a replica can run.

A runtime knows how its engine is started, how its model's state is asked for, and how it is told to load another
version. What starts the process, and where, is the backend's.
"""
