"""The Python client that our backend stands on, against the emulator."""

from __future__ import annotations

import collections
import collections.abc
from typing import Any

import pytest

from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated


def _client() -> Any:
    return pytest.importorskip("marathon")


def test_the_client_creates_scales_kills_and_deletes(marathon: Emulated) -> None:
    """Its last release, 0.13.0, as it stands."""
    package = _client()
    client = package.MarathonClient(marathon.url)
    assert client.ping() == b'"pong"'
    client.create_app("/x/y", package.MarathonApp(cmd="sleep 100", cpus=0.1, mem=16, instances=2))
    marathon.advance(5)
    assert [task.state for task in client.list_tasks("/x/y")] == ["TASK_RUNNING", "TASK_RUNNING"]
    client.scale_app("/x/y", 3)
    marathon.advance(5)
    victim = client.list_tasks("/x/y")[0].id
    client.kill_task("/x/y", victim)
    marathon.advance(5)
    left = {task.id for task in client.list_tasks("/x/y")}
    assert (len(left), victim in left) == (3, False)
    client.delete_app("/x/y")
    marathon.advance(5)
    assert client.list_apps() == []
    assert client.list_deployments() == []


def test_the_client_is_told_why_it_is_refused(marathon: Emulated) -> None:
    """Errors and locks arrive as the exceptions that it has for them."""
    package = _client()
    client = package.MarathonClient(marathon.url)
    with pytest.raises(package.MarathonHttpError, match="Object is not valid"):
        client.create_app("/none", package.MarathonApp(cpus=0.1, mem=16))
    client.create_app("/big", package.MarathonApp(cmd="sleep 100", cpus=500, mem=16))
    with pytest.raises(package.MarathonHttpError, match="locked by one or more deployments"):
        client.scale_app("/big", 2)
    with pytest.raises(package.NotFoundError):
        client.get_app("/absent")


def test_the_client_goes_on_after_the_leader_died(ensemble: Emulated) -> None:
    """Asked of whichever answers."""
    package = _client()
    client = package.MarathonClient(ensemble.urls)
    client.create_app("/x", package.MarathonApp(cmd="sleep 100", cpus=0.1, mem=16))
    ensemble.control("lose-leader")
    ensemble.advance(2)
    assert package.MarathonClient(ensemble.urls[1]).get_app("/x").id == "/x"


def test_the_client_signs_in() -> None:
    """With user and password."""
    package = _client()
    with emulated(Plan(by_hand=True, settings=Settings(credentials="usr:pw"))) as running:
        assert package.MarathonClient(running.url, username="usr", password="pw").list_apps() == []


def test_the_examples_of_its_readme_work_as_they_stand(marathon: Emulated) -> None:
    """In their order: list, create, change, scale and kill; all but one that does not survive a newer Python."""
    package = _client()
    client = package.MarathonClient(marathon.url)
    assert [] == client.list_apps()
    for name in ("myapp1", "myapp3"):
        client.create_app(name, package.MarathonApp(cmd="sleep 100", mem=16, cpus=1))
        marathon.advance(5)
    assert ["/myapp1", "/myapp3"] == sorted(app.id for app in client.list_apps())
    assert (16.0, 1) == (client.get_app("myapp3").mem, client.get_app("myapp3").instances)
    assert {"deploymentId", "version"} == client.scale_app("myapp3", 3).keys()
    marathon.advance(5)
    assert {"deploymentId", "version"} == client.scale_app("myapp3", delta=-1).keys()
    marathon.advance(5)
    assert 2 == client.get_app("myapp3").instances
    assert 1 == len(client.list_tasks("myapp1"))
    client.kill_tasks("myapp1", scale=True)
    marathon.advance(5)
    assert [] == client.list_tasks("myapp1")


def test_the_client_goes_back_restarts_and_cancels(marathon: Emulated) -> None:
    """Versions, deployments, groups and what is asked of the system, as it stands; a group it cannot read since 1.9."""
    package = _client()
    client = package.MarathonClient(marathon.url)
    client.create_app("/x", package.MarathonApp(cmd="sleep 100", mem=16, cpus=0.1, labels={"a": "b"}))
    marathon.advance(5)
    client.restart_app("/x")
    client.update_apps([package.MarathonApp(id="/x", cmd="sleep 2")], force=True)
    marathon.advance(5)
    first = client.list_versions("/x")[-1]
    assert "sleep 100" == client.get_version("/x", first).cmd
    client.rollback_app("/x", first)
    marathon.advance(5)
    assert ["sleep 100"] == [app.cmd for app in client.list_apps(label="a==b", embed_tasks=True)]
    client.create_app("/big", package.MarathonApp(cmd="sleep 100", mem=16, cpus=100))
    (deployment,) = client.list_deployments()
    assert {} == client.delete_deployment(deployment.id, force=True)
    assert [] == client.list_deployments()
    client.update_group("/g", package.models.MarathonGroup(id="/g"))
    with pytest.raises(TypeError, match="enforce_role"):
        client.get_group("/")
    client.delete_group("/g")
    assert "marathon.apps.active.gauge" in client.get_metrics()["gauges"]
    assert client.get_leader()["leader"] in marathon.url


def test_what_a_newer_python_took_from_the_client_is_all_that_its_other_calls_lack(
    marathon: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With that name put back, nested objects work too; the queue it cannot read since it knows of roles."""
    package = _client()
    monkeypatch.setattr(collections, "Iterable", collections.abc.Iterable, raising=False)
    client, models = package.MarathonClient(marathon.url), package.models
    check = models.MarathonHealthCheck(protocol="TCP", port_index=0)
    apart = models.MarathonConstraint("hostname", "UNIQUE")
    app = package.MarathonApp(cmd="sleep 9", mem=16, cpus=0.1, constraints=[apart], health_checks=[check])
    client.create_app("/x", app)
    marathon.advance(5)
    found = client.get_app("/x")
    assert ("hostname", "TCP") == (found.constraints[0].field, found.health_checks[0].protocol)
    found.mem = 32
    assert {"deploymentId", "version"} == client.update_app("/x", found).keys()
    marathon.advance(5)
    assert 32.0 == client.get_app("/x").mem
    client.create_group(models.MarathonGroup(id="/g", apps=[package.MarathonApp(id="a", cmd="sleep 9", cpus=0.1)]))
    assert "marathon" == client.get_info().name
    with pytest.raises(TypeError, match="role"):
        client.list_queue()
