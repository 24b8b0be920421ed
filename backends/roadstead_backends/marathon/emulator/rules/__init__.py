"""What Marathon accepts and what it makes of it: validation and normalisation of apps, groups and pods, all pure.

What belongs here: rules between fields of one document. What does not: rules that need the running system.
"""
