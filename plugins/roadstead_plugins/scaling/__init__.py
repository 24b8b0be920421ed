"""Scaling policies: from a deployment's load to the number of replicas that it wants.

A policy is pure: load, its window so far and the time come in as arguments, a number and its reason come out. The core
keeps the number within the fleet file's bounds.
"""
