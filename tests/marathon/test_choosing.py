"""Who is given up of an app that has too many instances."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead_backends.marathon.emulator.cluster.agents import Agent, Resources
from roadstead_backends.marathon.emulator.paths import path_of
from roadstead_backends.marathon.emulator.scheduling.choosing import chosen
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec, Stamps

_BY_HOST: Final = [["hostname", "GROUP_BY", "3"]]
_BY_RACK: Final = [["rack", "GROUP_BY"]]


def _spec(**document: Any) -> RunSpec:
    return RunSpec(id=path_of("/a"), document={"instances": 1, **document}, stamps=Stamps.of_new(0))


def _present(spec: RunSpec, hosts: str) -> list[Instance]:
    """One instance a letter, on the agent of that name, each younger than the one before; none for a dot."""
    agents = {
        name: Agent(
            id=name, hostname=name, total=Resources(cpus=1, mem=1, disk=1, gpus=0), attributes={"rack": name.lower()}
        )
        for name in set(hosts)
    }
    return [
        Instance(
            id=f"{name}{number}",
            spec=spec,
            condition="Scheduled" if name == "." else "Running",
            agent=None if name == "." else agents[name],
            active_since=number,
            number=number,
        )
        for number, name in enumerate(hosts)
    ]


def _given_up(hosts: str, count: int, victims: tuple[str, ...] = (), **document: Any) -> str:
    spec = _spec(**document)
    return "".join(sorted(each.id[0] for each in chosen(_present(spec, hosts), spec, count, victims)))


@pytest.mark.parametrize(
    ("hosts", "count", "constraints", "given_up"),
    [
        ("aaaabc", 3, [], "abc"),
        ("aaaabc", 3, _BY_HOST, "aaa"),
        ("aaaabc", 1, _BY_HOST, "a"),
        ("abcaaa", 4, _BY_HOST, "aaab"),
        ("aabb", 2, _BY_HOST, "ab"),
        ("aaaabbbbc", 1, _BY_HOST, "c"),
        ("aAb", 1, _BY_RACK, "a"),
        ("aAbb", 2, [*_BY_RACK, *_BY_HOST], "ab"),
        ("aaaa", 4, _BY_HOST, "aaaa"),
        ("a..", 2, _BY_HOST, ".a"),
    ],
)
def test_who_is_given_up_leaves_the_others_evenly_spread(
    hosts: str, count: int, constraints: list[list[str]], given_up: str
) -> None:
    """Over what the app is to be spread by; where one alone cannot make it more even, age decides."""
    assert given_up == _given_up(hosts, count, constraints=constraints)


def test_who_was_asked_for_goes_whatever_is_even() -> None:
    """And the others make up for it."""
    assert "aab" == _given_up("aaabc", 3, ("b3",), constraints=_BY_HOST)


@given(hosts=st.text("abc.", min_size=1, max_size=9), data=st.data(), constrained=st.booleans())
def test_exactly_so_many_are_given_up(hosts: str, data: st.DataObject, constrained: bool) -> None:
    """Each once, however they are spread."""
    count = data.draw(st.integers(0, len(hosts)))
    given_up = _given_up(hosts, count, constraints=_BY_HOST if constrained else [])
    assert count == len(given_up)
    assert Counter(given_up) <= Counter(hosts)
