"""Putting a served model under load and telling what became of every request.

What belongs here: when to send, what to count, how to show it, and the loop that does it over a
:class:`roadstead.spi.load.Caller`. What does not: any protocol or message of an engine. All modules but ``engine`` are
pure: they are told what time it is.

Times are seconds after the beginning of the measurement; what was to be sent before that is the warm-up.
"""
