"""What people and programs are told: status, plan and explanation, derived from what a decision saw and decided.

Pure like the rest of ``decide``: the same fleet, world, plan and time give the same report. How a report looks on a
screen is the command line's affair; on a wire it is whatever :func:`roadstead.wire.to_wire` makes of it, and nothing
is left out of it, because no field here has a default. ``null`` means that something is not known, and is never
written as 0.
"""

from roadstead.decide.report.causes import Cause, Remedy
from roadstead.decide.report.differences import FieldChange, differences
from roadstead.decide.report.drift import FieldDrift, FleetDrift, GroupDrift, fleet_drift
from roadstead.decide.report.foresight import grown
from roadstead.decide.report.limits import (
    DeploymentLimits,
    DeviceLimits,
    ExcessStatus,
    FleetLimits,
    Measure,
    NodeLimits,
    OwnerLimits,
    ReplicaLimits,
    fleet_limits,
)
from roadstead.decide.report.movements import PlaceStatus
from roadstead.decide.report.orders import IntentStatus, intents_of
from roadstead.decide.report.planview import (
    Action,
    DeploymentPlan,
    Moved,
    Placed,
    PlanView,
    plan_view,
)
from roadstead.decide.report.quotas import QuotaChange
from roadstead.decide.report.rerouting import AddressChange
from roadstead.decide.report.routes import AddressStatus, GatewayStatus, LoadStatus, Way, authority
from roadstead.decide.report.scaling import MetricStatus, Replay, ScalingStatus, scaling_of
from roadstead.decide.report.scene import fleet_status
from roadstead.decide.report.server_loads import ServerLoadStatus
from roadstead.decide.report.status import (
    Abilities,
    Amounts,
    ClusterStatus,
    Condition,
    ConditionName,
    DeploymentStatus,
    DeviceStatus,
    FleetStatus,
    GroupStatus,
    Life,
    NodeStatus,
    Orphan,
    QuotaStatus,
    ReplicaStatus,
    RolloutState,
    Service,
    endpoints,
)
from roadstead.decide.report.steps import StepKind, StepView
from roadstead.decide.report.verdict import Verdict, verdict
from roadstead.decide.report.why import AtLimit, Explanation, LastExit, Overdue, Passing, Waiting, explanation

__all__ = [
    "Abilities",
    "Action",
    "AddressChange",
    "AddressStatus",
    "Amounts",
    "AtLimit",
    "Cause",
    "ClusterStatus",
    "Condition",
    "ConditionName",
    "DeploymentLimits",
    "DeploymentPlan",
    "DeploymentStatus",
    "DeviceLimits",
    "DeviceStatus",
    "ExcessStatus",
    "Explanation",
    "FieldChange",
    "FieldDrift",
    "FleetDrift",
    "FleetLimits",
    "FleetStatus",
    "GatewayStatus",
    "GroupDrift",
    "GroupStatus",
    "IntentStatus",
    "LastExit",
    "Life",
    "LoadStatus",
    "Measure",
    "MetricStatus",
    "Moved",
    "NodeLimits",
    "NodeStatus",
    "Orphan",
    "Overdue",
    "OwnerLimits",
    "Passing",
    "PlaceStatus",
    "Placed",
    "PlanView",
    "QuotaChange",
    "QuotaStatus",
    "Remedy",
    "Replay",
    "ReplicaLimits",
    "ReplicaStatus",
    "RolloutState",
    "ScalingStatus",
    "ServerLoadStatus",
    "Service",
    "StepKind",
    "StepView",
    "Verdict",
    "Waiting",
    "Way",
    "authority",
    "differences",
    "endpoints",
    "explanation",
    "fleet_drift",
    "fleet_limits",
    "fleet_status",
    "grown",
    "intents_of",
    "plan_view",
    "scaling_of",
    "verdict",
]
