"""What the daemon costs while nothing happens: memory, processor time and writes, with ten replicas on this machine.

    python -m benchmarks.daemon             # prints a table, writes benchmarks/results/daemon.json

The replicas are real processes under real shims. They are asked for their model over gRPC by the ``tf_serving``
runtime's own probe, because that is what the daemon's memory consists of; behind it stands a server that answers
nothing else, so that ten of them fit beside each other. The budget is 120 MB, with TensorFlow never imported.
"""

import argparse
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from pathlib import Path
from typing import Final

import psutil

from roadstead.cli.client import Client

RESULTS: Final = Path(__file__).parent / "results" / "daemon.json"
BUDGET_BYTES: Final = 120_000_000
REPLICAS: Final = 10

RUNTIME: Final = '''
    import attrs
    from roadstead.spi.hookspecs import hookimpl
    from roadstead.spi.records import RuntimePlugin
    from roadstead.spi.runtime import Launch, Program
    from roadstead_plugins.runtimes.tf_serving.runtime import TfServing

    class Light(TfServing):
        """The runtime as it is, but for what it starts."""

        def check(self, template):
            return ()

        def launch(self, template):
            name, version = template.model.name, str(template.model.version)
            return Launch(program=Program(executable="light-server"), args=("$(HOST)", name, version), grpc_port=8500)

    @hookimpl
    def roadstead_runtimes():
        yield RuntimePlugin(name="light", factory=Light, engines=("light",), formats=("tf_saved_model",), summary="")
'''

SERVER: Final = """
    import concurrent.futures, sys
    import grpc
    from roadstead_plugins.runtimes.tf_serving.protos import get_model_status_pb2 as messages
    from roadstead_plugins.runtimes.tf_serving.protos import model_service_pb2_grpc as services

    class Status(services.ModelServiceServicer):
        def GetModelStatus(self, request, context):
            answer = messages.GetModelStatusResponse()
            available = messages.ModelVersionStatus.AVAILABLE
            answer.model_version_status.add(version=int(sys.argv[3]), state=available)
            return answer

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    services.add_ModelServiceServicer_to_server(Status(), server)
    server.add_insecure_port(f"{sys.argv[1]}:8500")
    server.start()
    server.wait_for_termination()
"""

FLEET: Final = """
    version: 1
    fleet: bench
    clusters: {{here: {{backend: local, options: {{cpu: 2, memory: 4Gi}}}}}}
    quotas: {{search: {{}}}}
    deployments:
      minilm:
        owner: search
        model: {{source: models/minilm}}
        runtime: {{name: light}}
        replicas: {replicas}
        resources: {{cpu: 100m, memory: 256Mi}}
        stop: {{drain_within: 0s}}
    daemon: {{http: "127.0.0.1:{port}", state: state}}
"""


def prepare(folder: Path) -> tuple[int, dict[str, str]]:
    """Write everything that the daemon needs below ``folder``; return its monitoring port and its environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    (folder / "models" / "minilm" / "1").mkdir(parents=True)
    (folder / "fleet.yaml").write_text(textwrap.dedent(FLEET).format(replicas=REPLICAS, port=port))
    (folder / "light_runtime.py").write_text(textwrap.dedent(RUNTIME))
    (folder / "light_server.py").write_text(textwrap.dedent(SERVER))
    info = folder / "light-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: light\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[roadstead]\nlight = light_runtime\n")
    program = folder / "light-server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {folder / "light_server.py"} "$@"\n')
    program.chmod(0o755)
    return port, {**os.environ, "PYTHONPATH": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


def until_listed(client: Client, count: int) -> float:
    """Wait until clients may use that many replicas, and return the seconds that took."""
    began = time.monotonic()
    while True:
        try:
            found = client.status().deployment("minilm")
        except Exception:  # noqa: BLE001  # the daemon is still starting; the deadline below ends this
            found = None
        if found is not None and found.listed == count:
            return time.monotonic() - began
        if time.monotonic() - began > 120:
            raise SystemExit("the replicas do not become ready")
        time.sleep(0.2)


def metric(port: int, pattern: str) -> float:
    """Return the value of the one sample that matches."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    found = re.search(rf"^{pattern} (\S+)$", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"no metric {pattern}")
    return float(found[1])


def rest(process: psutil.Process, port: int, seconds: float) -> dict[str, float]:
    """Return what the daemon uses in so many seconds of rest."""
    turns, spent, io = metric(port, "roadstead_turns_total"), process.cpu_times(), process.io_counters()
    parts = {
        part: metric(port, rf'roadstead_turn_seconds_sum\{{part="{part}"\}}') for part in ("observe", "plan", "act")
    }
    memory = []
    for _ in range(10):
        time.sleep(seconds / 10)
        memory.append(process.memory_info().rss)
    after, after_io = process.cpu_times(), process.io_counters()
    done = metric(port, "roadstead_turns_total") - turns
    return {
        "seconds": seconds,
        "rss_mb": round(statistics.median(memory) / 1e6, 1),
        "uss_mb": round(process.memory_full_info().uss / 1e6, 1),
        "threads": process.num_threads(),
        "cpu_percent_of_one_core": round(100 * (after.user + after.system - spent.user - spent.system) / seconds, 2),
        "written_bytes": after_io.write_bytes - io.write_bytes,
        "turns": done,
        **{
            f"{part}_ms_per_turn": round(
                1000 * (metric(port, rf'roadstead_turn_seconds_sum\{{part="{part}"\}}') - before) / max(1.0, done), 2
            )
            for part, before in parts.items()
        },
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long it is watched at rest")
    parser.add_argument("--settle", type=float, default=20.0, help="for how long it is left alone before")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roadstead-") as name:
        folder = Path(name)
        port, environment = prepare(folder)
        command = [sys.executable, "-m", "roadstead.daemon", str(folder / "fleet.yaml"), "--log", str(folder / "log")]
        daemon = subprocess.Popen(command, env=environment)
        client = Client(folder / "state" / "control.sock")
        try:
            ready = until_listed(client, REPLICAS)
            time.sleep(given.settle)
            found = {"replicas": REPLICAS, "all_ready_s": round(ready, 1)}
            process = psutil.Process(daemon.pid)
            found |= rest(process, port, given.seconds)
            found["tensorflow_imported"] = any("_pywrap_tensorflow" in one.path for one in process.memory_maps())
        finally:
            client.stop(stop_replicas=True)
            daemon.wait(120)
    for key, value in found.items():
        print(f"{key:<26} {value}")
    print(f"budget for rss: {BUDGET_BYTES / 1e6:g} MB, {'kept' if found['rss_mb'] * 1e6 <= BUDGET_BYTES else 'BROKEN'}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"machine": platform.platform(), "python": platform.python_version(), **found}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
