"""Scaling policies: from a deployment's load to the number of replicas that it makes.

A policy is pure: averages over windows, the time since it was last asked and its own small memory come in, a number and
its reason come out. The core measures, keeps the windows, and keeps the number within the fleet file's bounds.
"""
