"""What Envoy took is observed: refusals change nothing, are told in its own words, and are offered again."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from roadstead.traffic import Endpoint, Passage
from roadstead_plugins.gateways.envoy.watches import LEFT_OUT
from tests.envoy.backend import Replica
from tests.envoy.conftest import PORT, Client, Load, Subject, destination, own_address, passage_of, route, table, to

Make = Callable[..., Replica]
Connect = Callable[..., Client]


@pytest.fixture
def squatter(subject: Subject) -> Iterator[socket.socket]:
    """A stranger who listens where a deployment is to have its address."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((subject.address, PORT + 1))
        listening.listen()
        yield listening


class TestAPortThatIsTaken:
    """One deployment's address is somebody else's."""

    @pytest.mark.usefixtures("squatter")
    def test_it_is_that_deployments_problem_and_names_who_holds_it(
        self, subject: Subject, replica: Make, client: Connect
    ) -> None:
        """The others serve; the view says for which one, by whom, and what to do."""
        fine, shut = replica(), replica()
        subject.gateway.route(
            table(
                route(destination(fine.endpoint), deployment="fine"),
                route(destination(shut.endpoint), deployment="shut", port=PORT + 1),
            )
        )
        view = subject.until(lambda view: "in use" in view.problem)
        said = view.routes["shut"].problem
        assert said.startswith(f"address {subject.address}:{PORT + 1} is in use by process ")
        assert said.endswith("stop it, or let it listen on another address")
        assert ("", False, f"shut: {said}") == (view.routes["fine"].problem, view.settled, view.problem)
        assert (200, fine.endpoint.host) == client(subject.address).rest("/who")

    def test_it_is_opened_by_itself_once_it_is_free(
        self, subject: Subject, squatter: socket.socket, replica: Make, client: Connect
    ) -> None:
        """Looking is enough: nobody has to offer the table again."""
        only = replica()
        subject.gateway.route(table(route(destination(only.endpoint), port=PORT + 1)))
        subject.until(lambda view: "in use" in view.problem)
        squatter.close()
        view = subject.until(lambda view: view.settled)
        assert ("", "") == (view.problem, view.routes["m"].problem)
        assert (200, only.endpoint.host) == client(subject.address, PORT + 1).rest("/who")

    @pytest.mark.usefixtures("squatter")
    def test_what_else_is_offered_meanwhile_is_in_force(self, subject: Subject, replica: Make, client: Connect) -> None:
        """A deployment that cannot be opened holds up neither new ones nor those that leave."""
        only = replica()
        shut = route(destination(only.endpoint), deployment="shut", port=PORT + 1)
        subject.gateway.route(table(shut, route(destination(only.endpoint), deployment="old")))
        subject.until(lambda view: "in use" in view.problem and not view.routes["old"].problem)
        subject.gateway.route(table(shut, route(destination(only.endpoint), deployment="new", port=PORT + 2)))
        subject.until(lambda view: passage_of(view, only.endpoint, "new").serving and not view.routes["new"].problem)
        assert (200, only.endpoint.host) == client(subject.address, PORT + 2).rest("/who")
        with pytest.raises(ConnectionRefusedError):
            client(subject.address).rest("/who")


class TestARefusedFile:
    """Envoy cannot make sense of something."""

    def test_it_changes_nothing_and_is_reported_in_envoys_words(
        self, subject: Subject, replica: Make, client: Connect
    ) -> None:
        """The table before stays in force under load, and the view says which file was refused and why."""
        only = replica()
        subject.serve(only.endpoint)
        nonsense = Endpoint(host="no-address", grpc=8500, rest=8501)
        with Load(subject.address) as load:
            load.more(50)
            subject.gateway.route(to(nonsense))
            view = subject.until(lambda view: bool(view.problem))
            load.more(50)
        assert ([], False) == (load.failed, view.settled)
        assert "envoy has not taken eds/m_grpc_" in view.problem
        assert "malformed IP address: no-address" in view.problem
        assert Passage(listed=True, serving=True, idle=False) == passage_of(view, only.endpoint)
        assert Passage(listed=True, serving=False, idle=False) == passage_of(view, nonsense)
        assert {(200, only.endpoint.host)} == {client(subject.address).rest("/who")}

    def test_a_better_table_mends_it(self, subject: Subject, replica: Make) -> None:
        """Nothing of a refusal stays: what was refused may even be listed no more without having been in force."""
        only = replica()
        nonsense = Endpoint(host="no-address", grpc=8500, rest=8501)
        subject.gateway.route(to(nonsense))
        subject.until(lambda view: bool(view.problem))
        view = subject.serve(only.endpoint)
        assert ("", [only.endpoint]) == (view.problem, list(view.routes["m"].passages))

    def test_a_file_that_somebody_broke_is_written_again(self, subject: Subject, replica: Make) -> None:
        """What is on disk is what was offered last, whoever meddled: the next object makes it so."""
        only = replica()
        subject.serve(only.endpoint)
        (broken,) = (subject.context.root / "config" / "eds").glob("m_rest_*")
        broken.write_text("{half a fi")
        subject.reopen()
        assert passage_of(subject.offer(to(only.endpoint)), only.endpoint).serving
        assert '"version_info"' in broken.read_text()


class TestWhoMayBeListed:
    """A table offered and not yet accepted counts; so does one that an earlier object offered."""

    def test_an_endpoint_is_listed_from_the_moment_it_is_offered(self, subject: Subject, replica: Make) -> None:
        """Before Envoy has taken a table, whoever it lists may get requests any moment."""
        first, second = replica(), replica()
        subject.serve(first.endpoint)
        subject.gateway.route(to(first.endpoint, second.endpoint))
        assert passage_of(subject.gateway.view(), second.endpoint).listed

    def test_an_endpoint_is_listed_until_envoy_shows_a_table_without_it(self, subject: Subject, replica: Make) -> None:
        """While the table that leaves it out is refused, it gets requests, and that is what is said."""
        old = replica()
        subject.serve(old.endpoint)
        nonsense = destination(Endpoint(host="no-address", grpc=8500, rest=8501))
        leaving = attrs.evolve(destination(old.endpoint), draining=True)
        subject.gateway.route(table(route(leaving, nonsense)))
        view = subject.until(lambda view: bool(view.problem))
        assert Passage(listed=True, serving=True, idle=False) == passage_of(view, old.endpoint)

    def test_the_next_object_knows_what_the_one_before_offered(self, subject: Subject, replica: Make) -> None:
        """A refused table of an earlier daemon lists its endpoints for the next one, too."""
        old = replica()
        nonsense = Endpoint(host="no-address", grpc=8500, rest=8501)
        subject.serve(old.endpoint)
        subject.gateway.route(to(nonsense))
        subject.reopen()
        view = subject.gateway.view()
        assert (True, True) == (passage_of(view, old.endpoint).listed, passage_of(view, nonsense).listed)

    def test_a_route_that_did_not_change_is_the_same_object(self, subject: Subject, replica: Make) -> None:
        """A change of one deployment makes nobody look at another again, and the load is no change."""
        one, two, three = replica(), replica(), replica()
        both = [
            route(destination(end.endpoint), deployment=name, port=port)
            for end, name, port in ((one, "one", PORT), (two, "two", PORT + 1))
        ]
        subject.gateway.route(table(*both))
        before = subject.until(
            lambda view: passage_of(view, one.endpoint, "one").serving and passage_of(view, two.endpoint, "two").serving
        )
        assert subject.gateway.view().routes is before.routes
        changed = route(destination(one.endpoint), destination(three.endpoint), deployment="one")
        after = subject.offer(table(changed, both[1]))
        assert after.routes["two"] is before.routes["two"]
        assert after.routes["one"] != before.routes["one"]


def test_a_deployment_whose_files_cannot_be_watched_is_left_out_until_they_can(tmp_path: Path) -> None:
    """Envoy would end itself, and with it all deployments, when the kernel lets it watch no more files."""
    unshare = shutil.which("unshare")
    apart = [unshare or "unshare", "--user", "--map-root-user"]
    if unshare is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("NO USER NAMESPACES HERE, so the kernel's limit on watched files is not tested")
    command = [*apart, sys.executable, str(Path(__file__).with_name("few_watches.py")), str(tmp_path), own_address()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert 0 == done.returncode, done.stderr
    narrow, wide = (json.loads(line) for line in done.stdout.splitlines())
    assert {"a": "", "b": "", "c": LEFT_OUT} == narrow
    assert {"a": "", "b": "", "c": ""} == wide
