"""One Marathon: its parts put together, and what may be asked of it, without HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import attrs

from roadstead_backends.marathon.emulator.cluster.simulated import SimCluster
from roadstead_backends.marathon.emulator.paths import ROOT, PathId
from roadstead_backends.marathon.emulator.refusals import Refusal, illegal, not_found
from roadstead_backends.marathon.emulator.rules.conversion import AppIntake
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.deployments import Deployments
from roadstead_backends.marathon.emulator.scheduling.events import EventBus, as_play
from roadstead_backends.marathon.emulator.scheduling.groups import RootGroup
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.manager import GroupManager, reverted
from roadstead_backends.marathon.emulator.scheduling.moments import moment_of
from roadstead_backends.marathon.emulator.scheduling.plans import Plan
from roadstead_backends.marathon.emulator.scheduling.probing import Prober
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec, Stamps
from roadstead_backends.marathon.emulator.scheduling.supervision import Supervisor
from roadstead_backends.marathon.emulator.settings import Settings

__all__ = ["AppChange", "Asked", "Marathon"]


def _random_uuid() -> str:
    return str(uuid.uuid4())


class Marathon:
    """A framework on a cluster. Whoever calls it moves the cluster's time on."""

    def __init__(
        self,
        cluster: SimCluster,
        prober: Prober,
        settings: Settings | None = None,
        new_uuid: Callable[[], str] = _random_uuid,
    ) -> None:
        self.settings = settings or Settings()
        self.cluster = cluster
        self.timeline = cluster.timeline
        self.framework_id = f"{cluster.master_id}-0000"
        self.events = EventBus(self.timeline)
        self.supervisor = Supervisor(
            cluster=cluster, settings=self.settings, events=self.events, prober=prober, new_uuid=new_uuid
        )
        self.deployments = Deployments(timeline=self.timeline, events=self.events, hands=self.supervisor)
        self.manager = GroupManager(
            timeline=self.timeline,
            settings=self.settings,
            events=self.events,
            deployments=self.deployments,
            new_uuid=new_uuid,
        )
        self.supervisor.attach(
            changed=self.deployments.changed,
            deploying=lambda path: bool(self.deployments.ids_of(path)),
            current=lambda: tuple(self.manager.root.specs.values()),
        )

    @property
    def root(self) -> RootGroup:
        """The present tree."""
        return self.manager.root

    # Roles ----------------------------------------------------------------------------------------------------------

    def enforces_role(self, top: PathId) -> bool:
        """Whether a top-level group lets its services have no other role than its own name."""
        group = self.root.group(top)
        if group is not None:
            return bool(group.enforce_role)
        return self.settings.new_group_enforce_role == "Top"

    def roles_of(self, path: PathId) -> tuple[list[str], str]:
        """The roles that an app or pod of that path may have, and the one that it gets by itself."""
        own = self.settings.mesos_role
        if path.parent.is_root:
            return [own], own
        group_role = path.top.segments[0]
        if self.enforces_role(path.top):
            return list(dict.fromkeys([group_role, *self._role_of(path)])), group_role
        return list(dict.fromkeys([own, group_role, *self._role_of(path)])), own

    def _role_of(self, path: PathId) -> list[str]:
        spec = self.root.spec(path)
        return [spec.role] if spec is not None else []

    def intake(self, path: PathId) -> AppIntake:
        """The way in for an app of that path."""
        roles, default = self.roles_of(path)
        return self._intake(roles, default)

    def intake_in_group(self, path: PathId, *, default: str, enforced: bool) -> AppIntake:
        """The way in for an app of that path in the update of a group, which knows fewer roles than the app alone."""
        own = [] if enforced else [self.settings.mesos_role]
        roles = list(dict.fromkeys([default, *own, *self._role_of(path)]))
        return attrs.evolve(self._intake(roles, default), in_group=True)

    def _intake(self, roles: list[str], default: str) -> AppIntake:
        return AppIntake(
            features=self.settings.features,
            default_network=self.settings.default_network_name,
            bridge=self.settings.mesos_bridge_name,
            roles=roles,
            default_role=default,
        )

    # Apps -----------------------------------------------------------------------------------------------------------

    def create_app(self, path: PathId, document: Document, *, force: bool, asked: Asked) -> tuple[RunSpec, Plan]:
        """Add an app."""
        version = self.manager.new_version()
        spec = RunSpec(id=path, document=document, stamps=Stamps.of_new(version))

        def change(root: RootGroup) -> RootGroup:
            if root.app(path) is not None:
                raise Refusal(409, {"message": f"An app with id [{path}] already exists."})
            return root.put_spec(spec, version)

        plan = self.manager.update(path.parent, change, version, force=force)
        self._tell_post(spec, asked, with_info=False)
        return spec, plan

    def change_apps(self, updates: list[AppChange], *, force: bool, asked: Asked, single: bool) -> Plan:
        """Change, and where allowed create, apps in one deployment.

        What is wrong with a single one, or with the form of several, is found before the tree is touched, and told to
        nobody but who asked; the rest fails as a change of the tree. Only of a single one an event tells who asked.
        """
        self._check_first(updates, single=single)
        version = self.manager.new_version()
        rollbacks: list[PathId] = []

        def change(root: RootGroup) -> RootGroup:
            tree = root
            for update in updates:
                spec = self._changed(tree, update, version)
                if "version" in update.body and not update.whole:
                    rollbacks.append(spec.id)
                tree = tree.put_spec(spec, version)
            return tree.put_group(tree.tree, version) if not updates else tree

        before = self.root
        group = updates[0].path.parent if single else ROOT
        plan = self.manager.update(group, change, version, force=force)
        for path in rollbacks:
            spec = self.root.app(path)
            if spec is not None and before.app(path) is spec:
                self.manager.store.repeat(spec)
        spec = self.root.app(updates[0].path) if single else None
        if spec is not None:
            self._tell_post(spec, asked, with_info=True)
        return plan

    def _check_first(self, updates: list[AppChange], *, single: bool) -> None:
        for update in updates:
            intake, current = self.intake(update.path), self.root.app(update.path)
            if update.whole:
                intake.admitted(update.body)
            elif single and current is not None:
                intake.changed(update.body, current.document)
            else:
                intake.normalized(update.body)

    def _changed(self, root: RootGroup, update: AppChange, version: int) -> RunSpec:
        path, body = update.path, update.body
        current = root.app(path)
        if current is None and not update.creates:
            raise not_found("App", path)
        if current is not None and "version" in body and not update.whole:
            return self._rolled_back(current, body)
        intake = self.intake(path)
        if update.whole:
            document = intake.admitted(body)
        elif current is None:
            document = intake.created(body, str(path))
        else:
            document = intake.changed(body, current.document)
        if current is None:
            return RunSpec(id=path, document=document, stamps=Stamps.of_new(version))
        changed = attrs.evolve(current, document=document)
        return current if document == current.document else changed

    def _rolled_back(self, current: RunSpec, body: Document) -> RunSpec:
        old = self.manager.store.spec(current.id, moment_of(body["version"]))
        if old is None:
            raise not_found("App", current.id)
        return current if old.document == current.document else old

    def _tell_post(self, spec: RunSpec, asked: Asked, *, with_info: bool) -> None:
        self.events.publish(
            "api_post_event",
            clientIp=asked.client,
            uri=asked.uri,
            appDefinition=as_play(self.settings.profile.seen(spec.shown(with_info=with_info))),
        )

    def restart_app(self, path: PathId, *, force: bool) -> Plan:
        """Replace all instances of an app."""
        version = self.manager.new_version()

        def change(root: RootGroup) -> RootGroup:
            spec = root.app(path)
            if spec is None:
                raise not_found("App", path)
            return root.put_spec(attrs.evolve(spec, stamps=spec.stamps.restarted(version)), version)

        return self.manager.update(path.parent, change, version, force=force)

    def delete_app(self, path: PathId, *, force: bool) -> Plan:
        """Remove an app."""
        version = self.manager.new_version()

        def change(root: RootGroup) -> RootGroup:
            if root.app(path) is None:
                raise not_found("App", path)
            return root.without_spec(path, version)

        return self.manager.update(path.parent, change, version, force=force)

    def kill_and_scale(self, victims: dict[PathId, list[Instance]], *, force: bool) -> Plan:
        """End instances, and want so many fewer of their apps; of those that are being ended already nobody is missed.

        Where an app has no instance at all, the original says that there is no such path.
        """
        for path in victims:
            if not self.supervisor.of(path):
                raise not_found("Path", path)
        version = self.manager.new_version()

        def change(root: RootGroup) -> RootGroup:
            tree = root
            for path, instances in victims.items():
                spec = root.spec(path)
                if spec is not None:
                    fewer = sum(instance.is_launched and instance.condition != "Killing" for instance in instances)
                    tree = tree.put_spec(spec.with_instances(max(0, spec.instances - fewer)), version)
            return tree

        ids = {path: tuple(instance.id for instance in instances) for path, instances in victims.items()}
        return self.manager.update(ROOT, change, version, force=force, victims=ids)

    # Deployments ----------------------------------------------------------------------------------------------------

    def roll_back(self, deployment_id: str) -> Plan:
        """Undo what a deployment under way brings, by another one."""
        plan = self.deployments.plan(deployment_id)
        if plan is None:
            raise illegal(f"no deployment {deployment_id}")
        version = self.manager.new_version()
        return self.manager.update(ROOT, lambda root: reverted(plan, root, version), version, force=True)


@attrs.frozen(kw_only=True)
class Asked:
    """Who asked, and for what address."""

    client: str
    uri: str


@attrs.frozen(kw_only=True)
class AppChange:
    """A change of one app: what its JSON says, whether that is the whole app, and whether the app may be new."""

    path: PathId
    body: dict[str, Any]
    whole: bool = False
    creates: bool = True
