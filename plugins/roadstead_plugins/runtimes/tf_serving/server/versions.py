"""Which versions of a model should be served, given what lies in its folder: pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, assert_never

import attrs


@attrs.frozen
class Latest:
    """The highest ``count`` version numbers."""

    count: int


@attrs.frozen
class All:
    """Every version there is."""


@attrs.frozen
class Specific:
    """Exactly these versions, as far as they are there."""

    versions: frozenset[int]


Policy = Latest | All | Specific

_NUMBER: Final = re.compile(r"\s*[+-]?[0-9]+\s*")


def numbered(names: Iterable[str]) -> Mapping[int, str]:
    """Return the entries of a folder whose name is a number of 64 bits, by that number.

    Of several names for one number (``1``, ``01``) the last in order is taken, as TensorFlow Serving does.

    >>> dict(numbered(["2", "01", "tmp", ".export-x"]))
    {1: '01', 2: '2'}
    """
    found = {int(name): name for name in sorted(names) if _NUMBER.fullmatch(name)}
    return {version: found[version] for version in sorted(found) if abs(version) < 2**63}


def aspired(policy: Policy, names: Iterable[str]) -> Mapping[int, str]:
    """Return the versions to serve and the folder name of each, of those that are there.

    >>> dict(aspired(Latest(2), ["1", "2", "10"]))
    {2: '2', 10: '10'}
    >>> dict(aspired(Specific(frozenset({1, 7})), ["1", "2"]))
    {1: '1'}
    """
    there = numbered(names)
    match policy:
        case All():
            return there
        case Latest(count):
            chosen = frozenset(sorted(there)[-count:])
        case Specific(versions):
            chosen = versions
        case _:
            assert_never(policy)
    return {version: name for version, name in there.items() if version in chosen}


def missing(policy: Policy, names: Iterable[str]) -> frozenset[int]:
    """Return the versions that are asked for by number and are not there.

    >>> missing(Specific(frozenset({1, 7})), ["1", "2"])
    frozenset({7})
    >>> missing(Latest(3), ["1", "2"])
    frozenset()
    """
    return policy.versions.difference(numbered(names)) if isinstance(policy, Specific) else frozenset()


@attrs.frozen(kw_only=True)
class Change:
    """What to do about a model: versions to load now, and versions to unload now, in that order."""

    load: tuple[int, ...] = ()
    unload: tuple[int, ...] = ()


def change(
    *, wanted: Iterable[int], available: Iterable[int], failed: Iterable[int], missing: Iterable[int] = ()
) -> Change:
    """Return what brings the versions served nearer to those wanted, without a gap.

    ``missing`` are wanted, too, and not there. What is not wanted any more goes only once something that is wanted
    serves, or nothing is wanted (TensorFlow Serving's availability-preserving policy; but where all that is wanted is
    missing, it takes that for nothing, and serves nothing). A version that failed is not tried again as long as it
    stays wanted.

    >>> change(wanted={2}, available={1}, failed=())
    Change(load=(2,), unload=())
    >>> change(wanted={2}, available={1, 2}, failed=())
    Change(load=(), unload=(1,))
    >>> change(wanted={2}, available={1}, failed={2})
    Change(load=(), unload=())
    >>> change(wanted=(), missing={2}, available={1}, failed=())
    Change(load=(), unload=())
    """
    wanted, available, failed = frozenset(wanted), frozenset(available), frozenset(failed)
    covered = not (wanted or frozenset(missing)) or bool(wanted & available)
    return Change(
        load=tuple(sorted(wanted - available - failed)),
        unload=tuple(sorted(available - wanted)) if covered else (),
    )
