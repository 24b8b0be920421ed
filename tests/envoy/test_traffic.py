"""Requests through a real Envoy: who gets them, and that none is lost in anything planned."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator

import grpc
import pytest

from roadstead.spi.gateway import RouteTable
from roadstead.traffic import Endpoint, Passage
from tests.envoy.backend import Replica, check_of
from tests.envoy.conftest import (
    PORT,
    Apart,
    Client,
    Load,
    Subject,
    destination,
    passage_of,
    route,
    serving,
    table,
    to,
    until,
)

Make = Callable[..., Replica]
Connect = Callable[..., Client]


class TestWhoGetsRequests:
    """Balancing."""

    def test_the_calls_of_one_channel_are_shared_among_the_replicas(
        self, subject: Subject, replica: Make, client: Connect
    ) -> None:
        """A gRPC client with a single connection reaches every replica, call by call."""
        replicas = [replica() for _ in range(3)]
        subject.serve(*(one.endpoint for one in replicas))
        one = client(subject.address)
        answered = Counter(one.who(b"", timeout=30.0).decode() for _ in range(300))
        assert {one.endpoint.host for one in replicas} == answered.keys()
        assert all(50 < count < 150 for count in answered.values()), answered

    def test_a_busy_replica_gets_no_more_while_another_is_free(
        self, subject: Subject, replica: Make, client: Connect
    ) -> None:
        """Whoever has the fewest requests in flight is next: a replica that hangs is left alone by all the others."""
        hanging, free = replica(), replica()
        subject.serve(hanging.endpoint, free.endpoint)
        one = client(subject.address)
        waiting = one.hold.future(b"", timeout=120.0)
        until(lambda: bool(hanging.holding or free.holding))
        if free.holding:
            hanging, free = free, hanging
        assert {free.endpoint.host} == {one.who(b"", timeout=30.0).decode() for _ in range(50)}
        hanging.may_answer.set()
        assert hanging.endpoint.host.encode() == waiting.result()

    def test_grpc_and_rest_are_served_on_one_port(self, subject: Subject, replica: Make, client: Connect) -> None:
        """Both protocols reach the replica by the deployment's one address, trailers included."""
        only = replica()
        subject.serve(only.endpoint)
        one = client(subject.address)
        answer, call = one.who.with_call(b"", timeout=30.0)
        assert only.endpoint.host.encode() == answer
        assert (("replica", only.endpoint.host),) == tuple(call.trailing_metadata())
        assert (200, only.endpoint.host) == one.rest("/who")

    def test_a_replica_gets_only_what_it_speaks(self, subject: Subject, replica: Make, client: Connect) -> None:
        """One without REST gets gRPC only, and one without gRPC gets REST only."""
        calls, rest = replica(rest_port=None), replica(grpc_port=None)
        subject.serve(calls.endpoint, rest.endpoint)
        one = client(subject.address)
        assert {calls.endpoint.host} == {one.who(b"", timeout=30.0).decode() for _ in range(20)}
        assert {(200, rest.endpoint.host)} == {one.rest("/who") for _ in range(20)}

    def test_calls_that_stream_both_ways_get_through(self, subject: Subject, replica: Make, client: Connect) -> None:
        """Nothing in the gateway waits for the end of a request before it goes on."""
        subject.serve(replica().endpoint)
        asked: list[bytes] = [b"first"]

        def questions() -> Iterator[bytes]:
            yield b"first"
            until(lambda: len(asked) > 1)
            yield b"second"

        answers = client(subject.address).echo(questions(), timeout=60.0)
        assert b"first" == next(answers)
        asked.append(b"second")
        assert [b"second"] == list(answers)

    def test_without_a_replica_the_answer_is_unavailable(self, subject: Subject, client: Connect) -> None:
        """A deployment whose replicas are all still starting has its address already, and says so at once."""
        subject.offer(to())
        one = client(subject.address)
        with pytest.raises(grpc.RpcError) as raised:
            one.who(b"", timeout=30.0)
        assert grpc.StatusCode.UNAVAILABLE == raised.value.code()
        assert (503, "no healthy upstream") == one.rest("/who")

    def test_another_model_at_a_reused_address_gets_nothing(
        self, subject: Subject, replica: Make, client: Connect
    ) -> None:
        """The gateway asks by itself which model answers; a table that is behind sends nobody to a stranger."""
        stranger = replica(model="another")
        subject.gateway.route(to(stranger.endpoint))
        view = subject.until(lambda view: view.settled)
        assert Passage(listed=True, serving=False, idle=False) == passage_of(view, stranger.endpoint)
        assert (503, "no healthy upstream") == client(subject.address).rest("/who")


class TestPlannedChange:
    """What we do ourselves costs no request."""

    def test_no_request_fails_while_all_replicas_are_exchanged(self, subject: Subject, replica: Make) -> None:
        """Under load the replicas are exchanged twice: new ones listed, old ones drained, seen idle, and closed."""
        before = [replica(), replica()]
        subject.serve(*(one.endpoint for one in before))
        with Load(subject.address) as load:
            for _ in range(2):
                load.more()
                after = [replica(), replica()]
                old, new = [one.endpoint for one in before], [one.endpoint for one in after]
                subject.serve(*old, *new)
                subject.gateway.route(to(*old, *new, draining=tuple(old)))
                subject.until(lambda view, old=old: all(passage_of(view, one).idle for one in old))  # type: ignore[misc]
                subject.offer(to(*new))
                for one in before:
                    one.close()
                before = after
            load.more()
        assert [] == load.failed
        assert {one.endpoint.host for one in before} <= load.answered.keys()

    def test_a_draining_replica_gets_nothing_new_and_finishes_what_it_has(
        self, subject: Subject, replica: Make, client: Connect
    ) -> None:
        """The request in flight is seen until it is answered; then, and not before, the replica is idle."""
        leaving, staying = replica(), replica()
        subject.serve(leaving.endpoint)
        one = client(subject.address)
        call = one.hold.future(b"", timeout=120.0)
        until(lambda: bool(leaving.holding))
        subject.serve(leaving.endpoint, staying.endpoint)
        subject.gateway.route(to(leaving.endpoint, staying.endpoint, draining=(leaving.endpoint,)))
        view = subject.until(lambda view: not passage_of(view, leaving.endpoint).listed)
        assert {staying.endpoint.host} == {one.who(b"", timeout=30.0).decode() for _ in range(30)}
        view = subject.gateway.view()
        assert Passage(listed=False, serving=False, idle=False) == passage_of(view, leaving.endpoint)
        assert 1 == view.loads["m"].endpoints[leaving.endpoint].in_flight
        leaving.may_answer.set()
        assert leaving.endpoint.host.encode() == call.result()
        view = subject.until(lambda view: passage_of(view, leaving.endpoint).idle)
        assert Passage(listed=False, serving=False, idle=True) == passage_of(view, leaving.endpoint)

    def test_requests_move_to_replicas_that_are_asked_another_check_without_a_failure(
        self, subject: Subject, replica: Make
    ) -> None:
        """Another check is another cluster of Envoy: that is ready before requests go there, and the old one stays."""
        old, new = replica(), replica(model="other")
        subject.serve(old.endpoint)
        with Load(subject.address) as load:
            load.more()
            both = route(destination(old.endpoint), destination(new.endpoint, check=check_of("other")))
            subject.gateway.route(table(both))
            subject.until(lambda view: view.settled and passage_of(view, new.endpoint).serving)
            until(lambda: load.answered[new.endpoint.host] > 20)
            moved = route(destination(old.endpoint, draining=True), destination(new.endpoint, check=check_of("other")))
            subject.gateway.route(table(moved))
            subject.until(lambda view: passage_of(view, old.endpoint).idle)
            subject.offer(table(route(destination(new.endpoint, check=check_of("other")))))
            old.close()
            load.more()
        assert [] == load.failed

    def test_the_address_of_a_deployment_can_change_its_port_under_load(self, subject: Subject, replica: Make) -> None:
        """New connections come to the new port; those to the old one are served on."""
        only = replica()
        subject.serve(only.endpoint)
        with Load(subject.address) as load:
            load.more(50)
            subject.offer(table(route(destination(only.endpoint), port=PORT + 1)))
            load.more(50)
            with Load(subject.address, port=PORT + 1) as other:
                other.more(50)
        assert ([], []) == (load.failed, other.failed)

    def test_two_deployments_can_exchange_their_ports(self, subject: Subject, replica: Make, client: Connect) -> None:
        """Each is found at the other's port once the table is in force."""
        one, two = replica(), replica()
        for first, second in ((PORT, PORT + 1), (PORT + 1, PORT)):
            subject.offer(
                table(
                    route(destination(one.endpoint), deployment="one", port=first),
                    route(destination(two.endpoint), deployment="two", port=second),
                )
            )
            assert (200, one.endpoint.host) == client(subject.address, first).rest("/who")
            assert (200, two.endpoint.host) == client(subject.address, second).rest("/who")

    def test_a_deployment_that_leaves_the_table_stays_visible_until_its_last_answer(
        self, subject: Subject, replica: Make, client: Connect
    ) -> None:
        """Its address is closed at once; a request in flight goes on, and the route is shown until it has ended."""
        only = replica()
        subject.serve(only.endpoint)
        call = client(subject.address).hold.future(b"", timeout=120.0)
        until(lambda: bool(only.holding))
        subject.gateway.route(RouteTable({}))
        view = subject.until(lambda view: not passage_of(view, only.endpoint).listed)
        assert (PORT, Passage(listed=False, serving=False, idle=False)) == (
            view.routes["m"].port,
            passage_of(view, only.endpoint),
        )
        with pytest.raises(ConnectionRefusedError):
            until(lambda: client(subject.address).rest("/who")[0] == 0)
        only.may_answer.set()
        assert only.endpoint.host.encode() == call.result()
        assert {} == subject.until(lambda view: view.settled and not view.routes).routes


class TestUnplannedDeath:
    """What happens to us costs only what was in flight."""

    def test_only_what_is_in_flight_fails_when_a_replica_is_killed(
        self, subject: Subject, apart: Callable[[], Apart]
    ) -> None:
        """Nobody tells the gateway; it tries others at once, and sends nothing more to the dead one."""
        replicas = [apart(), apart()]
        serving(replicas)
        subject.serve(*(one.endpoint for one in replicas))
        with Load(subject.address, clients=8) as load:
            load.more(200)
            replicas[0].process.send_signal(signal.SIGKILL)
            load.more(1000)
        assert len(load.failed) <= 8, load.failed
        view = subject.until(lambda view: not passage_of(view, replicas[0].endpoint).serving)
        assert passage_of(view, replicas[0].endpoint).listed
        assert passage_of(view, replicas[1].endpoint).serving

    def test_a_replica_that_hangs_is_taken_out_and_comes_back(
        self, subject: Subject, apart: Callable[[], Apart]
    ) -> None:
        """It still takes connections; the check sees that it answers nothing, and when it does again."""
        replicas = [apart(), apart()]
        serving(replicas)
        subject.serve(*(one.endpoint for one in replicas))
        hanging, other = replicas
        hanging.process.send_signal(signal.SIGSTOP)
        try:
            until(lambda: _healthy(subject) == {other.endpoint})  # for both protocols, which are checked apart
            assert not passage_of(subject.gateway.view(), hanging.endpoint).serving
            with Load(subject.address) as load:
                load.more()
        finally:
            hanging.process.send_signal(signal.SIGCONT)
        assert ([], {other.endpoint.host}) == (load.failed, set(load.answered))
        subject.until(lambda view: passage_of(view, hanging.endpoint).serving)


def _healthy(subject: Subject) -> set[Endpoint]:
    """Return who is healthy in any cluster."""
    hosts = subject.gateway._observer.look().hosts
    return {host.endpoint for several in hosts.values() for host in several if host.healthy}
