"""The same work on several clusters, done by us and by what an orchestrator has of its own, timed side by side.

What belongs here: the contest, its figures, and their table. What does not belong here: how an orchestrator does it by
itself, which is its backend's to bring (:mod:`roadstead.spi.comparison`).
"""
