"""Placement policies: rank the nodes that fit a replica, on clusters where the core picks the node.

A policy is a pure function from a node's state to a score. Whether a replica fits at all is decided before, by the
core.
"""
