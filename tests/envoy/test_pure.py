"""The decisions behind the files and the view, without an Envoy."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from roadstead.spi.gateway import Destination, Route, RouteTable
from roadstead.spi.runtime import Check
from roadstead.traffic import Endpoint
from roadstead.wire import from_wire, to_wire
from roadstead_plugins.gateways.envoy.acceptance import Acceptance
from roadstead_plugins.gateways.envoy.histogram import Bucket, Histogram
from roadstead_plugins.gateways.envoy.layout import Protocol, clusters_of, deployment_of, port_of, protocol_of, shares
from roadstead_plugins.gateways.envoy.loads import Counts, Meter, Reading, RouteReading
from roadstead_plugins.gateways.envoy.offer import NO_OFFER, Offer, next_offer, without
from roadstead_plugins.gateways.envoy.readings import Host
from roadstead_plugins.gateways.envoy.settings import Settings
from roadstead_plugins.gateways.envoy.stages import Progress, drained, files_wanted, is_taken, may_be_written
from roadstead_plugins.gateways.envoy.translate import (
    File,
    clusters_named,
    eds_name,
    endpoints_file,
    listed_in,
    rds_name,
    subscription_of,
    version_in,
)
from roadstead_plugins.gateways.envoy.upstream import endpoint_from_hostname
from roadstead_plugins.gateways.envoy.view import Sight, passages
from roadstead_plugins.gateways.envoy.watches import left_out, watches

SETTINGS = Settings(
    name="edge",
    fleet="tests",
    address="127.0.0.1",
    folder="/config",
    program="/envoy",
    workers=1,
    tls=None,
    max_connections=10,
    max_request=1000,
    access_log=False,
)
CHECKS = [None, Check("/v1/models/a", "AVAILABLE"), Check("/v1/models/b", "AVAILABLE")]

hosts = st.sampled_from([f"127.0.0.{number}" for number in range(1, 6)])
spoken = st.sampled_from([(8500, 8501), (8500, None), (None, 8501)])
endpoints = st.builds(lambda host, ports: Endpoint(host=host, grpc=ports[0], rest=ports[1]), hosts, spoken)
destinations = st.builds(Destination, endpoint=endpoints, draining=st.booleans(), check=st.sampled_from(CHECKS))


def _tables(names: tuple[str, ...] = ("a", "b")) -> st.SearchStrategy[RouteTable]:
    several = st.lists(destinations, max_size=4, unique_by=lambda one: one.endpoint.host).map(tuple)
    route = st.tuples(st.sampled_from([18000, 18001]), several)
    chosen = st.dictionaries(st.sampled_from(names), route)
    return chosen.map(
        lambda found: RouteTable(
            {name: Route(deployment=name, port=port, destinations=to) for name, (port, to) in found.items()}
        )
    )


tables = _tables()


def _table(*destinations: Destination) -> RouteTable:
    return RouteTable({"a": Route(deployment="a", port=18000, destinations=destinations)})


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # repeatable on purpose


_FIRST, _SECOND = (Endpoint(host=host, grpc=None, rest=8501) for host in ("127.0.0.1", "127.0.0.2"))
MOVED_ONTO_ONE_THAT_WAS_DRAINING = [
    RouteTable({}),
    _table(Destination(endpoint=_FIRST, draining=True), Destination(endpoint=_SECOND, check=CHECKS[1])),
    _table(Destination(endpoint=_FIRST)),
]
"""From a cluster to another that Envoy has already, with nobody in it but one that may get nothing new."""


class TestLayout:
    """Clusters."""

    @given(tables)
    def test_every_replica_is_in_one_cluster_for_each_protocol_that_it_speaks(self, table: RouteTable) -> None:
        """Nobody is left out, and nobody gets twice its part."""
        for route in table.routes.values():
            found = [
                (destination.endpoint, cluster.protocol)
                for cluster in clusters_of(route)
                for destination in cluster.destinations
            ]
            spoken = [
                (one.endpoint, protocol)
                for one in route.destinations
                for protocol in Protocol
                if port_of(one.endpoint, protocol) is not None
            ]
            assert sorted(map(str, spoken)) == sorted(map(str, found))

    @given(tables)
    def test_a_cluster_has_one_check_and_says_whose_it_is(self, table: RouteTable) -> None:
        """Envoy asks all hosts of a cluster the same question."""
        for route in table.routes.values():
            clusters = clusters_of(route)
            assert len(clusters) == len({cluster.name for cluster in clusters})
            for cluster in clusters:
                assert (route.deployment, cluster.protocol) == (deployment_of(cluster.name), protocol_of(cluster.name))
                asked = {one.check if one.endpoint.rest is not None else None for one in cluster.destinations}
                assert asked <= {cluster.check}

    @given(tables)
    def test_requests_are_shared_by_the_number_of_replicas_that_may_get_them(self, table: RouteTable) -> None:
        """A cluster's weight is its listed replicas; where nobody is listed one is named, to say so."""
        for route in table.routes.values():
            clusters = {cluster.name: cluster for cluster in clusters_of(route)}
            for protocol in Protocol:
                named = shares(clusters.values(), protocol)
                assert named
                assert all(weight > 0 and clusters[name].protocol is protocol for name, weight in named)
                listed = sum(cluster.listed for cluster in clusters.values() if cluster.protocol is protocol)
                if listed:
                    assert {name: clusters[name].listed for name, _ in named} == dict(named)
                    assert listed == sum(weight for _, weight in named)


class TestFiles:
    """Translation."""

    @given(tables)
    def test_the_same_table_gives_the_same_files_in_any_order(self, table: RouteTable) -> None:
        """What is in force is recognized by another daemon, another day."""
        names = list(table.routes)
        names.reverse()
        shuffled = RouteTable({name: table.routes[name] for name in names})
        assert files_wanted(Offer(table.routes), SETTINGS) == files_wanted(Offer(shuffled.routes), SETTINGS)

    @given(tables)
    def test_a_file_carries_its_version_and_the_version_its_content(self, table: RouteTable) -> None:
        """Envoy shows a version back only with the resources that it stands for."""
        seen: dict[str, str] = {}
        for file in files_wanted(Offer(table.routes), SETTINGS):
            resources = json.dumps(json.loads(file.text)["resources"], sort_keys=True)
            assert version_in(file.text) == file.version
            assert resources == seen.setdefault(file.version, resources)

    @given(tables)
    def test_who_is_listed_can_be_read_back(self, table: RouteTable) -> None:
        """The next daemon knows from the files alone who may get requests."""
        for route in table.routes.values():
            for cluster in clusters_of(route):
                expected = {one.endpoint for one in cluster.destinations if not one.draining}
                assert expected == listed_in(endpoints_file(cluster))

    @given(endpoints)
    def test_a_hosts_name_says_all_of_its_endpoint(self, endpoint: Endpoint) -> None:
        """Envoy's own word is enough to know who is there."""
        cluster = next(
            one
            for one in clusters_of(Route(deployment="a", port=1, destinations=(Destination(endpoint=endpoint),)))
            if one.destinations
        )
        (host,) = json.loads(endpoints_file(cluster).text)["resources"][0]["endpoints"][0]["lb_endpoints"]
        assert endpoint == endpoint_from_hostname(host["endpoint"]["hostname"])

    @given(tables)
    def test_what_a_file_names_stands_before_it(self, table: RouteTable) -> None:
        """Envoy never finds a name without its file, whenever it reads."""
        there: set[str] = set()
        for file in files_wanted(Offer(table.routes), SETTINGS):
            named = {part for part in file.text.split('"') if part.startswith("/config/")}
            assert named <= {f"/config/{name}" for name in there}
            there.add(file.name)

    @given(tables, tables)
    def test_an_offer_survives_the_disk(self, first: RouteTable, second: RouteTable) -> None:
        """What was offered is the same after a restart."""
        offer = next_offer(next_offer(NO_OFFER, first), second)
        assert offer == from_wire(json.loads(json.dumps(to_wire(offer))), Offer)


class _Envoy:
    """Envoy as far as files matter: it takes each at some time after it was written, in any order."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.disk: dict[str, File] = {}
        self.force: dict[str, File] = {}

    def write(self, offer: Offer, progress: Progress) -> None:
        """Write what may be written."""
        files = files_wanted(offer, SETTINGS)
        for file in [*may_be_written(offer, files, self.disk, progress)]:
            self.disk[file.name] = file
        wanted = {file.name for file in files}
        for name in [name for name in self.disk if name not in wanted]:
            del self.disk[name]

    def take_some(self) -> None:
        """Take some of the files, but a cluster's endpoints only with the cluster."""
        for name, file in self.disk.items():
            if self.chance.random() < 0.5:
                self.force[name] = file

    def take_all(self) -> None:
        """Take every file."""
        self.force = dict(self.disk)

    def progress(self) -> Progress:
        """Return how far it is."""
        versions = {name: file.version for name, file in self.force.items()}
        clusters = {one["name"] for one in self._resources("cds.json")}
        ready = {name for name in clusters if eds_name(name) in self.force}
        return Progress(in_force=versions, quiet=versions, ready=ready)

    def serves(self, deployment: str, protocol: Protocol) -> bool:
        """Tell whether every cluster that requests may be sent to has somebody who gets them."""
        routes = self.force.get(rds_name(deployment))
        ready = set(self.progress().ready)
        named = [name for name in clusters_named(routes) if protocol_of(name) is protocol] if routes else []
        return bool(named) and all(name in ready and listed_in(self.force[eds_name(name)]) for name in named)

    def _resources(self, name: str) -> list[Mapping[str, str]]:
        file = self.force.get(name)
        return list(json.loads(file.text)["resources"]) if file is not None else []


def _listed(table: RouteTable, deployment: str, protocol: Protocol) -> bool:
    route = table.routes.get(deployment)
    return route is not None and any(
        not one.draining and port_of(one.endpoint, protocol) is not None for one in route.destinations
    )


class TestStages:
    """The order of files."""

    @example(offered=MOVED_ONTO_ONE_THAT_WAS_DRAINING, chance=_chance(0))
    @example(offered=MOVED_ONTO_ONE_THAT_WAS_DRAINING, chance=_chance(5))
    @given(st.lists(_tables(("a",)), min_size=2, max_size=4), st.randoms(use_true_random=False))
    def test_requests_that_have_somewhere_to_go_are_never_sent_nowhere(
        self, offered: list[RouteTable], chance: random.Random
    ) -> None:
        """Whatever Envoy takes first: between two tables that both list somebody, there is always somebody."""
        envoy, offer = _Envoy(chance), NO_OFFER
        before: RouteTable | None = None
        for table in offered:
            offer = next_offer(offer, table)
            progress = envoy.progress()
            for _ in range(5):
                if chance.random() < 0.5:  # what was written meanwhile is not in what was seen
                    progress = envoy.progress()
                offer = without(offer, drained(offer, envoy.disk, progress, busy=()))
                envoy.write(offer, progress)
                envoy.take_some()
                for protocol in Protocol:
                    if before is not None and _listed(before, "a", protocol) and _listed(table, "a", protocol):
                        assert envoy.serves("a", protocol)
            before = table
            offer = _settle(envoy, offer)

    @given(st.lists(tables, min_size=1, max_size=4), st.randoms(use_true_random=False))
    def test_every_table_is_in_force_in_the_end_and_nothing_else_is_left(
        self, offered: list[RouteTable], chance: random.Random
    ) -> None:
        """Holding back ends: the files are those of the last table alone, and nothing more is written."""
        envoy, offer = _Envoy(chance), NO_OFFER
        for table in offered:
            offer = next_offer(offer, table)
            envoy.write(offer, envoy.progress())
            envoy.take_some()
        offer = _settle(envoy, offer)
        assert () == offer.former
        expected = files_wanted(Offer(offered[-1].routes), SETTINGS)
        assert {file.name: file for file in expected} == envoy.disk
        assert [] == list(may_be_written(offer, expected, envoy.disk, envoy.progress()))

    @given(tables, tables, st.randoms(use_true_random=False))
    def test_a_former_cluster_stays_while_anything_is_in_flight_to_it(
        self, first: RouteTable, second: RouteTable, chance: random.Random
    ) -> None:
        """What has left the table is visible until its last answer."""
        envoy, offer = _Envoy(chance), next_offer(NO_OFFER, first)
        envoy.write(offer, envoy.progress())
        envoy.take_all()
        offer = next_offer(offer, second)
        busy = {one.cluster.name for one in offer.former}
        for _ in range(8):
            progress = envoy.progress()
            offer = without(offer, drained(offer, envoy.disk, progress, busy))
            envoy.write(offer, progress)
            envoy.take_all()
        assert busy == {one.cluster.name for one in offer.former}
        assert all(not listed_in(envoy.disk[eds_name(name)]) for name in busy)


def _settle(envoy: _Envoy, offer: Offer) -> Offer:
    for _ in range(5):
        envoy.take_all()
        progress = envoy.progress()
        offer = without(offer, drained(offer, envoy.disk, progress, busy=()))
        envoy.write(offer, progress)
    return offer


class TestPassages:
    """What is said of endpoints."""

    @given(tables, tables, st.randoms(use_true_random=False))
    def test_whoever_may_get_requests_is_listed_and_nobody_listed_is_idle(
        self, first: RouteTable, second: RouteTable, chance: random.Random
    ) -> None:
        """By what is in force, by what lies on disk for Envoy to take, or by what was offered."""
        envoy, offer = _Envoy(chance), next_offer(NO_OFFER, first)
        envoy.write(offer, envoy.progress())
        envoy.take_all()
        offer = next_offer(offer, second)
        envoy.write(offer, envoy.progress())
        envoy.take_some()
        progress = envoy.progress()
        shown = {
            name: tuple(
                Host(endpoint=one, draining=False, healthy=True, in_flight=0, requests=0, errors=0)
                for one in sorted(listed_in(envoy.force[eds_name(name)]), key=str)
            )
            for name in progress.ready
        }
        sight = Sight(offer=offer, files=envoy.disk, progress=progress, hosts=shown, routed=shown)
        found = passages(sight)
        for route in second.routes.values():
            assert all(found[route.deployment][one.endpoint].listed for one in route.destinations if not one.draining)
        for name, several in shown.items():
            assert all(found[deployment_of(name)][one.endpoint].listed for one in several)
        for several_found in found.values():
            assert not any(one.listed and one.idle for one in several_found.values())
            assert not any(one.serving and not one.listed for one in several_found.values())


class TestRoom:
    """The kernel lets so many files be watched."""

    @given(tables, tables, st.integers(0, 12))
    def test_who_is_watched_already_is_never_left_out_and_the_others_fit(
        self, before: RouteTable, table: RouteTable, room: int
    ) -> None:
        """Room is given to whole deployments, and all of it that is enough for one."""
        there = watches(Offer(before.routes), SETTINGS)
        offer = Offer(table.routes)
        out = left_out(offer, SETTINGS, there, room)
        fitting = Offer({name: route for name, route in table.routes.items() if name not in out})
        assert len(watches(fitting, SETTINGS) - there) <= room
        for name in out:
            one_more = Offer({**fitting.routes, name: table.routes[name]})
            assert len(watches(one_more, SETTINGS) - there) > room

    @given(tables)
    def test_what_is_watched_are_the_files_that_have_a_subscription(self, table: RouteTable) -> None:
        """The count that is compared with the kernel's limit is that of Envoy's subscriptions."""
        subscribed = {file.name for file in files_wanted(Offer(table.routes), SETTINGS) if subscription_of(file.name)}
        assert subscribed == watches(Offer(table.routes), SETTINGS)


class TestAcceptance:
    """What Envoy took, and when it is offered something once more."""

    FILE = File(name="lds.json", version="2", text="")

    def test_a_file_is_quiet_only_some_time_after_it_was_seen_in_force(self) -> None:
        """Workers follow the main thread a moment later."""
        acceptance, files = Acceptance(), {"lds.json": self.FILE}
        acceptance.look(files, {"listener_manager.lds": "2"}, 10.0)
        assert {"lds.json": "2"} == acceptance.in_force()
        assert {} == acceptance.quiet(10.1, after=0.2)
        assert {"lds.json": "2"} == acceptance.quiet(10.3, after=0.2)

    def test_a_file_that_was_replaced_is_not_settled_before_it_is_seen_again(self) -> None:
        """What was true of the version before says nothing of this one."""
        acceptance, files = Acceptance(), {"lds.json": self.FILE}
        acceptance.look(files, {"listener_manager.lds": "2"}, 10.0)
        files = {"lds.json": attrs.evolve(self.FILE, version="3")}
        assert not is_taken(files["lds.json"], acceptance.in_force())
        acceptance.look(files, {"listener_manager.lds": "2"}, 11.0)
        assert {} == acceptance.in_force()
        acceptance.look(files, {"listener_manager.lds": "3"}, 12.0)
        assert {} == acceptance.quiet(12.1, after=0.2)

    def test_what_is_not_taken_is_offered_again_ever_more_seldom(self) -> None:
        """The waits double up to a minute; there is no busy loop."""
        acceptance, files = Acceptance(), {"lds.json": self.FILE}
        tries = []
        for tenth in range(4000):
            acceptance.look(files, {}, tenth / 10)
            if list(acceptance.overdue(files, tenth / 10)):
                tries.append(tenth / 10)
        assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 124.0, 184.0, 244.0, 304.0, 364.0] == tries

    def test_what_is_not_taken_is_late_after_a_second(self) -> None:
        """Until then nothing is wrong: Envoy takes a moment."""
        acceptance, files = Acceptance(), {"lds.json": self.FILE}
        acceptance.look(files, {}, 5.0)
        assert ((), ("lds.json",)) == (acceptance.late(5.9), acceptance.late(6.0))


ONE = Endpoint(host="127.0.0.1", grpc=1, rest=2)
TWO = Endpoint(host="127.0.0.2", grpc=1, rest=2)


def _reading(at: float, counted: Mapping[Endpoint, Counts], *, refused: int = 0, of: object = 1) -> Reading:
    times = Histogram({Bucket(10, 1): sum(one.requests for one in counted.values())})
    return Reading(at=at, incarnation=of, routes={"m": RouteReading(endpoints=counted, refused=refused, times=times)})


class TestMeter:
    """Rates from counters."""

    def test_a_rate_is_what_was_counted_per_second_of_the_interval(self) -> None:
        """Requests that found nobody are part of the total, and errors there."""
        meter = Meter()
        assert meter.loads(_reading(0.0, {ONE: Counts(0, 10, 0)}))["m"].total.rate is None
        load = meter.loads(_reading(2.0, {ONE: Counts(3, 30, 4)}, refused=2))["m"]
        assert (3, 32, 6) == (load.total.in_flight, load.total.requests, load.total.errors)
        assert (11.0, 3.0) == (load.total.rate, load.total.error_rate)
        assert (10.0, 2.0) == (load.endpoints[ONE].rate, load.endpoints[ONE].error_rate)

    def test_readings_in_quick_succession_keep_the_rate_of_the_last_interval(self) -> None:
        """A rate over a few milliseconds would be noise."""
        meter = Meter()
        meter.loads(_reading(0.0, {ONE: Counts(0, 0, 0)}))
        meter.loads(_reading(1.0, {ONE: Counts(0, 100, 0)}))
        load = meter.loads(_reading(1.05, {ONE: Counts(1, 200, 0)}))["m"]
        assert (100.0, 200, 1) == (load.total.rate, load.total.requests, load.total.in_flight)

    def test_another_process_begins_anew(self) -> None:
        """Its counters have nothing to do with those before, even where they are larger."""
        meter = Meter()
        meter.loads(_reading(0.0, {ONE: Counts(0, 100, 0)}))
        load = meter.loads(_reading(5.0, {ONE: Counts(0, 200, 0)}, of=2))["m"]
        assert (None, 200) == (load.total.rate, load.total.requests)

    def test_an_endpoint_that_comes_back_is_counted_on(self) -> None:
        """Its counters began anew; the route's total never goes back."""
        meter = Meter()
        meter.loads(_reading(0.0, {ONE: Counts(0, 100, 1), TWO: Counts(0, 5, 0)}))
        meter.loads(_reading(1.0, {TWO: Counts(0, 5, 0)}))
        meter.loads(_reading(2.0, {ONE: Counts(0, 7, 0), TWO: Counts(0, 5, 0)}))
        load = meter.loads(_reading(3.0, {ONE: Counts(0, 3, 0), TWO: Counts(0, 5, 0)}))["m"]
        assert (115, 1) == (load.total.requests, load.total.errors)
        assert (3.0, 3.0) == (load.total.rate, load.endpoints[ONE].rate)

    @given(st.dictionaries(st.integers(0, 500), st.integers(1, 50), min_size=1))
    def test_percentiles_are_within_the_bucket_of_the_true_ones(self, values: dict[int, int]) -> None:
        """The error is at most the width of a bucket, which in Envoy is a tenth of its value or less."""
        histogram = Histogram({Bucket(lower, 1): count for lower, count in values.items()})
        latency = histogram.latency()
        assert latency is not None
        flat = sorted(lower for lower, count in values.items() for _ in range(count))
        for share, found in ((0.5, latency.p50), (0.9, latency.p90), (0.99, latency.p99)):
            true = flat[min(len(flat) - 1, max(0, -(-int(share * 100) * len(flat) // 100) - 1))]
            assert true <= found <= true + 1
