"""The fleet file: text made into a :class:`roadstead.model.Fleet`, or into every problem that it has, all at once.

What belongs here: reading and checking, and whatever is made from the same description of the keys (the JSON Schema,
the reference page). One module for each step: ``source`` (text), ``nodes`` (YAML as a tree with positions), ``shapes``
(the vocabulary of descriptions), ``keys`` (the description), ``reader`` (tree by description), ``sections``
(defaults), ``checks`` (between keys), ``building`` (the fleet), and ``fleet`` which runs them. What no cluster has
been asked yet is not decided here: whether a model is there, or a cluster can do what a deployment asks for.
"""

from roadstead.config.fleet import read_fleet
from roadstead.config.problems import FleetFileError, Problem, ProblemCode
from roadstead.config.schema import fleet_schema

__all__ = ["FleetFileError", "Problem", "ProblemCode", "fleet_schema", "read_fleet"]
