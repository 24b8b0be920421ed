"""The daemon: a loop that runs turns, follows the fleet file, and answers commands and monitoring.

What belongs here has a socket, a signal or a process of its own. What happens in a turn is in :mod:`roadstead.act`, and
runs without a daemon just as well.
"""
