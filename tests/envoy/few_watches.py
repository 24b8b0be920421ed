"""Run in a user namespace of its own: a gateway where the kernel lets so few files be watched.

``few_watches.py ROOT ADDRESS``. Three deployments are offered where there is room for two; then there is room for all.
Prints a line of JSON for each of the two moments: the problem of every deployment.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from roadstead.errors import Unreachable
from roadstead.spi.gateway import GatewayContext, Route, RouteTable
from roadstead.traffic import GatewayView
from roadstead_plugins.gateways.envoy.gateway import EnvoyGateway, connect
from roadstead_plugins.gateways.envoy.options import EnvoyOptions

LIMIT = Path("/proc/sys/user/max_inotify_instances")
NAMES = ("a", "b", "c")


def first(gateway: EnvoyGateway, holds: Callable[[GatewayView], bool]) -> GatewayView:
    """Return the first view of which ``holds`` is true."""
    pause = threading.Event()
    for _ in range(6000):
        with contextlib.suppress(Unreachable):
            view = gateway.view()
            if holds(view):
                return view
        pause.wait(0.01)
    raise AssertionError("not within a minute")


def problems(view: GatewayView) -> str:
    """Return what is wrong with each deployment."""
    return json.dumps({name: view.routes[name].problem for name in NAMES})


if __name__ == "__main__":
    LIMIT.write_text("12")  # two for what all have in common, three for each deployment, four to spare
    gateway = connect(
        GatewayContext(
            name="edge",
            fleet="tests",
            owner_id="0123456789",
            address=sys.argv[2],
            tls=None,
            options=EnvoyOptions(),
            root=Path(sys.argv[1]),
        )
    )
    try:
        routes = {name: Route(deployment=name, port=18000 + place, destinations=()) for place, name in enumerate(NAMES)}
        gateway.route(RouteTable(routes))
        print(problems(first(gateway, lambda view: bool(view.problem) and not view.routes["b"].problem)))  # noqa: T201
        LIMIT.write_text("100")
        print(problems(first(gateway, lambda view: view.settled)))  # noqa: T201
    finally:
        gateway.stop()
        gateway.close()
