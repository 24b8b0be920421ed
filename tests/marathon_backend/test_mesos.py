"""What Mesos' operator API tells of agents: read from recorded shapes, and over real sockets."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import Forbidden, Rejected, Unreachable
from roadstead.units import Cpus, Memory
from roadstead.world import Usage
from roadstead_backends.marathon.emulator.testing import Emulated, Machine, Plan, emulated
from roadstead_backends.marathon.ground import Ground
from roadstead_backends.marathon.master import Master
from roadstead_backends.marathon.mesos import NOTHING, Agent, Amounts, agents_of, node_of
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.usage import Sample, UsageReader, between, sampled

MIB = 1024**2


def scalar(name: str, value: float, **more: Any) -> dict[str, Any]:
    """Return an amount as a master writes it."""
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, "role": "*", **more}


def said(*agents: dict[str, Any]) -> bytes:
    """Return the answer to ``GET_AGENTS`` with these agents in it."""
    return json.dumps({"type": "GET_AGENTS", "get_agents": {"agents": agents, "recovered_agents": []}}).encode()


def agent(number: int = 0, host: str = "10.0.0.1", **more: Any) -> dict[str, Any]:
    """Return one agent as a master of 1.11 shows it, with whatever else it has."""
    attributes = more.pop("attributes", [])
    domain = more.pop("domain", {})
    return {
        "agent_info": {
            "id": {"value": f"3e1c-S{number}"},
            "hostname": host,
            "port": 5051,
            "resources": [],
            "attributes": attributes,
            **domain,
        },
        "active": True,
        "version": "1.11.0",
        "pid": f"slave(1)@{host}:5051",
        "registered_time": {"nanoseconds": 1},
        "total_resources": [scalar("cpus", 8.0), scalar("mem", 16384.0), scalar("disk", 1000.0)],
        "allocated_resources": [scalar("cpus", 0.5), scalar("mem", 512.0)],
        "offered_resources": [],
        "capabilities": [{"type": "MULTI_ROLE"}],
        **more,
    }


def only(body: bytes, role: str = "*") -> Agent:
    """Return the one agent of an answer."""
    (found,) = agents_of(body, role)
    return found


# ---- pure ----


def test_amounts_are_read_exactly() -> None:
    """CPUs are milli-cores, and what Mesos calls MB is MiB."""
    found = only(said(agent()))
    assert Amounts(cpu=8000, memory=16384 * MIB, disk=1000 * MIB) == found.total
    assert Amounts(cpu=500, memory=512 * MIB) == found.allocated
    assert 7500 == found.free.cpu


@pytest.mark.parametrize(
    ("role", "cpu"), [("*", 4000), ("models", 6000), ("models/prod", 6000), ("modelstore", 4000), ("batch", 7000)]
)
def test_what_is_reserved_for_others_is_not_there_for_us(role: str, cpu: int) -> None:
    """A reservation counts for its role and for the roles below that one; what nobody reserved counts for all."""
    resources = [
        scalar("cpus", 4.0),
        scalar("cpus", 2.0, role="models", reservations=[{"role": "models", "type": "STATIC"}]),
        scalar("cpus", 3.0, reservations=[{"role": "batch", "type": "DYNAMIC"}]),
    ]
    assert cpu == only(said(agent(total_resources=resources)), role).total.cpu


def test_volumes_and_what_may_be_taken_back_are_not_counted() -> None:
    """A persistent volume, a disk of its own and what is revocable cannot be given to any task."""
    resources = [
        scalar("disk", 100.0),
        scalar("disk", 7.0, disk={"persistence": {"id": "x"}}),
        scalar("disk", 9.0, disk={"source": {"type": "MOUNT"}}),
        scalar("cpus", 3.0, revocable={}),
    ]
    assert Amounts(disk=100 * MIB) == only(said(agent(total_resources=resources))).total


def test_attributes_are_what_constraints_compare() -> None:
    """Every kind of value is text as Marathon has it, and the place comes from the fault domain alone."""
    attributes = [
        {"name": "rack", "type": "TEXT", "text": {"value": "r 1"}},
        {"name": "level", "type": "SCALAR", "scalar": {"value": 1.50049}},
        {"name": "whole", "type": "SCALAR", "scalar": {"value": 20.0}},
        {"name": "slots", "type": "RANGES", "ranges": {"range": [{"begin": 7, "end": 9}, {"begin": 1, "end": 2}]}},
        {"name": "tags", "type": "SET", "set": {"item": ["ssd", "fast"]}},
        {"name": "zone", "type": "TEXT", "text": {"value": "not what @zone means"}},
    ]
    domain = {"domain": {"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "eu-1"}}}}
    expected = {
        "rack": "r 1",
        "level": "1.5",
        "whole": "20",
        "slots": "[1-2,7-9]",
        "tags": "{fast,ssd}",
        "hostname": "10.0.0.1",
        "zone": "eu-1",
        "region": "eu",
    }
    assert expected == only(said(agent(attributes=attributes, domain=domain))).attributes
    assert "zone" not in only(said(agent(attributes=attributes))).attributes


@pytest.mark.parametrize(
    ("more", "closed"),
    [
        ({}, ""),
        ({"active": False}, "not connected"),
        ({"active": False, "deactivated": True}, "deactivated"),
        ({"drain_info": {"state": "DRAINED"}, "deactivated": True}, "being drained"),
    ],
)
def test_an_agent_that_takes_nothing_new_says_why(more: dict[str, Any], closed: str) -> None:
    """Deactivated, drained or not connected, it is no node to put anything on."""
    found = only(said(agent(**more)))
    assert (closed, not closed) == (found.closed, node_of(found, NOTHING, None).schedulable)


def test_agents_that_share_a_host_are_told_apart() -> None:
    """Where a hostname is not unique, the end of the id follows it."""
    found = agents_of(said(agent(3), agent(4), agent(5, "10.0.0.2")), "*")
    assert ["10.0.0.1/S3", "10.0.0.1/S4", "10.0.0.2"] == [one.name for one in found]


def test_what_others_have_is_foreign_and_our_own_is_not() -> None:
    """Of what is given away, our own tasks' part is left out; GPUs of others are no devices."""
    resources = [scalar("cpus", 8.0), scalar("mem", 1024.0), scalar("gpus", 4.0)]
    taken = [scalar("cpus", 3.0), scalar("mem", 100.0), scalar("gpus", 3.0)]
    attributes = [{"name": "gpu", "type": "TEXT", "text": {"value": "L4"}}]
    found = only(said(agent(total_resources=resources, allocated_resources=taken, attributes=attributes)))
    node = node_of(found, Amounts(cpu=1000, memory=200 * MIB, gpus=2), "gpu")
    assert (Cpus(2000), Memory(0)) == (node.foreign_cpu, node.foreign_memory)
    assert [("gpu-0", "L4"), ("gpu-1", "L4"), ("gpu-2", "L4")] == [(one.id, one.model) for one in node.devices]


@given(st.binary() | st.text().map(str.encode) | st.just(b'{"get_agents": {"agents": [{"agent_info": {}}]}}'))
def test_nonsense_is_refused_with_a_reason(body: bytes) -> None:
    """Whatever a server says that is no master, there is one kind of error for it."""
    with pytest.raises(ValueError, match="no answer of a Mesos master"):
        agents_of(body, "*")


amounts = st.builds(Amounts, cpu=st.integers(0, 9), memory=st.integers(0, 9), gpus=st.integers(0, 4))


@given(total=amounts, allocated=amounts, ours=amounts)
def test_a_node_never_gives_away_what_it_has_not(total: Amounts, allocated: Amounts, ours: Amounts) -> None:
    """Lists that disagree make no negative amounts, and no more devices than there are."""
    node = node_of(Agent(id="a", name="n", hostname="n", total=total, allocated=allocated), ours, None)
    assert 0 <= node.foreign_cpu.milli <= allocated.cpu
    assert len(node.devices) <= total.gpus


# ---- use, pure ----


def test_statistics_are_read_as_an_agent_writes_them() -> None:
    """The shape of Mesos 1.1 and later, with a task that nothing was measured of yet."""
    body = json.dumps(
        [
            {
                "executor_id": "minilm.instance-a._app.1",
                "source": "minilm.instance-a._app.1",
                "statistics": {
                    "cpus_limit": 8.25,
                    "cpus_nr_periods": 769021,
                    "cpus_system_time_secs": 34501.45,
                    "cpus_user_time_secs": 96348.84,
                    "mem_limit_bytes": 7650410496,
                    "mem_rss_bytes": 5105614848,
                    "timestamp": 1388534400.0,
                },
            },
            {"executor_id": "minilm.instance-b._app.1", "source": "", "statistics": {"timestamp": 5.0}},
            {"executor_id": "minilm.instance-c._app.1", "source": ""},
        ]
    ).encode()
    expected = {
        "minilm.instance-a._app.1": Sample(at=1388534400.0, cpu_seconds=130850.29, memory=5105614848),
        "minilm.instance-b._app.1": Sample(at=5.0),
    }
    assert expected == sampled(body)


@pytest.mark.parametrize(
    ("before", "after", "cpu"),
    [
        (None, Sample(at=2.0, cpu_seconds=1.0), None),
        (Sample(at=1.0, cpu_seconds=1.0), Sample(at=3.0, cpu_seconds=2.0), Cpus(500)),
        (Sample(at=1.0, cpu_seconds=9.0), Sample(at=3.0, cpu_seconds=2.0), None),
        (Sample(at=3.0, cpu_seconds=1.0), Sample(at=3.1, cpu_seconds=2.0), None),
        (Sample(at=1.0), Sample(at=3.0, cpu_seconds=2.0), None),
    ],
)
def test_cpu_is_what_was_used_between_two_samples(before: Sample | None, after: Sample, cpu: Cpus | None) -> None:
    """The first sample, one too soon and one that was counted anew say nothing, and that is not zero."""
    assert Usage(cpu=cpu) == between(before, after)


# ---- over sockets ----


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    """A Marathon on three agents with two GPUs each."""
    with emulated(Plan(by_hand=True, machine=Machine(gpus=2))) as found:
        yield found


@contextmanager
def asking(find: str | None, **options: Any) -> Iterator[Master]:
    """Ask a master that Marathon finds at ``find``."""
    master = Master(MarathonOptions(urls=("http://127.0.0.1:9",), **options), cluster="dc1", find=lambda: find)
    try:
        yield master
    finally:
        master.close()


@contextmanager
def answering(status: int, headers: dict[str, str], asked: list[str] | None = None) -> Iterator[str]:
    """Answer every request like this, with the own address for ``SELF`` in a header; return where.

    ``asked`` takes the path of each.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if asked is not None:
                asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value.replace("SELF", self.headers["Host"]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815  # as the server calls it

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_marathon_says_where_the_leading_master_is(running: Emulated) -> None:
    """Nothing has to be configured: the agents are those that Marathon runs tasks on."""
    _, info = running.ask("GET", "/v2/info")
    with asking(info["marathon_config"]["mesos_leader_ui_url"]) as master:
        found = agents_of(master.call("GET_AGENTS"), "*")
    assert [("127.0.1.1", 8000, 2), ("127.0.1.2", 8000, 2), ("127.0.1.3", 8000, 2)] == [
        (one.name, one.total.cpu, one.total.gpus) for one in found
    ]
    assert {"rack": "rack-1", "hostname": "127.0.1.2", "zone": "zone-1", "region": "region-a"} == found[1].attributes


def test_a_master_that_does_not_lead_sends_us_on(running: Emulated) -> None:
    """A standby names the leader, and the leader is asked directly from then on."""
    leader = running.mesos_url.removeprefix("http:")
    with answering(307, {"Location": f"{leader}/master/api/v1"}) as standby, asking(None, mesos=standby) as master:
        assert 3 == len(agents_of(master.call("GET_AGENTS"), "*"))
    with answering(307, {"Location": f"{leader}/api/v1"}) as standby, asking(None, mesos=standby) as master:
        master.call("GET_HEALTH")
        assert f"{leader}" == master._leader.removeprefix("http:")  # which saves a request each time


def test_an_emulator_is_told_from_a_master(running: Emulated) -> None:
    """It alone has faults to ask for; whoever does not know that page is taken for what it says it is."""
    with asking(running.mesos_url) as master:
        assert master.is_emulated()
    with answering(404, {}) as url, asking(url) as master:
        assert not master.is_emulated()
    with answering(200, {}) as url, asking(url) as master:
        assert not master.is_emulated()


def test_a_leader_that_is_gone_is_found_anew(running: Emulated) -> None:
    """Once the remembered leader does not answer, Marathon is asked again who leads."""
    known = iter(["http://127.0.0.1:9", running.mesos_url])
    master = Master(MarathonOptions(urls=("http://127.0.0.1:9",)), cluster="dc1", find=lambda: next(known))
    with pytest.raises(Unreachable, match="does not answer at http://127"):
        master.call("GET_AGENTS")
    assert 3 == len(agents_of(master.call("GET_AGENTS"), "*"))
    master.close()


@pytest.mark.parametrize(
    ("status", "error"), [(401, Forbidden), (403, Forbidden), (503, Unreachable), (404, Rejected), (307, Rejected)]
)
def test_a_master_that_refuses_is_told_apart_from_one_that_is_away(status: int, error: type[Exception]) -> None:
    """No permission, no leader, and no master at all are three things."""
    with answering(status, {}) as url, asking(url) as master, pytest.raises(error):
        master.call("GET_AGENTS")


def test_masters_that_point_at_each_other_are_left() -> None:
    """An election that has not ended is no reason to go around for ever."""
    expected = pytest.raises(Unreachable, match="around in circles")
    with answering(307, {"Location": "//SELF/api/v1"}) as url, asking(url) as master, expected:
        master.call("GET_AGENTS")


def test_nobody_knows_where_mesos_is() -> None:
    """An old Marathon that says nothing, and nothing configured: said with what to write."""
    with asking(None) as master, pytest.raises(Unreachable) as caught:
        master.call("GET_AGENTS")
    assert "name it as `mesos` in the cluster's options" == caught.value.hint


def test_an_agent_that_was_given_up_is_no_node_any_more(running: Emulated) -> None:
    """Lost for less than the time-out it is closed, then gone, and there again when it is back."""
    now = [0.0]
    with asking(running.mesos_url) as master:
        ground = Ground(master, gpu_attribute=None, now=lambda: now[0])

        def look() -> list[tuple[str, bool]]:
            now[0] += 20
            assert ground.is_due
            ground.read("*", {})
            return [(node.name, node.schedulable) for node in ground.nodes]

        whole = look()
        lost = next(one.id for one in ground.agents.values() if one.name == "127.0.1.2")
        running.control("lose-agent", agent=lost, partition=True)
        assert [("127.0.1.1", True), ("127.0.1.2", False), ("127.0.1.3", True)] == look()
        running.advance(80)
        assert [("127.0.1.1", True), ("127.0.1.3", True)] == look()
        running.control("return-agent", agent=lost)
        assert whole == look()


def test_nodes_are_the_same_while_nothing_changes_and_stay_when_the_master_is_away(running: Emulated) -> None:
    """What did not change is not made anew; a master that is silent makes a note and no gap."""
    now, where = [0.0], [running.mesos_url]
    master = Master(MarathonOptions(urls=("http://127.0.0.1:9",)), cluster="dc1", find=lambda: where[0])
    ground = Ground(master, gpu_attribute=None, now=lambda: now[0])
    ground.read("*", {})
    nodes, agents = ground.nodes, ground.agents
    assert not ground.is_due
    now[0] = 16.0
    ground.read("*", {})
    assert (nodes, agents) == (ground.nodes, ground.agents)
    assert nodes is ground.nodes
    assert agents is ground.agents
    master._leader, where[0] = "", "http://127.0.0.1:9"  # as after an election
    now[0] = 32.0
    ground.read("*", {})
    assert nodes is ground.nodes
    assert ground.notes[0].startswith("the agents of Mesos are as they were read last: dc1: Mesos does not answer")
    master.close()


def test_use_is_measured_by_the_agents(running: Emulated) -> None:
    """Two readings give CPU and memory of every task that runs; a silent agent's tasks are unknown, not idle."""
    app = {
        "id": "/used",
        "cmd": "sleep 9",
        "cpus": 2,
        "mem": 64,
        "instances": 2,
        "constraints": [["hostname", "UNIQUE"]],
        "labels": {"GPU_SCHEDULING_BEHAVIOR": "unrestricted"},
    }
    running.ask("POST", "/v2/apps", app)
    running.advance(10)
    _, listed = running.ask("GET", "/v2/apps/used/tasks")
    now = [0.0]
    with asking(running.mesos_url) as master:
        agents = {one.id: one.pid for one in agents_of(master.call("GET_AGENTS"), "*")}
        placed = {one["id"]: agents[one["slaveId"]] for one in listed["tasks"]} | {"elsewhere": "slave(1)@127.0.0.1:9"}
        reader = UsageReader(master, now=lambda: now[0])
        assert {Usage(memory=Memory(32 * MIB))} == set(reader.read(placed).values())
        running.advance(10)
        now[0] = 11.0
        found = reader.read(placed)
        assert {one["id"]: Usage(cpu=Cpus(1000), memory=Memory(32 * MIB)) for one in listed["tasks"]} == found
        assert () == reader.notes
        reader.read({"elsewhere": "slave(1)@127.0.0.1:9"})
    assert {} == reader.read({})


def test_where_no_agent_can_be_reached_hardly_any_is_asked() -> None:
    """After three in vain nobody is asked for a minute: whoever waits for the answer has other things to do."""
    now, asked = [0.0], list[str]()
    with answering(500, {}, asked) as url, asking(url) as master:
        reader = UsageReader(master, now=lambda: now[0])
        placed = {f"task-{number}": f"slave({number})@{url.removeprefix('http://')}" for number in range(50)}
        for moment in (0.0, 1.0, 59.0):
            now[0] = moment
            assert {} == reader.read(placed)
        assert 3 == len(asked)
        now[0] = 61.0
        reader.read(placed)
        assert 4 == len(asked)


def test_an_agent_that_does_not_answer_is_said() -> None:
    """If no agent at all says what is used, the operator learns why."""
    with asking("http://127.0.0.1:9") as master:
        reader = UsageReader(master)
        assert {} == reader.read({"one": "slave(1)@127.0.0.1:9"})
        assert reader.notes[0].startswith("no agent says what replicas use: dc1: Mesos does not answer")
