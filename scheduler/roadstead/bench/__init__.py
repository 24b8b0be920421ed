"""The fleet in virtual time: scenarios, the world they are about, and the record of what the production parts did.

What belongs here: reading a scenario, letting time and faults pass over simulated clusters, the load that clients would
make, and pictures of it. What does not belong here: any decision (those are :mod:`roadstead.decide`'s, unchanged) and
any pretended cluster (those are a plugin's, behind :mod:`roadstead.spi.simulation`).
"""
