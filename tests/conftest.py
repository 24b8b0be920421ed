"""What holds for every test: which examples Hypothesis tries, and how many.

``ci`` is the default and is derandomized: the same commit gives the same verdict on every machine. ``nightly`` draws
new examples each time and many more of them (``make nightly``); what it finds is printed as ``@reproduce_failure``.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No deadline: two cores shared with running servers make the time of one example say nothing about the code.
settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile(
    "nightly",
    deadline=None,
    max_examples=5_000,
    stateful_step_count=200,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")
