"""How long a crashed server waits before it is started again."""

from typing import NamedTuple


class Backoff(NamedTuple):
    """The waits between the starts of a server that keeps crashing, in seconds.

    The first crash after a good run is answered at once. Every further one waits ``initial``, then ``factor`` times the
    wait before, at most ``maximum``. A run of at least ``reset_after`` is a good run.
    """

    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 60.0
    reset_after: float = 15.0


def wait_before(backoff: Backoff, crashes: int) -> float:
    """Return the wait in seconds before the start that follows the given number of crashes in a row.

    >>> [wait_before(Backoff(initial=1, factor=2, maximum=5), crashes) for crashes in range(1, 7)]
    [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    """
    if crashes <= 1:
        return 0.0
    wait = backoff.initial
    for _ in range(crashes - 2):
        if wait >= backoff.maximum:
            break
        wait *= backoff.factor
    return float(min(wait, backoff.maximum))


def crashes_in_a_row(backoff: Backoff, before: int, ran_for: float) -> int:
    """Return the number of crashes in a row, counting the one that just ended a run of ``ran_for`` seconds.

    >>> crashes_in_a_row(Backoff(reset_after=15), 3, 2.0), crashes_in_a_row(Backoff(reset_after=15), 3, 20.0)
    (4, 1)
    """
    return 1 if ran_for >= backoff.reset_after else before + 1
