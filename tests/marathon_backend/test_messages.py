"""Answers of real Marathons are read, whatever else is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from roadstead_backends.marathon import messages as say
from roadstead_backends.marathon.emulator.settings import PROFILES
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated

READ = {
    "/v2/apps": say.AppList,
    "/v2/apps/web": say.Wrapped,
    "/v2/apps/web/tasks": say.TaskList,
    "/v2/tasks": say.TaskList,
    "/v2/deployments": list[say.Deployment],
    "/v2/queue": say.Queue,
    "/v2/info": say.Info,
}


@pytest.fixture(scope="module", params=[profile.name for profile in PROFILES])
def busy(request: pytest.FixtureRequest) -> Iterator[Emulated]:
    """A Marathon of each version with an app that runs and one that finds no room."""
    (profile,) = [profile for profile in PROFILES if profile.name == request.param]
    with emulated(Plan(by_hand=True, settings=Settings(profile=profile))) as running:
        running.ask("POST", "/v2/apps", {"id": "/web", "cmd": "sleep 9", "cpus": 0.1, "mem": 16, "instances": 2})
        running.ask("POST", "/v2/apps", {"id": "/big", "cmd": "sleep 9", "cpus": 900, "mem": 16})
        running.advance(20)
        yield running


def asked(marathon: Emulated, path: str) -> tuple[bytes, Any]:
    """Return the answer of a GET, and what we read of it."""
    status, answer = marathon.ask("GET", path)
    assert status == 200
    body = msgspec.json.encode(answer)
    return body, msgspec.json.decode(body, type=READ[path])


@pytest.mark.parametrize("path", READ)
def test_every_answer_that_we_ask_for_is_read(busy: Emulated, path: str) -> None:
    """From both versions: what one leaves out has a default."""
    body, found = asked(busy, path)
    assert len(msgspec.json.encode(found)) > 2, body


def test_an_app_is_read_with_its_counts_and_its_tasks_places(busy: Emulated) -> None:
    """The numbers are those that the cluster has."""
    _, apps = asked(busy, "/v2/apps")
    web = next(app for app in apps.apps if app.id == "/web")
    assert (2, 2, ()) == (web.instances, web.tasks_running, web.deployments)
    _, listed = asked(busy, "/v2/tasks")
    assert 2 == len(listed.tasks)
    assert {"TASK_RUNNING"} == {task.state for task in listed.tasks}
    assert all(task.ports and task.started_at and task.slave_id and task.zone for task in listed.tasks)


def test_why_an_app_waits_is_read_from_the_queue(busy: Emulated) -> None:
    """The funnel says how many offers had too little of what."""
    _, found = asked(busy, "/v2/queue")
    (item,) = found.queue
    assert item.app is not None
    declined = {one.reason: one.declined for one in item.processed_offers_summary.reject_summary_last_offers}
    assert ("/big", 1) == (item.app.id, item.count)
    assert 3 == declined["InsufficientCpus"]


def test_a_change_that_goes_on_is_read_with_what_it_locks(busy: Emulated) -> None:
    """So it is known whose apps a force would touch."""
    _, (found,) = asked(busy, "/v2/deployments")
    assert (("/big",), ()) == (found.affected_apps, found.affected_pods)
    assert ["/big"] == [action.app for action in found.current_actions]


def test_where_mesos_is_and_who_leads_is_read(busy: Emulated) -> None:
    """The keys of the configuration are written in another way than all others."""
    _, info = asked(busy, "/v2/info")
    assert f"{busy.mesos_url}/" == info.marathon_config.mesos_leader_ui_url
    assert busy.url.removeprefix("http://") == info.leader


def test_fields_that_nobody_knows_and_null_do_no_harm() -> None:
    """One app of a later version, or of 1.4, does not hide all the others."""
    body = b'{"apps":[{"id":"/a","tty":true,"check":{"tcp":{}},"lastTaskFailure":null,"resourceLimits":{"cpus":2}}]}'
    assert ["/a"] == [app.id for app in msgspec.json.decode(body, type=say.AppList).apps]
