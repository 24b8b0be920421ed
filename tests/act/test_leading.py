"""One daemon acts for a fleet: the thread that keeps a lease, and what a session does without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from roadstead.act.leading import LeaseLead, new_holder
from roadstead.act.lease import LeaseTimes
from roadstead.act.pacing import Bell
from roadstead.act.session import Session
from roadstead.errors import Conflict, StateError, Unreachable
from roadstead.model import DaemonSpec, Fleet, LeaseSpec
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.host import PluginHost, Provenance
from roadstead.spi.lease import Lease
from roadstead.spi.records import BackendPlugin
from roadstead.units import Duration
from roadstead_backends.simulated.options import SimulatedOptions
from tests.act.scene import deployment, fleet, ready, simulated, turn_until

QUICK = LeaseTimes(duration=Duration(2_400), renew_within=Duration(1_500), every=Duration(50))


class Shelf:
    """A store in memory that several daemons see, and that can be out of their reach."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._version = 0
        self.is_away = False
        self.written = threading.Semaphore(0)

    def read(self) -> Lease | None:
        """Return what is stored."""
        with self._lock:
            self._must_be_there()
            return self._lease

    def write(self, lease: Lease) -> Lease:
        """Compare and set."""
        with self._lock:
            self._must_be_there()
            if lease.version != (self._lease.version if self._lease is not None else ""):
                raise Conflict("somebody else wrote it", cluster="shelf")
            self._version += 1
            self._lease = attrs.evolve(lease, version=str(self._version))
            self.written.release()
            return self._lease

    def usurp(self) -> Lease:
        """Have another hold it from this moment on, whoever renews it in between."""
        with self._lock:
            assert self._lease is not None
            self._version += 1
            taken = attrs.evolve(self._lease, holder="another", transitions=self._lease.transitions + 1)
            self._lease = attrs.evolve(taken, version=str(self._version))
            return self._lease

    def close(self) -> None:
        """Hold nothing."""

    def _must_be_there(self) -> None:
        if self.is_away:
            raise Unreachable("nobody answers", cluster="shelf")


def until(bell: Bell, holds: Callable[[], bool]) -> None:
    """Wait until something is so, looking again when the bell rings and now and then."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        bell.wait(0.05)


@pytest.fixture
def leads() -> Iterator[Leads]:
    """Makes candidates for one lease, and ends them."""
    made = Leads()
    yield made
    made.shelf.is_away = False
    for lead, _ in made.all:
        lead.release()


class Leads:
    """Candidates for one lease."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.all: list[tuple[LeaseLead, Bell]] = []

    def holder(self) -> str:
        """Return who holds it, by what is stored."""
        stored = self.shelf.read()
        assert stored is not None
        return stored.holder

    def another(self) -> tuple[LeaseLead, Bell]:
        """Return one more candidate, and what it rings."""
        bell = Bell()
        lead = LeaseLead(self.shelf, "the lease of fleet shop", wake=bell.ring, times=QUICK)
        self.all.append((lead, bell))
        return lead, bell


def test_the_first_has_it_and_the_second_is_told_who_does(leads: Leads) -> None:
    """Whoever comes second waits only until it has seen the other one live."""
    first, _ = leads.another()
    first.take()
    first.must_hold()
    assert first.holds()
    second, _ = leads.another()
    with pytest.raises(StateError, match=r"^the lease of fleet shop is not ours: .*_[0-9a-f]{8} holds it$"):
        second.take()
    with pytest.raises(StateError):
        second.must_hold()
    assert not second.holds()


def test_a_holder_that_ends_keeps_nobody_waiting(leads: Leads) -> None:
    """A lease that was given back is taken at once, in another term."""
    first, _ = leads.another()
    first.take()
    first.must_hold()
    first.release()
    assert not first.holds()
    second, _ = leads.another()
    second.take()
    second.must_hold()
    stored = leads.shelf.read()
    assert stored is not None
    assert 1 == stored.transitions


def test_whoever_cannot_renew_stops_by_itself_and_goes_on_when_it_can(leads: Leads) -> None:
    """Cut off from the store, it may act no more before anybody else could, and has it again where nobody took it."""
    lead, bell = leads.another()
    lead.take()
    lead.must_hold()
    leads.shelf.is_away = True
    assert bell.wait(60)
    assert not lead.holds()
    with pytest.raises(StateError, match=r"is not ours: shelf: nobody answers$"):
        lead.must_hold()
    leads.shelf.is_away = False
    assert bell.wait(60)
    lead.must_hold()
    assert lead.holds()


def test_what_was_begun_in_one_term_is_not_carried_out_in_another(leads: Leads) -> None:
    """It lost the lease and has it again: what it decided before may have been overtaken meanwhile."""
    lead, bell = leads.another()
    lead.take()
    lead.must_hold()
    leads.shelf.usurp()
    until(bell, lambda: not lead.holds())  # it sees that it lost it
    until(bell, lambda: "another" != leads.holder())  # the other one says no more: it has it again
    assert not lead.holds()
    until(bell, lambda: _may_act(lead))
    assert lead.holds()


def _may_act(lead: LeaseLead) -> bool:
    try:
        lead.must_hold()
    except StateError:
        return False
    return True


def test_no_two_processes_ever_have_one_name() -> None:
    """A name is for one process: a process id alone comes again."""
    assert new_holder() != new_holder()


# ---- a session ----


@pytest.fixture
def shelf() -> Shelf:
    """Where the simulated clusters keep their lease."""
    return Shelf()


@pytest.fixture
def host(shelf: Shelf) -> PluginHost:
    """Every installed plugin, and simulated clusters that keep leases."""
    found = PluginHost.installed()
    keeper = BackendPlugin(
        name="keeper",
        factory="roadstead_backends.simulated.connect:connect",
        options=SimulatedOptions,
        summary="simulated, with leases",
        leases=lambda _context, _fleet: shelf,
    )
    plugin = SimpleNamespace(roadstead_backends=hookimpl(specname="roadstead_backends")(lambda: [keeper]))
    found.register(plugin, Provenance(distribution="acme", version="1.0", module="acme.plugin"))
    return found


def led_by_lease() -> DaemonSpec:
    """Return how a daemon runs that needs a lease."""
    return DaemonSpec(turn=Duration(200), lease=LeaseSpec("here"))


def kept(declared: DaemonSpec) -> Fleet:
    """Return a fleet on a cluster that keeps leases."""
    whole = fleet(deployment(), daemon=declared)
    clusters = {name: attrs.evolve(spec, backend="keeper") for name, spec in whole.clusters.items()}
    return attrs.evolve(whole, clusters=clusters)


@pytest.mark.slow
def test_a_session_that_lost_its_lease_looks_on_and_writes_nothing(
    tmp_path: Path, host: PluginHost, shelf: Shelf
) -> None:
    """A lost replica is seen, and not replaced; with the lease back, it is."""
    bell = Bell()
    with Session.open(kept(led_by_lease()), host, tmp_path / "state", "tests", wake=bell.ring) as session:
        turn_until(session, bell, lambda: ready(session) == 2)
        theirs = shelf.usurp()
        while session.reconciler.turn(session.fleet).undone == "":
            bell.wait(0.1)
        simulated(session).lose(session.table.endpoints["minilm"][0].replica)
        calls = len(simulated(session).calls)

        undone = session.reconciler.turn(session.fleet).undone

        assert "the lease of fleet shop on cluster here is not ours: another holds it" == undone
        assert calls == len(simulated(session).calls)
        shelf.write(attrs.evolve(theirs, holder=""))
        while session.reconciler.turn(session.fleet).undone:
            bell.wait(0.1)
        turn_until(session, bell, lambda: ready(session) == 2)


def test_a_second_session_does_not_act(tmp_path: Path, host: PluginHost, shelf: Shelf) -> None:
    """On another machine, with a state of its own, it may look; its turn is refused before anything is done."""
    bell = Bell()
    shelf.write(Lease(holder="another", transitions=0, duration=Duration(15_000), renewed=0))
    with Session.open(kept(led_by_lease()), host, tmp_path / "state", "tests", wake=bell.ring) as session:
        assert session.reconciler.look(session.fleet).plan.steps
        assert "is not ours" in session.reconciler.turn(session.fleet).undone
        assert [] == list(simulated(session).calls)
