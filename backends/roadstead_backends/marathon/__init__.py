"""Marathon: an emulator of it, faithful enough to trust.

What belongs here: what knows Marathon by name.
"""
