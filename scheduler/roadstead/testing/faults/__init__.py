"""Deterministic fault testing: a story is told on simulated clusters again and again, with another fault each time.

What belongs here: the calls that a daemon makes to the outside, what can go wrong with each, the daemon's own parts put
together without threads and in virtual time, and the judgement of what came of it. It is for any clusters that keep
:class:`roadstead.testing.faults.props.Stageable`. Which stories are told on which clusters is the business of tests.
"""
