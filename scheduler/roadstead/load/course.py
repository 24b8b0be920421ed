"""What kind of load, for how long; and when each request is due."""

from __future__ import annotations

import enum
import itertools
import random
from collections.abc import Iterator

import attrs

__all__ = ["Arrivals", "Closed", "Course", "Open", "due_times"]

_positive = attrs.validators.gt(0)
_not_negative = attrs.validators.ge(0)


@enum.unique
class Arrivals(enum.Enum):
    """How requests that nobody waits for follow each other.

    ``POISSON``: independent of each other, as those of many clients are. ``CONSTANT``: at equal distances.
    """

    POISSON = "poisson"
    CONSTANT = "constant"


@attrs.frozen(kw_only=True)
class Open:
    """An open loop: ``rate`` requests a second become due, whether the ones before were answered or not."""

    rate: float = attrs.field(validator=_positive)
    arrivals: Arrivals = Arrivals.POISSON
    seed: int = 0


@attrs.frozen
class Closed:
    """A closed loop: so many clients, each of which sends its next request when the one before is answered.

    After a request that was not answered it rests for a moment.
    """

    concurrency: int = attrs.field(validator=_positive)


@attrs.frozen(kw_only=True)
class Course:
    """One measurement; all lengths are in seconds.

    ``warm_up`` comes before ``duration`` and is counted apart. ``deadline`` is how long a server has for one request.
    """

    pace: Open | Closed
    duration: float = attrs.field(validator=_positive)
    warm_up: float = attrs.field(validator=_not_negative)
    deadline: float = attrs.field(validator=_positive)


def due_times(pace: Open) -> Iterator[float]:
    """Yield without end when requests are due, in seconds after the start; the same seed gives the same times."""
    if pace.arrivals is Arrivals.CONSTANT:
        # A product and not a sum: a million roundings would add up.
        yield from (number / pace.rate for number in itertools.count())
    chance = random.Random(pace.seed)  # noqa: S311  # nobody is to be surprised by it
    yield from itertools.accumulate(chance.expovariate(pace.rate) for _ in itertools.count())
