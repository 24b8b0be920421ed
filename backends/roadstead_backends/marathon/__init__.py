"""Marathon: the backend that runs groups as its apps, and an emulator of it, faithful enough to trust.

What belongs here: what knows Marathon by name. Only `transport.py` imports its client.
"""
