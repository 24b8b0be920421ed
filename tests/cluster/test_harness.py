"""The harness itself: what is started works, can be broken and mended, and leaves nothing behind."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.node import is_ready

pytestmark = pytest.mark.kubernetes


def test_a_control_plane_answers_with_the_version_that_was_built(control_plane: Cluster) -> None:
    """The API server calls itself what go.mod pins."""
    assert "v1.37.2" == control_plane.api.get("/version")["gitVersion"]


def test_a_node_joins_the_cluster(cluster: Cluster) -> None:
    """A real kubelet registers, and the control plane finds it ready."""
    assert is_ready(cluster.api.get("/api/v1/nodes/node-1"))
