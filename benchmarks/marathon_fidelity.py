"""How faithful the Marathon emulator is: each recorded answer of a real one replayed, agree or differ, per group.

``python -m benchmarks.marathon_fidelity [GROUP ...] [-v]``; with ``-v`` every difference is printed, and every record
that was not compared with the reason. ``--write`` writes the table to ``benchmarks/results/marathon_fidelity.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.marathon.replay import GROUPS, Result, replayed

_RESULT: Final = Path(__file__).parent / "results" / "marathon_fidelity.md"
_HEAD: Final = """\
# The Marathon emulator against recorded answers

Made by `python -m benchmarks.marathon_fidelity --write`: each answer that was recorded of a real Marathon 1.11, asked
of the emulator in the same order and in virtual time. Compared are status, words of the status line, headers and body,
after the placeholders of `tests/marathon/recordings/README.md`.

Not compared is what the stand-in for Mesos did in the recording: which agent was offered first, names of offers, ports
on hosts, and moments. What happened between two records and is not here was made up (`tests/marathon/preludes.py`).
Members of what a hash map orders are compared without their order. Of streams of events each instance's, the
deployments' and each other kind's order is compared, not the order between those, which is the original's actors'. Of
upgrades the moves are compared, not how long each took; of back-off, the gaps between launches within 0.6 s.
"""


def main(arguments: Sequence[str]) -> None:
    """Print the table, and the differences if asked."""
    asked = [each for each in arguments if not each.startswith("-")] or GROUPS
    results = {group: list(replayed(group)) for group in asked}
    if "-v" in arguments:
        for result in (each for found in results.values() for each in found if not each.agrees):
            _tell(result)
    table = _table(results)
    print("\n".join(table))
    if "--write" in arguments:
        _RESULT.write_text("\n".join([_HEAD, *_as_markdown(table), "", *_left_out(results), ""]))


def _table(results: Mapping[str, Sequence[Result]]) -> list[str]:
    width = max(len(group) for group in results)
    rows = [f"{'group':<{width}}  records  agree  differ  skipped"]
    totals = [0, 0, 0, 0]
    for group, found in results.items():
        skipped = sum(each.skipped is not None for each in found)
        agree = sum(each.agrees for each in found)
        row = [len(found), agree, len(found) - agree - skipped, skipped]
        totals = [total + one for total, one in zip(totals, row, strict=True)]
        rows.append(f"{group:<{width}}  {row[0]:>7}  {row[1]:>5}  {row[2]:>6}  {row[3]:>7}")
    rows.append(f"{'all':<{width}}  {totals[0]:>7}  {totals[1]:>5}  {totals[2]:>6}  {totals[3]:>7}")
    return rows


def _as_markdown(table: Sequence[str]) -> list[str]:
    rows = ["| " + " | ".join(row.split()) + " |" for row in table]
    return [rows[0], "|---|---:|---:|---:|---:|", *rows[1:]]


def _left_out(results: Mapping[str, Sequence[Result]]) -> list[str]:
    found = [each for group in results.values() for each in group if each.skipped is not None or each.differences]
    return [f"- {each.group} #{each.index} {each.name}: {each.skipped or 'differs'}" for each in found]


def _tell(result: Result) -> None:
    print(f"{result.group} #{result.index} {result.name}" + (f": {result.skipped}" if result.skipped else ""))
    for difference in result.differences:
        print(f"    {difference}")


if __name__ == "__main__":
    main(sys.argv[1:])
