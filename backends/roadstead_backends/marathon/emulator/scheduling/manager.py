"""Changes of the tree: versions, service ports, rules of the whole, the deployment that follows (``GroupManager``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs

from roadstead_backends.marathon.emulator.cluster.timeline import Timeline
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.refusals import Refusal, Violations
from roadstead_backends.marathon.emulator.rules.crashes import crash_of
from roadstead_backends.marathon.emulator.rules.documents import container_of, volumes_of
from roadstead_backends.marathon.emulator.scheduling.deployments import Deployments
from roadstead_backends.marathon.emulator.scheduling.events import EventBus
from roadstead_backends.marathon.emulator.scheduling.groups import Group, RootGroup
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.plans import Plan, steps_between
from roadstead_backends.marathon.emulator.scheduling.residents import check_residents
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec, Stamps
from roadstead_backends.marathon.emulator.scheduling.store import Store
from roadstead_backends.marathon.emulator.settings import Settings

__all__ = ["GroupManager", "reverted"]

Change = Callable[[RootGroup], RootGroup]


class GroupManager:
    """Holds the present tree and changes it."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        settings: Settings,
        events: EventBus,
        deployments: Deployments,
        new_uuid: Callable[[], str],
    ) -> None:
        self._timeline = timeline
        self._settings = settings
        self._events = events
        self._deployments = deployments
        self._new_uuid = new_uuid
        self.root = RootGroup.empty(enforce_new=settings.new_group_enforce_role == "Top")
        self.store = Store(self.root, settings.zk_max_versions)
        self._last_version = 0

    def new_version(self) -> int:
        """A version for a change: the present moment, later than any before."""
        self._last_version = max(self._timeline.now, self._last_version + 1)
        return self._last_version

    def update(
        self,
        changed_group: PathId,
        change: Change,
        version: int,
        *,
        force: bool,
        victims: Mapping[PathId, tuple[str, ...]] | None = None,
    ) -> Plan:
        """Change the tree and deploy the difference; tell of it on the event bus, also where it fails."""
        try:
            return self._update(changed_group, change, version, force=force, victims=victims or {})
        except Refusal as refusal:
            self._events.publish(
                "group_change_failed", groupId=str(changed_group), version=written(version), reason=refusal.message
            )
            raise

    def _update(
        self,
        changed_group: PathId,
        change: Change,
        version: int,
        *,
        force: bool,
        victims: Mapping[PathId, tuple[str, ...]],
    ) -> Plan:
        limit = self._settings.profile.running_deployments
        if limit is not None and self._deployments.count >= limit and not force:
            message = (
                f"Max number ({limit}) of running deployments is achieved. Wait for existing deployments to complete or"
                " cancel one using force=true parameter. You can increase max deployment number by using"
                " --max_running_deployments parameter but be advised that this can have negative effects on the"
                " performance."
            )
            raise Refusal(403, {"message": message})
        original = self.root
        target = self.with_ports(original, _versioned(original, change(original), version))
        check_tree(target)
        check_residents(original, target)
        self._check_crashes(original, target)
        steps = steps_between(original, target, victims)
        plan = Plan(id=self._new_uuid(), original=original, target=target, steps=steps, version=version)
        self._deploy(plan, force=force)
        self._events.publish("group_change_success", groupId=str(changed_group), version=written(version))
        return plan

    def _check_crashes(self, original: RootGroup, target: RootGroup) -> None:
        """Refuse what the original would accept, and then launch nothing any more."""
        before, quota = original.specs, self._settings.profile.group_by_quota
        for path, spec in target.specs.items():
            if before.get(path) is not spec and spec.instances:
                why = crash_of(spec.document, is_pod=spec.is_pod, quota=quota)
                if why is not None:
                    raise Refusal(422, {"message": "Object is not valid", "details": [{"path": "/", "errors": [why]}]})

    def _deploy(self, plan: Plan, *, force: bool) -> None:
        before, after = plan.original.specs, plan.target.specs
        changed = [spec for path, spec in after.items() if before.get(path) is not spec]
        gone = [path for path in before if path not in after]
        self._deployments.begin(plan, force=force)
        self.root = plan.target
        self.store.keep(plan.target, changed, gone)

    def with_ports(self, original: RootGroup, target: RootGroup) -> RootGroup:
        """The tree with a service port for each left to Marathon: the app's own of before, or the next free."""
        taken = {port for app in target.tree.all_apps() for port in app.service_ports}
        low, high = self._settings.local_port_min, self._settings.local_port_max
        free = (port for port in range(low, high) if port not in taken)

        def assigned(app: RunSpec) -> RunSpec:
            ports = app.service_ports
            if 0 not in ports:
                return app
            old = original.app(app.id)
            kept = [
                port
                for port in (old.service_ports if old is not None else ())
                if low <= port < high and port not in ports
            ]
            found: list[int] = []
            for port in ports:
                chosen = port or (kept.pop(0) if kept else next(free, 0))
                taken.add(chosen)
                found.append(chosen)
            same = old is not None and old.service_ports == found
            return _port_assigned(app, found, old if same else None)

        return target.mapped_apps(assigned)


def _port_assigned(app: RunSpec, ports: list[int], old: RunSpec | None) -> RunSpec:
    """The app with those service ports; what it was before if that makes it the same again."""
    document = dict(app.document)
    mappings = container_of(document).get("portMappings")
    if mappings is not None:
        pairs = zip(mappings, ports, strict=True)
        document["container"] = {
            **document["container"],
            "portMappings": [{**mapping, "servicePort": port} for mapping, port in pairs],
        }
    else:
        definitions = document.get("portDefinitions") or []
        pairs = zip(definitions, ports, strict=True)
        document["portDefinitions"] = [{**definition, "port": port} for definition, port in pairs]
    if old is not None and old.document == document:
        return old
    return attrs.evolve(app, document=document)


def _versioned(original: RootGroup, target: RootGroup, version: int) -> RootGroup:
    """The tree with the stamps that each changed app and pod gets (``GroupVersioningUtil``)."""
    before = original.specs

    def stamped(spec: RunSpec) -> RunSpec:
        old = before.get(spec.id)
        if old is spec:
            return spec
        if old is None:
            return attrs.evolve(spec, stamps=Stamps.of_new(version))
        if _with_old_ports(spec, old).is_upgrade_of(old):
            return attrs.evolve(spec, stamps=Stamps.of_new(version))
        if spec.instances != old.instances:
            return attrs.evolve(spec, stamps=old.stamps.scaled(version))
        if spec.stamps == old.stamps.restarted(version):
            return spec
        return attrs.evolve(spec, stamps=old.stamps)

    tree = target.mapped_apps(stamped)
    pods = {pod.id: stamped(pod) for pod in tree.tree.all_pods()}
    for pod in pods.values():
        if tree.pod(pod.id) is not pod:
            tree = tree.put_spec(pod, target.version)
    return tree


def _with_old_ports(spec: RunSpec, old: RunSpec) -> RunSpec:
    """The app as it will be once the service ports that it leaves open are those that it had."""
    ports, had = spec.service_ports, old.service_ports
    if spec.is_pod or 0 not in ports:
        return spec
    spare = [port for port in had if port not in ports]
    filled = [port or (spare.pop(0) if spare else 0) for port in ports]
    return _port_assigned(spec, filled, None)


def check_tree(root: RootGroup) -> None:
    """Refuse a tree that breaks a rule of the whole."""
    found = Violations()
    if root.has_cycle():
        found.add("/", "Dependency graph has cyclic dependencies.")
    _check_group(root.tree, "/", found)
    for index, group in enumerate(_children_first(root.tree)):
        _check_group(group, f"/groups({index})", found)
        if group.id.is_root or root.group(group.id) is not group:
            found.add(f"/groups({index})", "Group has to be child of groups with parent id")
    _check_dvdi(root.tree, "", _owners(root), found)
    found.raise_any()


def _check_group(group: Group, path: str, found: Violations) -> None:
    apps = {app.id for app in group.all_apps()}
    pods = {pod.id for pod in group.all_pods()}
    found.check(not apps & pods, path, "Applications and Pods may not share the same id")
    found.check(
        not set(group.groups) & set(group.apps), path, "Groups and Applications may not have the same identifier."
    )
    found.check(not set(group.groups) & set(group.pods), path, "Groups and Pods may not have the same identifier.")


def _children_first(group: Group) -> Iterator[Group]:
    """All groups below, each after those that it holds."""
    for child in group.groups.values():
        yield from _children_first(child)
        yield child


def _check_dvdi(group: Group, path: str, owners: Mapping[str, Sequence[PathId]], found: Violations) -> None:
    """Note volumes that several apps use, which may be mounted only once."""
    for index, app in enumerate(group.apps.values()):
        for name in _unshared(app):
            others = ", ".join(str(owner) for owner in owners[name] if owner != app.id)
            message = f"Volume name '{name}' in {app.id} conflicts with volume(s) of same name in app(s): {others}"
            found.check(not others, f"{path}/apps({index})/container", message)
    for index, child in enumerate(group.groups.values()):
        _check_dvdi(child, f"{path}/groups({index})", owners, found)


def _owners(root: RootGroup) -> dict[str, list[PathId]]:
    """The apps that use each volume that may be mounted only once."""
    owners: dict[str, list[PathId]] = {}
    for app in root.tree.all_apps():
        for name in _unshared(app):
            owners.setdefault(name, []).append(app.id)
    return owners


def _unshared(app: RunSpec) -> list[str]:
    volumes = [volume["external"] for volume in volumes_of(app.document, "external")]
    return [
        volume["name"]
        for volume in volumes
        if volume.get("provider") == "dvdi" and volume.get("name") is not None and not volume.get("shared")
    ]


def reverted(plan: Plan, root: RootGroup, version: int) -> RootGroup:
    """The present tree without what a plan brought: its apps and pods as they were (``DeploymentPlanReverter``)."""
    before, after = plan.original.specs, plan.target.specs
    tree = root
    for path, spec in after.items():
        old = before.get(path)
        if old is None:
            tree = tree.without_spec(path, version)
        elif old is not spec:
            tree = tree.put_spec(old, version)
    for path, spec in before.items():
        if path not in after:
            tree = tree.put_spec(spec, version)
    old_groups, new_groups = ({group.id: group for group in each.tree.walk()} for each in (plan.original, plan.target))
    for path in sorted({**old_groups, **new_groups}, reverse=True):
        tree = _group_reverted(tree, old_groups.get(path), new_groups.get(path), version)
    return tree


def _group_reverted(root: RootGroup, old: Group | None, new: Group | None, version: int) -> RootGroup:
    """The tree without the change of one group: groups are not locked, so others may have changed it as well."""
    if new is None and old is not None:
        present = root.group(old.id) or root.new_group(old.id)
        return _with_dependencies(root, present, add=old.dependencies, version=version)
    if old is None and new is not None:
        added = root.group(new.id)
        if added is None:
            return root
        if not (added.apps or added.pods or added.groups) and set(added.dependencies) == set(new.dependencies):
            return root.without_group(added.id, version)
        return _with_dependencies(root, added, drop=new.dependencies, version=version) if new.dependencies else root
    if old is not None and new is not None and set(old.dependencies) != set(new.dependencies):
        present = root.group(old.id) or root.new_group(old.id)
        add = [each for each in old.dependencies if each not in new.dependencies]
        drop = [each for each in new.dependencies if each not in old.dependencies]
        return _with_dependencies(root, present, add=add, drop=drop, version=version)
    return root


def _with_dependencies(
    root: RootGroup, group: Group, *, add: Iterable[PathId] = (), drop: Iterable[PathId] = (), version: int
) -> RootGroup:
    """The tree with that group, which may be gone, and these dependencies of it more and fewer."""
    dropped = set(drop)
    kept = [each for each in dict.fromkeys((*group.dependencies, *add)) if each not in dropped]
    return root.put_group(attrs.evolve(group, dependencies=tuple(kept)), version)
