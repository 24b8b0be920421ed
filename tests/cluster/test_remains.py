"""What a cluster leaves on the machine, which is nothing, and what happens where none can be started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cluster import control_groups
from tests.cluster.cluster import Cluster, sweep
from tests.cluster.control_plane import ETCD
from tests.cluster.machine import left_behind
from tests.cluster.places import ROOT, run_folder
from tests.cluster.pods import pod, start_pod
from tests.cluster.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

FILES = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("working", "devices", "breaking")]


def traces(number: int) -> set[str]:
    """Return what there is of a cluster on this machine, so that the next one of that number is told from it."""
    device = f"roadstead{number}"
    found = {f"process {process.pid} {process.create_time()}" for process in left_behind(device)}
    found |= {f"{path} {path.stat().st_ino}" for path in control_groups.present(f"{device}-cluster")}
    found |= {path.read_text() for path in [run_folder(number) / "pki" / "authority.crt"] if path.exists()}
    index = Path(f"/sys/class/net/{device}/ifindex")
    return found | ({f"{device} {index.read_text()}"} if index.exists() else set())


def test_a_stopped_cluster_leaves_nothing(namespace: str, control_plane: Cluster) -> None:
    """A second cluster works beside the first; stopped, no process, group, interface, file or mount of it is left."""
    second = Cluster.start()
    number = second.plane.addresses.number
    try:
        second.add_node()
        second.wait_ready()
        start_pod(second.api, "default", pod("sleeps"))
        processes = [psutil.Process(part.pid) for part in second.plane.parts.values()]
        before = traces(number)
        assert len(before) > 4
    finally:
        second.stop()
    assert set() == before & traces(number)
    assert [] == [process for process in processes if process.is_running()]
    assert str(run_folder(number)) not in Path("/proc/mounts").read_text()
    assert control_plane.api.find(f"/api/v1/namespaces/{namespace}") is not None


def test_what_a_killed_run_left_is_swept(control_plane: Cluster) -> None:
    """When whoever started a cluster is killed its processes end by themselves, and the next start removes the rest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster", "up", "--nodes", "0"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    with process.stdout as output:
        number = int(Path(output.readline().split("=")[1]).parent.name)
        before = traces(number)
        assert len(before) > 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=120)
    until(lambda: not any(each.startswith("process") for each in before & traces(number)))
    assert before & traces(number)
    sweep()
    assert set() == before & traces(number)
    assert control_plane.api.get("/version")


# ---- where it cannot be had, or is there already ----


def run_tests(*arguments: str, **environment: str) -> tuple[int, str]:
    """Return the exit code and the output of a run of pytest of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "kubernetes", *arguments, *FILES],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=ROOT,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stdout


def test_where_no_cluster_can_be_started_one_line_says_so(tmp_path: Path) -> None:
    """Tests are skipped, not failed, and the run ends with how many they were and what is lacking."""
    code, said = run_tests("-k", "joins or version", XDG_CACHE_HOME=str(tmp_path))
    assert 0 == code, said
    assert "KUBERNETES NOT TESTED: 2 tests skipped: the components of Kubernetes are not built" in said


def test_a_cluster_that_is_there_already_is_used_and_not_broken(control_plane: Cluster) -> None:
    """With the flag, tests run where KUBECONFIG points to, and those that would break something are skipped."""
    chosen = "version_that_was_built or frozen_etcd or plugin_and_come_back"
    code, said = run_tests("-k", chosen, "--existing-cluster", KUBECONFIG=str(control_plane.kubeconfig))
    assert 0 == code, said
    assert "1 passed, 2 skipped" in said
    assert control_plane.part(ETCD).is_running
