"""Amounts: exact, of one kind each, and read back from what they print."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.testing.strategies import cpus, durations, gpu_shares, memories
from roadstead.units import Cpus, Duration, GpuShare, Memory, UnitError

KINDS: list[type[Any]] = [Cpus, Memory, Duration, GpuShare]


@given(st.one_of(cpus, memories, durations, gpu_shares))
def test_every_amount_parses_what_it_prints(amount: Cpus | Memory | Duration | GpuShare) -> None:
    """Printing and parsing lose nothing, however large or odd the amount."""
    assert amount == type(amount).parse(str(amount))


@given(st.one_of(cpus, memories, durations, gpu_shares), st.one_of(cpus, memories, durations, gpu_shares))
def test_two_amounts_print_alike_only_if_they_are_equal(one: Any, other: Any) -> None:
    """Of one kind, the text is a name for the amount."""
    if type(one) is type(other):
        assert (one == other) == (str(one) == str(other))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (Cpus.parse("0.5"), Cpus(500)),
        (Cpus.parse("500m"), Cpus(500)),
        (Cpus.parse(2), Cpus(2000)),
        (Cpus.parse(0.25), Cpus(250)),
        (Cpus.parse(" 1.5 "), Cpus(1500)),
        (Memory.parse("8Gi"), Memory(8 * 1024**3)),
        (Memory.parse("8G"), Memory(8 * 1000**3)),
        (Memory.parse("0.5Ki"), Memory(512)),
        (Memory.parse("64k"), Memory(64_000)),
        (Memory.parse(17), Memory(17)),
        (GpuShare.parse("500m"), GpuShare(500)),
        (GpuShare.parse(1), GpuShare(1000)),
        (Duration.parse("90s"), Duration(90_000)),
        (Duration.parse("1.5h"), Duration(5_400_000)),
        (Duration.parse("5ms"), Duration(5)),
        (Duration.parse(0), Duration(0)),
        (Duration.parse("0"), Duration(0)),
    ],
)
def test_the_fleet_file_s_spellings_mean_exactly_this(text: object, expected: object) -> None:
    """Each spelling is one amount, without rounding."""
    assert expected == text


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (Cpus(500), "500m"),
        (Cpus(2000), "2"),
        (Cpus(0), "0"),
        (Memory(8 * 1024**3), "8Gi"),
        (Memory(8 * 1000**3), "8G"),
        (Memory(1025), "1025"),
        (Memory(0), "0"),
        (GpuShare(1000), "1"),
        (GpuShare(125), "125m"),
        (Duration(90_000), "90s"),
        (Duration(3_600_000), "1h"),
        (Duration(1), "1ms"),
        (Duration(0), "0s"),
    ],
)
def test_amounts_print_in_their_largest_exact_unit(amount: object, expected: str) -> None:
    """People read the shortest spelling that is still exact."""
    assert expected == str(amount)


@pytest.mark.parametrize(
    ("kind", "text", "says", "hint"),
    [
        (Memory, "8GB", "unknown unit 'GB'", "8G or 8Gi"),
        (Memory, "8gb", "unknown unit 'gb'", "8G or 8Gi"),
        (Memory, "8Xi", "unknown unit 'Xi'", "512Mi, 8Gi or 8G"),
        (Memory, "1.5", "too fine", "512Mi"),
        (Memory, "-1Gi", "is not an amount of memory", "512Mi"),
        (Memory, "lots", "is not an amount of memory", "512Mi"),
        (Memory, "9999999999Ti", "too large", "512Mi"),
        (Cpus, "0.0005", "too fine", "500m"),
        (Cpus, "half", "is not an amount of CPU", "0.5, 2 or 500m"),
        (Cpus, "1e3", "is not an amount of CPU", "0.5"),
        (Cpus, True, "is not an amount of CPU", "0.5"),
        (Cpus, "", "is not an amount of CPU", "0.5"),
        (Cpus, float("nan"), "is not an amount of CPU", "0.5"),
        (GpuShare, "0", "is not a share of one GPU", "`count`"),
        (GpuShare, "2", "is not a share of one GPU", "`count`"),
        (Duration, 30, "without a unit", "30s"),
        (Duration, 1.5, "without a unit", "1.5s"),
        (Duration, "30", "has no unit", "30s"),
        (Duration, "30sec", "unknown unit 'sec'", "30s"),
        (Duration, False, "is not a duration", "30s"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_way_to_write_it(kind: Any, text: object, says: str, hint: str) -> None:
    """The error names the text, and the hint says what would have been read."""
    with pytest.raises(UnitError) as refused:
        kind.parse(text)
    assert says in str(refused.value)
    assert hint in (refused.value.hint or "")


@given(st.text(max_size=6))
def test_parsing_any_text_gives_an_amount_or_a_unit_error(text: str) -> None:
    """Whatever a person writes, nothing else comes out."""
    for kind in KINDS:
        with contextlib.suppress(UnitError):
            assert isinstance(kind.parse(text), kind)


@given(st.integers(0, 10**6), st.integers(0, 999))
def test_decimals_are_exact(whole: int, thousandths: int) -> None:
    """A decimal number is what it says, never the nearest float."""
    text = f"{whole}.{thousandths:03}"
    assert Cpus(int(Decimal(text) * 1000)) == Cpus.parse(text)


@given(cpus, cpus)
def test_adding_and_taking_away_are_inverse_above_nothing(one: Cpus, other: Cpus) -> None:
    """What was added can be taken away; below nothing there is nothing."""
    assert one == (one + other) - other
    assert Cpus(max(0, one.milli - other.milli)) == one - other


@given(memories, memories, st.integers(0, 1000))
def test_counting_is_repeated_adding(one: Memory, other: Memory, count: int) -> None:
    """So many replicas of two amounts are so many of each."""
    assert (one + other) * count == one * count + other * count


@pytest.mark.parametrize("act", [operator.add, operator.sub, operator.lt])
def test_amounts_of_different_kinds_do_not_mix(act: Callable[[object, object], object]) -> None:
    """Cores and bytes are not added, taken away or compared."""
    with pytest.raises(TypeError):
        act(Cpus(1), Memory(1))


@pytest.mark.parametrize("bad", [-1, 1.0, "1", True, None])
@pytest.mark.parametrize("kind", KINDS)
def test_only_whole_numbers_of_at_least_nothing_are_amounts(kind: Any, bad: object) -> None:
    """A programmer's slip is an error where it happens."""
    with pytest.raises(ValueError, match=r"must be|is 1 to 1000"):
        kind(bad)


@pytest.mark.parametrize("bad", [0, 1001])
def test_a_share_is_a_part_of_one_device(bad: int) -> None:
    """Nothing, or more than one device, is no share."""
    with pytest.raises(ValueError, match="1 to 1000 thousandths"):
        GpuShare(bad)


def test_seconds_are_the_same_length() -> None:
    """An interface that wants a float gets the same duration."""
    assert 1.5 == Duration(1_500).seconds
