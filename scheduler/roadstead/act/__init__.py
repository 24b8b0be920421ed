"""Everything that has an effect or needs a clock: observing clusters, carrying plans out, and remembering.

What belongs here turns I/O into values for :mod:`roadstead.decide` and its plans back into I/O. No decision is taken
here: what is a question of policy belongs into ``decide``, what needs a socket of our own into ``daemon``. The parts,
in the order of one turn: :mod:`~roadstead.act.observer`, :mod:`~roadstead.act.memory`,
:mod:`~roadstead.act.executor`, :mod:`~roadstead.act.journal`, put together by :mod:`~roadstead.act.reconciler`;
:mod:`~roadstead.act.session` opens them all for one fleet.
"""
