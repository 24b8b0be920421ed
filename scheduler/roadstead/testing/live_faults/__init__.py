"""Fault testing of live clusters: the daemon's own loop, a backend, and a fault at each call that a story makes.

What belongs here: the stories, what can go wrong with the calls of any backend that speaks HTTP, the loop that is
watched while it does, and the judgement of what came of it. What does not: how a cluster is asked, seen, and meddled
with, which is its backend's subject's to say (:mod:`.subject`); and faults of a daemon's own process and files, which
are tried exhaustively in virtual time (:mod:`roadstead.testing.faults`).
"""
