"""Envoy as the gateway: the real server from its wheel, configured by files that are renamed into place.

What belongs here: Envoy's configuration as a pure function of a route table, the process and its shim, and what its
admin interface says. What does not: any decision about who is listed.
"""
