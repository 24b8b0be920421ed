"""The plugin host: who is taken in, and what becomes of who is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution
from pathlib import Path
from types import SimpleNamespace

import pytest

from roadstead.memory import PlanMemory
from roadstead.plans import Plan, Table
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.host import PluginError, PluginHost, Provenance, resolve
from roadstead.spi.records import BackendPlugin, PolicyKind, PolicyPlugin, RuntimePlugin
from roadstead.world import Outcome

Chosen = Callable[..., list[Distribution]]
HERE = Provenance(distribution="here", version="0", module="tests")


def problems(host: PluginHost) -> list[tuple[str, str]]:
    """Return what the host says is wrong: the distribution and the text."""
    return [(problem.provenance.distribution, problem.error) for problem in host.problems]


def backends(host: PluginHost) -> list[str]:
    """Return the names of the usable backends."""
    return [one.record.name for one in host.all(BackendPlugin)]


def test_a_good_plugin_is_taken_in_with_its_provenance(installed: Chosen) -> None:
    """The record can be had by kind and name, and who brought it is known."""
    host = PluginHost.installed(installed("acme-good"))
    (one,) = host.all(BackendPlugin)
    assert ("nomad", "acme-good 1.2 (acme_good)") == (one.record.name, str(one.provenance))
    assert one.record == host.get(BackendPlugin, "nomad")
    assert () == host.problems


def test_a_plugin_that_brings_nothing_is_fine(installed: Chosen) -> None:
    """An empty answer is an answer."""
    host = PluginHost.installed(installed("acme-nothing"))
    assert ([], ()) == (backends(host), host.problems)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("acme-no-client", "cannot be imported: ModuleNotFoundError: No module named 'a_client_that_is_not_installed'"),
        ("acme-leaves", "cannot be imported: SystemExit: 3"),
        ("acme-misspelt", "unknown hook 'roadstead_backend' in plugin"),
        ("acme-arguments", "hookimpl definition: roadstead_planned(plan, colour)"),
        ("acme-wrong-type", "roadstead_runtimes returned BackendPlugin(name='pier'"),
        ("acme-half", "roadstead_backends returned 'not a record', which is no BackendPlugin"),
        ("acme-raises", "LookupError: no licence"),
        ("acme-bad-name", "'No Good' is no plugin name"),
    ],
)
def test_a_broken_plugin_is_reported_with_its_distribution_and_harms_nobody(
    installed: Chosen, name: str, says: str
) -> None:
    """What is wrong is said once, nothing of it can be used, and the good one beside it can."""
    host = PluginHost.installed(installed(name, "acme-good"))
    ((distribution, error),) = problems(host)
    assert name == distribution
    assert says in error
    assert ["nomad"] == backends(host)


@pytest.mark.parametrize("name", ["acme-misspelt", "acme-half"])
def test_nothing_of_a_plugin_that_is_broken_elsewhere_can_be_used(installed: Chosen, name: str) -> None:
    """A plugin is taken in whole or not at all: its good records would fail with the bad ones' excuse."""
    assert [] == backends(PluginHost.installed(installed(name)))


def test_naming_what_a_broken_plugin_may_bring_is_an_error_that_names_it(installed: Chosen) -> None:
    """Whoever asks for the missing name learns of the broken distribution and why it is broken."""
    host = PluginHost.installed(installed("acme-no-client", "acme-good"))
    with pytest.raises(PluginError, match="there is no backend 'harbour'") as refused:
        host.get(BackendPlugin, "harbour")
    assert "installed: nomad" in (refused.value.hint or "")
    assert "acme-no-client 1.2 (acme_no_client): cannot be imported" in (refused.value.hint or "")


def test_naming_what_a_known_broken_plugin_brings_is_an_error_that_names_it(installed: Chosen) -> None:
    """Where the names that are lost are known, their absence is put down to it."""
    host = PluginHost.installed(installed("acme-misspelt"))
    with pytest.raises(PluginError) as refused:
        host.get(BackendPlugin, "harbour")
    assert "acme-misspelt 1.2" in (refused.value.hint or "")


def test_not_naming_a_broken_plugin_costs_nothing(installed: Chosen) -> None:
    """A broken plugin that the fleet file does not use stops nobody."""
    host = PluginHost.installed(installed(*sorted(_BROKEN), "acme-good"))
    assert "nomad" == host.get(BackendPlugin, "nomad").name
    assert _BROKEN == {distribution for distribution, _ in problems(host)}


_BROKEN = {
    "acme-no-client",
    "acme-leaves",
    "acme-misspelt",
    "acme-arguments",
    "acme-wrong-type",
    "acme-half",
    "acme-raises",
    "acme-bad-name",
}


def test_a_name_brought_twice_is_refused_with_both_distributions(installed: Chosen) -> None:
    """Which of the two would win is never a matter of order: neither can be used, and both are named."""
    host = PluginHost.installed(installed("acme-good", "acme-again"))
    with pytest.raises(PluginError, match=r"provided twice: by acme-again 1\.2 .* and acme-good 1\.2"):
        host.get(BackendPlugin, "nomad")
    ((distribution, error),) = problems(host)
    assert "acme-again" == distribution
    assert "backend 'nomad' is also provided by acme-good 1.2" in error
    assert [] == backends(host)


def test_the_order_of_distributions_does_not_matter(installed: Chosen) -> None:
    """The same environment gives the same host, however its folders are read."""
    found = installed("acme-good", "acme-again", "acme-no-client", "acme-raises", "acme-misspelt")
    assert PluginHost.installed(found).problems == PluginHost.installed(reversed(found)).problems


def test_a_process_finds_what_is_on_its_path(site: Path) -> None:
    """In an environment with every broken plugin installed, the built-in ones are all there."""
    script = (
        "import json; from roadstead.spi.host import PluginHost; from roadstead.spi.records import BackendPlugin\n"
        "host = PluginHost.installed()\n"
        "print(json.dumps([[p.provenance.distribution for p in host.problems],"
        " [o.record.name for o in host.all(BackendPlugin)]]))"
    )
    path = os.pathsep.join([str(site), *[entry for entry in sys.path if entry]])
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    broken, usable = json.loads(done.stdout)
    assert _BROKEN <= set(broken)
    assert {"local", "simulated"} <= set(usable)


def test_every_built_in_plugin_is_whole() -> None:
    """What this distribution brings has no problem of its own."""
    host = PluginHost.installed()
    assert [] == [problem for problem in host.problems if problem.provenance.distribution == "roadstead"]
    assert {"local", "simulated"} <= set(backends(host))
    assert {"tf_serving", "simulated"} <= {one.record.name for one in host.all(RuntimePlugin)}
    assert {"spread", "binpack"} <= {
        one.record.name for one in host.all(PolicyPlugin) if one.record.decides is PolicyKind.PLACEMENT
    }
    assert {"spread", "binpack"} <= set(host.placement_policies())
    assert {"concurrency"} <= set(host.scaling_policies())
    assert host.placement_policies().keys().isdisjoint(host.scaling_policies())


class TestResolving:
    """What a factory given as text names."""

    def test_it_is_imported_when_it_is_used(self) -> None:
        """A name costs no import until then."""
        assert PlanMemory is resolve("roadstead.memory:PlanMemory", "x")

    def test_what_is_given_as_itself_is_returned(self) -> None:
        """A callable needs no looking up."""
        assert PlanMemory is resolve(PlanMemory, "x")

    @pytest.mark.parametrize(
        ("factory", "says"),
        [
            ("no_such_module_at_all:connect", "No module named 'no_such_module_at_all'"),
            ("roadstead.memory:no_such_thing", "no_such_thing"),
            ("roadstead.memory:__all__", "is not callable"),
        ],
    )
    def test_what_cannot_be_had_is_an_error_with_its_name(self, factory: str, says: str) -> None:
        """The error says which plugin wanted it."""
        with pytest.raises(PluginError, match=says) as refused:
            resolve(factory, "backend 'nomad'")
        assert "backend 'nomad'" in str(refused.value)


class TestObservers:
    """Plugins that watch."""

    PLAN = Plan(steps=(), held=(), table=Table(), memory=PlanMemory(), wanted={}, floor={})

    def test_observers_see_plans_and_outcomes(self) -> None:
        """Each gets the values as they are, with the number of the turn."""
        seen: list[object] = []

        class Watcher:
            @hookimpl
            def roadstead_planned(self, plan: Plan, turn: int) -> None:
                seen.append((plan, turn))

            @hookimpl
            def roadstead_applied(self, outcomes: tuple[Outcome, ...], turn: int) -> None:
                seen.append((outcomes, turn))

        host = PluginHost()
        host.register(Watcher(), HERE)
        host.planned(self.PLAN, 3)
        host.applied((), 3)
        assert [(self.PLAN, 3), ((), 3)] == seen

    def test_registration_does_not_depend_on_when_it_happens(self) -> None:
        """A plugin registered after the host asked is asked as well."""
        record = BackendPlugin(name="late", factory="x:y", summary="")

        def roadstead_backends() -> Iterator[BackendPlugin]:
            yield record

        host = PluginHost()
        host.register(SimpleNamespace(roadstead_backends=hookimpl(roadstead_backends)), HERE)
        assert record is host.get(BackendPlugin, "late")
