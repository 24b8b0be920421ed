"""A Mesos cluster that is pretended: agents, offers, tasks and what befalls them; and the operator API on it.

What belongs here: what the Mesos master and its agents do. What does not: anything that Marathon decides.
"""
