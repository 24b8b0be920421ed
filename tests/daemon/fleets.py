"""Fleet files for the daemon's tests; PORT stands for the monitoring port, EDGE for that of the gateway."""

from __future__ import annotations

SIMULATED = """
version: 1
fleet: shop
clusters:
  here: {backend: simulated, options: {speed: 100}}
quotas: {search: {}}
defaults:
  owner: search
  runtime: {name: simulated}
  resources: {cpu: 500m, memory: 256Mi}
  health: {every: 500ms}
  stop: {drain_within: 0s}
deployments:
  minilm:
    model: {source: models/minilm}
    replicas: 2
daemon: {http: "127.0.0.1:PORT", state: state, turn: 500ms}
"""

LOCAL = """
version: 1
fleet: shop
clusters:
  here: {backend: local, options: {cpu: 2, memory: 1Gi}}
quotas: {search: {}}
defaults:
  owner: search
  runtime: {name: tiny}
  resources: {cpu: 200m, memory: 64Mi}
  health: {every: 500ms}
  stop: {drain_within: 0s, kill_after: 1s}
deployments:
  minilm:
    model: {source: models/minilm}
    replicas: 2
daemon: {http: "127.0.0.1:PORT", state: state, turn: 500ms}
"""

ROUTED = """
version: 1
fleet: shop
clusters:
  here: {backend: local, options: {cpu: 2, memory: 1Gi}}
gateways:
  edge: {kind: envoy, address: 127.0.0.1, ports: EDGE-EDGE}
quotas: {search: {}}
defaults:
  owner: search
  runtime: {name: tiny}
  resources: {cpu: 200m, memory: 64Mi}
  health: {every: 500ms}
  stop: {drain_within: 2m, kill_after: 1s}
deployments:
  minilm:
    model: {source: models/minilm}
    replicas: 2
daemon: {http: "127.0.0.1:PORT", state: state, turn: 500ms}
"""
