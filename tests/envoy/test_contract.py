"""The contract, kept by the real gateway and by the simulated one: what is tested with the one holds for the other."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
import pytest

from roadstead.spi.gateway import Gateway
from roadstead.testing.gateway import SimulatedGateway
from roadstead.testing.proxy import Answer, Proxy
from roadstead.traffic import Endpoint
from tests.envoy.backend import Replica
from tests.envoy.conftest import Subject, own_address
from tests.envoy.contract import GatewayContract, GatewaySubject


@attrs.define
class _Real:
    of: Subject
    replica: Callable[[], Replica]

    @property
    def gateway(self) -> Gateway:
        return self.of.gateway

    def endpoints(self, count: int) -> tuple[Endpoint, ...]:
        return tuple(self.replica().endpoint for _ in range(count))

    def reopen(self) -> None:
        self.of.reopen()


@attrs.define
class _Simulated:
    proxy: Proxy
    gateway: Gateway

    def endpoints(self, count: int) -> tuple[Endpoint, ...]:
        return tuple(Endpoint(host=own_address(), grpc=8500, rest=8501) for _ in range(count))

    def reopen(self) -> None:
        self.gateway.close()
        self.gateway = SimulatedGateway(self.proxy)


class TestEnvoy(GatewayContract):
    """With the real one."""

    @pytest.fixture
    def subject(self, subject: Subject, replica: Callable[[], Replica]) -> GatewaySubject:
        """A gateway with the default options."""
        return _Real(subject, replica)


class TestSimulated(GatewayContract):
    """With the one that everything else is tested with."""

    @pytest.fixture
    def subject(self) -> GatewaySubject:
        """A proxy without faults, whose replicas all answer."""
        proxy = Proxy(now=lambda: round(time.time() * 1000), answers=lambda endpoint: Answer(endpoint.host))
        return _Simulated(proxy, SimulatedGateway(proxy))
