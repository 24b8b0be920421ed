"""The reference plugins that come with Roadstead: policies, runtimes and gateways.

They are registered through the same entry points as a stranger's plugin and import of the core only what any plugin may
(``roadstead.spi`` and the values it speaks in), so each is also an example of how to write one.
"""
