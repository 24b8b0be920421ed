"""An emulator of Marathon 1.8 and 1.11 on a cluster that is pretended, for tests, demonstrations and rehearsals.

What belongs here: what Marathon and Mesos do, from the recorded answers of a real one and from its published source.
What does not: anything of Roadstead's own; no other part of Roadstead imports this package.
"""
