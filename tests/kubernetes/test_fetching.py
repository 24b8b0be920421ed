"""An init container puts a model's files in place, or says why its server must not start."""

from __future__ import annotations

import http.server
import io
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.model import ModelSpec
from roadstead.spi.digest import version_digest
from roadstead_backends.kubernetes.pod_options import PodOptions
from roadstead_backends.kubernetes.sources import model_source
from tests.kubernetes.orders import template_with

FILES = {"3/saved_model.pb": b"graph", "3/variables/variables.index": b"index"}


def as_tar(files: dict[str, bytes]) -> bytes:
    """Return a compressed archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def as_zip(files: dict[str, bytes]) -> bytes:
    """Return an archive of the other kind."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, bytes]]]:
    """The address of a server, and what it has by path; what begins with http is a redirect."""
    contents: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = contents[self.path]
            if found.startswith(b"http"):
                self.send_response(302)
                self.send_header("Location", found.decode())
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", contents
        server.shutdown()
        thread.join()


def prepare(source: str, folder: Path, *, digest: str | None = None, version: int = 3) -> str:
    """Run what an init container runs, in its own words; return what it complained of."""
    model = ModelSpec(name="m", source=source, version=version, digest=digest)
    found = model_source(template_with(model=model), PodOptions())
    assert found.preparation is not None
    script, url, _, *rest = found.preparation
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, url, str(folder), *rest], capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


@pytest.mark.parametrize("pack", [as_tar, as_zip])
def test_an_archive_is_fetched_and_unpacked_and_has_its_digest(
    pack: object, served: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """The same digest that `roadstead model digest` prints."""
    url, contents = served
    contents["/m"] = pack(FILES)  # type: ignore[operator]  # one of the two
    assert "" == prepare(f"{url}/m", tmp_path)
    assert b"index" == (tmp_path / "3/variables/variables.index").read_bytes()
    digest = version_digest(tmp_path / "3")
    assert "" == prepare(f"{url}/m", tmp_path, digest=digest)
    assert "their digest is" in prepare(f"{url}/m", tmp_path, digest="ab" * 32)


def test_a_version_that_is_not_there_is_said(served: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Instead of a server that finds nothing to serve."""
    url, contents = served
    contents["/m"] = as_tar(FILES)
    assert "there is no folder 4" in prepare(f"{url}/m", tmp_path, version=4)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside"])
def test_nothing_is_unpacked_outside_of_the_folder(
    name: str, served: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """Whoever packed it does not decide where it goes."""
    url, contents = served
    for pack in (as_tar, as_zip):
        contents["/m"] = pack({name: b"x", **FILES})
        assert "outside" in prepare(f"{url}/m", tmp_path)
    assert not (tmp_path.parent / "outside").exists()


def test_a_link_in_an_archive_is_refused(served: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    """It could lead anywhere."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("3")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(member)
    url, contents = served
    contents["/m"] = packed.getvalue()
    assert "neither a file nor a folder" in prepare(f"{url}/m", tmp_path)


def test_a_redirect_is_followed_on_its_own_host_alone(served: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Another host is another trust."""
    url, contents = served
    contents["/m"] = as_tar(FILES)
    contents["/here"] = f"{url}/m".encode()
    contents["/there"] = f"{url.replace('127.0.0.1', 'localhost')}/m".encode()
    assert "" == prepare(f"{url}/here", tmp_path)
    assert "redirects to another place" in prepare(f"{url}/there", tmp_path)


def test_a_volume_is_looked_at_and_not_written(tmp_path: Path) -> None:
    """Where only a digest is to be checked."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    assert "" == prepare("pvc://models", tmp_path, digest=version_digest(tmp_path / "3"))
    assert before == sorted(tmp_path.rglob("*"))
