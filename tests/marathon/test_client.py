"""The Python client that our backend stands on, against the emulator."""

from __future__ import annotations

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
