"""The record of which daemon follows a fleet file."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from roadstead.act.running import Running, record_path, recorded, running
from roadstead.act.state import StateDirectory


@pytest.fixture
def daemon(tmp_path: Path) -> Running:
    """What a daemon says of itself."""
    (tmp_path / "state").mkdir()
    return Running(file=str(tmp_path / "fleet.yaml"), fleet="shop", state=str(tmp_path / "state"))


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """The user's folder of records, which nobody made yet."""
    return tmp_path / "home" / "running-daemons"


@pytest.fixture
def answering(daemon: Running) -> Iterator[None]:
    """Somebody answers on the control socket of ``daemon``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(StateDirectory(Path(daemon.state)).socket))
        listener.listen()
        yield


@pytest.mark.usefixtures("answering")
def test_a_daemon_is_found_by_its_file_from_its_start_to_its_end(daemon: Running, records: Path) -> None:
    """The record is its owner's only, and there is none before and after."""
    file = Path(daemon.file)
    assert None is running(file, records)
    with recorded(daemon, records):
        assert daemon == running(file, records)
        assert 0o600 == record_path(file, records).stat().st_mode & 0o777
    assert None is running(file, records)
    assert [] == list(records.iterdir())


@pytest.mark.usefixtures("answering")
def test_another_way_to_the_same_folder_is_the_same_file(daemon: Running, records: Path) -> None:
    """The file itself may be gone, and so is looked for by its folder and its name."""
    folder = Path(daemon.file).parent
    (folder / "link").symlink_to(folder)
    with recorded(daemon, records):
        assert daemon == running(folder / "link" / ".." / folder.name / "link" / "fleet.yaml", records)
        assert None is running(folder / "other.yaml", records)


def test_a_record_whose_daemon_was_killed_is_nothing(daemon: Running, records: Path) -> None:
    """Whether it left its socket behind or not."""
    with recorded(daemon, records):
        assert None is running(Path(daemon.file), records)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(StateDirectory(Path(daemon.state)).socket))
        assert None is running(Path(daemon.file), records)


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1}', '{"format_version": 99, "running": {}}'])
def test_a_damaged_record_is_nothing(daemon: Running, records: Path, text: str) -> None:
    """The fleet file then says where the daemon is, as if nobody had written a record."""
    with recorded(daemon, records):
        record_path(Path(daemon.file), records).write_text(text)
        assert None is running(Path(daemon.file), records)


@pytest.mark.usefixtures("answering")
def test_the_record_of_a_later_daemon_is_left_alone(daemon: Running, records: Path) -> None:
    """Two daemons followed the file, each with a state of its own: the one that ends takes only its own word back."""
    before = attrs.evolve(daemon, state="/somewhere/else")
    with ExitStack() as later:
        with recorded(before, records):
            later.enter_context(recorded(daemon, records))
        assert daemon == running(Path(daemon.file), records)


def test_a_daemon_runs_where_no_record_can_be_written(
    daemon: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in the log, and nothing else is worse."""
    (tmp_path / "home").write_text("no folder")
    with recorded(daemon, tmp_path / "home" / "running-daemons"):
        assert "cannot be recorded" in caplog.text
