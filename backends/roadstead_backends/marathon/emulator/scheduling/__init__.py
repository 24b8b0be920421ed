"""Marathon as a framework: groups, deployments, launch queue, matching of offers, instances, health; in virtual time.

What belongs here: state and the arithmetic on it. What does not: HTTP, clocks and sockets.
"""
