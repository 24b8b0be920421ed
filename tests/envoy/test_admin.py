"""Envoy's admin socket when nobody answers there: each cause is told in words of its own."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from roadstead.errors import Unreachable
from roadstead_plugins.gateways.envoy.admin import Admin
from roadstead_plugins.gateways.envoy.bootstrap import ADMIN_SOCKET


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    """Somebody who listens where Envoy should."""
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(tmp_path / ADMIN_SOCKET))
    made.listen()
    return made


def _said(folder: Path) -> str:
    with pytest.raises(Unreachable) as raised:
        Admin("edge", folder).get("/stats")
    return str(raised.value)


def test_one_that_takes_the_connection_and_says_nothing_is_said_to_be_silent(
    tmp_path: Path, listener: socket.socket
) -> None:
    """With how long it was waited for."""
    with listener:
        assert "edge: envoy does not answer at its admin socket within 2 seconds" == _said(tmp_path)


def test_a_socket_that_is_not_there_and_one_that_nobody_listens_at_are_the_same(
    tmp_path: Path, listener: socket.socket
) -> None:
    """Before Envoy's first start there is no file, and after its death there is one."""
    listener.close()
    after = _said(tmp_path)
    (tmp_path / ADMIN_SOCKET).unlink()

    assert ["edge: envoy does not listen at its admin socket"] * 2 == [after, _said(tmp_path)]


def test_one_that_hangs_up_is_said_with_what_it_was_asked(tmp_path: Path, listener: socket.socket) -> None:
    """It was killed in between, say."""

    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(1024)
        connection.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with listener:
        said = _said(tmp_path)
        thread.join()
    assert "edge: envoy does not answer /stats: Remote end closed connection without response" == said
