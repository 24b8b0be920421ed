"""Marathon's REST API as a thin skin: routes, headers, negotiation, and the stream of events.

What belongs here: what Jetty and Jersey do to requests and answers. What does not: what Marathon decides.
"""
