"""What whoever tests against Roadstead needs: strategies for its values, a loop in virtual time, what must always hold.

What belongs here: code that tests import, ours and those of plugin authors. It knows backends by their contract only.
What does not belong here: anything that runs in a daemon. Hypothesis is wanted here and nowhere else.
"""
