"""How faithful the Marathon emulator is: each recorded answer of a real one replayed, agree or differ, per group.

``python -m benchmarks.marathon_fidelity [GROUP ...] [-v]``; with ``-v`` every difference is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.marathon.replay import GROUPS, Result, replayed


def main(arguments: Sequence[str]) -> None:
    """Print the table, and the differences if asked."""
    asked = [each for each in arguments if not each.startswith("-")] or GROUPS
    results = {group: list(replayed(group)) for group in asked}
    if "-v" in arguments:
        for result in (each for found in results.values() for each in found if not each.agrees):
            _tell(result)
    width = max(len(group) for group in asked)
    print(f"{'group':<{width}}  records  agree  differ  skipped")
    totals = [0, 0, 0, 0]
    for group, found in results.items():
        skipped = sum(each.skipped is not None for each in found)
        agree = sum(each.agrees for each in found)
        row = [len(found), agree, len(found) - agree - skipped, skipped]
        totals = [total + one for total, one in zip(totals, row, strict=True)]
        print(f"{group:<{width}}  {row[0]:>7}  {row[1]:>5}  {row[2]:>6}  {row[3]:>7}")
    print(f"{'all':<{width}}  {totals[0]:>7}  {totals[1]:>5}  {totals[2]:>6}  {totals[3]:>7}")


def _tell(result: Result) -> None:
    print(f"{result.group} #{result.index} {result.name}" + (f": {result.skipped}" if result.skipped else ""))
    for difference in result.differences:
        print(f"    {difference}")


if __name__ == "__main__":
    main(sys.argv[1:])
