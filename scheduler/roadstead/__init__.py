"""Roadstead's core: the fleet's words and values, the one pure plan function, and what carries a plan out.

The core knows no orchestrator and no serving engine. Both come in through :mod:`roadstead.spi`, the built-in ones like
a stranger's. Read :mod:`roadstead.model` for what is wanted, :mod:`roadstead.world` for what is, and
:mod:`roadstead.decide` for the difference.
"""

__version__ = "0.1.0"
