"""The command line: what a person types, and what they are told.

A command here reads its arguments, asks the daemon (or looks for itself where none runs), and prints. It decides
nothing about the fleet. Each command is a module of :mod:`roadstead.cli.commands` that is imported when it is used, so
that ``roadstead --help`` costs no more than click.
"""

from roadstead.cli.entry import main

__all__ = ["main"]
