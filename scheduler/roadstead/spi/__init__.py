"""What plugins see: the protocols they implement, the records they register, and the values both sides exchange.

A plugin imports from here and nothing else of the core: the values are in :mod:`roadstead.spi.values`. Those that are
in this repository may also name the modules where the values are made (:mod:`roadstead.model`, :mod:`roadstead.world`,
:mod:`roadstead.units`, :mod:`roadstead.reasons`, :mod:`roadstead.errors` and so on).
"""
