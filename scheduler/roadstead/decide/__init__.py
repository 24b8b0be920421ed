"""The decision: fleet, world, memory and time in, a plan out; nothing else goes in and nothing else comes out.

No module of this package does I/O, reads a clock, draws a random number or logs; import-linter holds it to that. Start
reading at :mod:`roadstead.decide.planner`.
"""
