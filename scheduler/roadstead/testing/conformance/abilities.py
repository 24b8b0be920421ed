"""What a cluster can do, and what can be done to it, as the kit asks for it: each test says what it needs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import TypeVar

import pytest

from roadstead.model import Scheduling
from roadstead.spi.backend import KeepsLogs, MeasuresUsage, Watches
from roadstead.testing.subject import (
    Crashes,
    CutsOff,
    LendsToOthers,
    LosesReplicas,
    LosesReplies,
    Meddles,
    Provokes,
    Reopens,
    Subject,
)

__all__ = ["Ability", "abilities_of", "needs"]

S = TypeVar("S")


@enum.unique
class Ability(enum.Enum):
    """What a test may need; the value says it of a cluster, and is what a person reads in the matrix."""

    DIRECTED = "lets us pick the node"
    NATIVE = "picks the node itself"
    EXACT = "retires exactly the named replicas"
    HEALS = "replaces lost replicas alone"
    DEVICES = "binds devices, and has some"
    METADATA = "restarts nothing when metadata is written"
    RESTARTS = "restarts one replica in place"
    EVICTS = "takes one replica away without asking for fewer"
    REVERTS = "puts back what others changed"
    SETTLES = "has something stand for a deployment"
    RELOADS = "gives replicas another model version"
    USAGE = "measures what replicas use"
    WATCHES = "tells that something changed"
    LOGS = "keeps what servers print"
    REOPENS = "the subject can reopen it"
    OTHERS = "the subject can lend it to another fleet"
    CRASHES = "the subject can crash a server"
    LOSES = "the subject can make a replica vanish"
    CUT_OFF = "the subject can cut it off"
    LOST_REPLIES = "the subject can lose replies"
    MEDDLES = "the subject can change our objects as others would"
    REFUSALS = "the subject can have it refuse calls"


def _has_devices(subject: Subject) -> bool:
    backend = subject.backend
    return backend.capabilities.binds_devices and any(node.devices for node in backend.observe().nodes)


_HAS: Mapping[Ability, Callable[[Subject], bool]] = MappingProxyType(
    {
        Ability.DIRECTED: lambda one: Scheduling.DIRECTED in one.backend.capabilities.scheduling,
        Ability.NATIVE: lambda one: Scheduling.NATIVE in one.backend.capabilities.scheduling,
        Ability.EXACT: lambda one: one.backend.capabilities.exact_retire,
        Ability.HEALS: lambda one: one.backend.capabilities.heals_alone,
        Ability.DEVICES: _has_devices,
        Ability.METADATA: lambda one: not one.backend.capabilities.metadata_restarts,
        Ability.RESTARTS: lambda one: one.backend.capabilities.restarts,
        Ability.EVICTS: lambda one: one.backend.capabilities.evicts,
        Ability.REVERTS: lambda one: one.backend.capabilities.reverts,
        Ability.SETTLES: lambda one: one.backend.capabilities.settles,
        Ability.RELOADS: lambda one: one.backend.capabilities.reloads,
        Ability.USAGE: lambda one: isinstance(one.backend, MeasuresUsage),
        Ability.WATCHES: lambda one: isinstance(one.backend, Watches),
        Ability.LOGS: lambda one: isinstance(one.backend, KeepsLogs),
        Ability.REOPENS: lambda one: isinstance(one, Reopens),
        Ability.OTHERS: lambda one: isinstance(one, LendsToOthers),
        Ability.CRASHES: lambda one: isinstance(one, Crashes),
        Ability.LOSES: lambda one: isinstance(one, LosesReplicas),
        Ability.CUT_OFF: lambda one: isinstance(one, CutsOff),
        Ability.LOST_REPLIES: lambda one: isinstance(one, LosesReplies),
        Ability.MEDDLES: lambda one: isinstance(one, Meddles),
        Ability.REFUSALS: lambda one: isinstance(one, Provokes),
    }
)


def abilities_of(subject: Subject) -> frozenset[Ability]:
    """Return all that this cluster says it can do, and that its subject can do to it."""
    return frozenset(ability for ability in Ability if _HAS[ability](subject))


def needs(*abilities: Ability) -> Callable[[Callable[[S, Subject], None]], Callable[[S, Subject], None]]:
    """Ask a test of those clusters only that have these abilities; of the others it is reported as not asked."""

    def mark(test: Callable[[S, Subject], None]) -> Callable[[S, Subject], None]:
        @wraps(test)
        def asked(suite: S, subject: Subject) -> None:
            for ability in abilities:
                if not _HAS[ability](subject):
                    pytest.skip(f"not asked, as nobody says of it: {ability.value}")
            test(suite, subject)

        return asked

    return mark
