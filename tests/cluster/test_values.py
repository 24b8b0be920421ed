"""What the harness decides without touching the machine."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import json
import os
import socket
import ssl
import tarfile
import threading
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster import host_folders
from tests.cluster.certificates import Authority
from tests.cluster.images import HOST, Image, archive
from tests.cluster.network import BLOCKS, MOST_NODES, Addresses
from tests.cluster.node_files import NodeFiles, NodeSpec, kubelet_config

NUMBERS = st.integers(0, BLOCKS - 1)


# ---- addresses ----


@given(NUMBERS, NUMBERS)
def test_clusters_share_no_address(one: int, other: int) -> None:
    """Two numbers have blocks that do not overlap."""
    assert (one == other) == Addresses(one).block.overlaps(Addresses(other).block)


@given(NUMBERS)
def test_within_a_cluster_every_address_has_one_use(number: int) -> None:
    """Pods, Services and machines have ranges of their own inside the block, and every machine its own address."""
    addresses = Addresses(number)
    ranges = (addresses.pods, addresses.services, addresses.machines)
    assert all(each.subnet_of(addresses.block) for each in ranges)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(ranges, 2))
    nodes = range(1, MOST_NODES + 1)
    machines = [addresses.router, addresses.outside, *(addresses.node(index) for index in nodes)]
    assert len(machines) == len(set(machines))
    assert all(machine in addresses.machines for machine in machines)
    pods = [addresses.pods_of(index) for index in nodes]
    assert all(each.subnet_of(addresses.pods) for each in pods)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(pods, 2))


def test_the_name_of_an_interface_fits() -> None:
    """Linux takes 15 characters."""
    assert len(Addresses(BLOCKS - 1).device) <= 15


# ---- images ----


def test_an_image_holds_what_it_is_made_of() -> None:
    """The layer has the folders, files and links, and its digest stands in the configuration."""
    image = Image(name="localhost/x:1", folders=["tmp"], files={"bin/a": b"program"}, links={"bin/b": "a"})
    with tarfile.open(fileobj=io.BytesIO(archive(image))) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json") or io.BytesIO())
        layer = outer.extractfile(manifest["Layers"][0])
        assert layer is not None
        with tarfile.open(fileobj=layer) as inner:
            assert ["tmp", "bin/a", "bin/b"] == inner.getnames()
            assert b"program" == (inner.extractfile("bin/a") or io.BytesIO()).read()
            assert "a" == inner.getmember("bin/b").linkname
    assert ["localhost/x:1"] == manifest["RepoTags"]


def test_the_same_image_is_the_same_bytes() -> None:
    """No time and no user stands in an archive."""
    image = Image(name="localhost/x:1", files={"a": b"1"})
    assert archive(image) == archive(image)


@pytest.mark.parametrize(("image", "added"), [(HOST, True), ("localhost/roadstead/busybox:1", False)])
def test_only_containers_of_the_host_image_get_the_folders(image: str, added: bool, tmp_path: Path) -> None:
    """The folders come after the root's own mount and before the pod's, read-only; other containers are left alone."""
    own = [{"destination": "/proc"}, {"destination": "/usr/share/models"}]
    written = {"annotations": {"io.kubernetes.cri.image-name": image}, "mounts": own}
    (tmp_path / "config.json").write_text(json.dumps(written))
    host_folders._add(tmp_path, ["/usr"])
    mounts = json.loads((tmp_path / "config.json").read_text())["mounts"]
    assert (["/proc", "/usr", "/usr/share/models"] if added else ["/proc", "/usr/share/models"]) == [
        mount["destination"] for mount in mounts
    ]
    assert all("ro" in mount["options"] for mount in mounts if mount["destination"] == "/usr")


def test_a_folder_below_one_that_the_pod_mounts_is_found_all_the_same(tmp_path: Path) -> None:
    """An empty /tmp of the pod's own does not hide a checkout in /tmp."""
    written = {
        "annotations": {"io.kubernetes.cri.image-name": HOST},
        "mounts": [{"destination": "/proc"}, {"destination": "/tmp"}],
    }
    (tmp_path / "config.json").write_text(json.dumps(written))
    host_folders._add(tmp_path, ["/usr", "/tmp/checkout", "/tmpfoo"])
    mounts = json.loads((tmp_path / "config.json").read_text())["mounts"]
    assert ["/proc", "/usr", "/tmpfoo", "/tmp", "/tmp/checkout"] == [mount["destination"] for mount in mounts]


def test_the_folders_hold_this_python_and_the_sources() -> None:
    """Whatever a program of ours imports is below one of the folders."""
    folders = host_folders.folders()
    for needed in (os.__file__, pytest.__file__, host_folders.__file__):
        assert any(Path(needed).resolve().is_relative_to(folder) for folder in folders), needed


# ---- certificates ----


def shaken(authority: Authority, trusted: Authority, name: str, folder: Path) -> str | None:
    """Return why a client that trusts one authority refuses a server of another's, if it does."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = authority.issue("server", names=["localhost"], addresses=[IPv4Address("127.0.0.1")])
    serving.load_cert_chain(*own.write(folder, "server"))
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)

    def serve() -> None:
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        with ssl.create_default_context(cadata=trusted.certificate.decode()).wrap_socket(ours, server_hostname=name):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    finally:
        ours.close()
        server.join()


def test_a_server_is_trusted_by_its_own_names_only(tmp_path: Path) -> None:
    """The right authority and a right name pass; a wrong authority or another name does not."""
    now = dt.datetime.now(dt.UTC)
    right, wrong = Authority.create("right", now), Authority.create("wrong", now)
    assert shaken(right, right, "localhost", tmp_path) is None
    assert shaken(right, right, "127.0.0.1", tmp_path) is None
    assert "unable to get local issuer certificate" == shaken(right, wrong, "localhost", tmp_path)
    assert "Hostname mismatch" in (shaken(right, right, "elsewhere", tmp_path) or "")


# ---- a node's files ----


def test_a_node_is_what_its_spec_says(tmp_path: Path) -> None:
    """Taints and what is kept from pods stand in the kubelet's configuration."""
    files = NodeFiles(disk=tmp_path, name="n", cgroup="group/n")
    spec = NodeSpec(taints=("gpu=present:NoSchedule",), reserved={"cpu": "1"})
    keys = (tmp_path / "a", tmp_path / "b")
    text = kubelet_config(files, Addresses(0), 1, spec=spec, authority=tmp_path / "ca", serving=keys)
    found = json.loads(text)
    assert [{"key": "gpu", "value": "present", "effect": "NoSchedule"}] == found["registerWithTaints"]
    assert {"cpu": "1"} == found["systemReserved"]
    assert "/group/n" == found["cgroupRoot"]
