"""What a Marathon is started with: the flags that change what it answers, and the version it pretends to be."""

from __future__ import annotations

from typing import Any, Final

import attrs

__all__ = ["PROFILES", "Profile", "Settings", "profile_named"]


@attrs.frozen(kw_only=True)
class Profile:
    """A version of Marathon, and what sets it apart from the others."""

    name: str
    version: str
    buildref: str
    roles: bool
    """Whether apps, tasks and queue have a ``role`` and groups enforce one (since 1.9)."""
    statistics: str
    """The key under which an app's statistics are embedded."""
    group_by_quota: bool
    """Whether ``GROUP_BY`` spreads by a quota of instances over groups (1.11) or by the smallest group."""
    running_deployments: int | None
    """How many deployments may run before another is refused with 403; None where there was no limit yet."""
    resource_limits: bool
    """Whether apps have ``resourceLimits`` (since 1.10)."""

    @property
    def lacks(self) -> frozenset[str]:
        """The fields that it does not know yet: it overlooks them in what is asked, and has them in no answer."""
        roles = () if self.roles else ("role", "enforceRole")
        return frozenset({*roles, *(() if self.resource_limits else ("resourceLimits",))})

    def seen(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document without those."""
        lacks = self.lacks
        return {key: item for key, item in document.items() if key not in lacks} if lacks else document


PROFILES: Final = (
    Profile(
        name="1.11",
        version="1.11.26",
        buildref="90619da70d79a2ecf19368a21c6a695ea981bd74",
        roles=True,
        statistics="tasksStats",
        group_by_quota=True,
        running_deployments=100,
        resource_limits=True,
    ),
    Profile(
        name="1.8",
        version="1.8.243",
        buildref="unknown",
        roles=False,
        statistics="taskStats",
        group_by_quota=False,
        running_deployments=100,
        resource_limits=False,
    ),
)


def profile_named(name: str) -> Profile:
    """Return the profile of that version."""
    for profile in PROFILES:
        if profile.name == name:
            return profile
    raise ValueError(f"no profile {name!r}; there are {', '.join(profile.name for profile in PROFILES)}")


@attrs.frozen(kw_only=True)
class Settings:
    """The flags of one Marathon; durations in milliseconds, as ``/v2/info`` shows them."""

    profile: Profile = PROFILES[0]
    hostname: str = "127.0.0.1"
    http_port: int = 8080
    features: frozenset[str] = frozenset()
    default_network_name: str | None = None
    mesos_bridge_name: str = "mesos-bridge"
    mesos_role: str = "*"
    new_group_enforce_role: str = "Off"
    credentials: str | None = None
    """``user:password``, or None for no authentication."""
    allow_origin: tuple[str, ...] | None = None
    zookeeper: str = "zk://127.0.0.1:2181/marathon"
    mesos_master: str = "zk://127.0.0.1:2181/mesos"
    mesos_leader_ui: str = "http://127.0.0.1:5050/"
    local_port_min: int = 10000
    local_port_max: int = 20000
    decline_offer_duration: int = 120_000
    launch_token: int = 100
    launch_token_refresh_interval: int = 30_000
    max_instances_per_offer: int = 5
    min_revive_offers_interval: int = 5_000
    reconciliation_interval: int = 600_000
    scale_apps_initial_delay: int = 15_000
    scale_apps_interval: int = 300_000
    task_launch_confirm_timeout: int = 300_000
    task_launch_timeout: int = 300_000
    task_lost_expunge_initial_delay: int = 300_000
    task_lost_expunge_interval: int = 30_000
    kill_retry_timeout: int = 30_000
    kill_chunk: int = 100
    gpu_scheduling_behavior: str = "restricted"
    zk_max_versions: int = 50
    event_buffer: int = 1024
    """Events that a slow reader of the stream may lag behind before its connection is closed."""
