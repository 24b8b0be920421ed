"""Reads a tree of nodes by the description of its keys."""

# Importing the modules registers the reader of every shape.
from roadstead.config import read_mappings, read_values  # noqa: F401
from roadstead.config.reading import Place, read

__all__ = ["Place", "read"]
