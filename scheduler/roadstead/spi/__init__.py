"""What plugins see: the protocols they implement, the records they register, and the values both sides exchange.

A plugin imports from here and from the value modules (:mod:`roadstead.model`, :mod:`roadstead.world`,
:mod:`roadstead.units`, :mod:`roadstead.reasons`, :mod:`roadstead.errors`), and from nothing else of the core.
"""
