"""``/v2/pods``: pods, their status, versions and instances."""

from __future__ import annotations

import re
from typing import Any, Final

from roadstead_backends.marathon.emulator.documents.pod_types import INSTANCE_IDS, POD
from roadstead_backends.marathon.emulator.http.apps import absolute
from roadstead_backends.marathon.emulator.http.intake import json_of, known, typed
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, json_answer
from roadstead_backends.marathon.emulator.http.pod_status import instance_status
from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.refusals import Refusal, Violations, not_found, unknown
from roadstead_backends.marathon.emulator.rules.apps import check_path
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.rules.pods import PodIntake
from roadstead_backends.marathon.emulator.scheduling.events import as_play
from roadstead_backends.marathon.emulator.scheduling.groups import RootGroup
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.moments import moment_of, written
from roadstead_backends.marathon.emulator.scheduling.plans import Plan
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec, Stamps
from roadstead_backends.marathon.emulator.scheduling.task_ids import check_uuid

__all__ = ["Pods"]

_INSTANCE_PATTERN: Final = r"^(.+)\.(instance-|marathon-)([^\.]+)$"


class Pods:
    """The resource of pods."""

    def __init__(self, marathon: Marathon) -> None:
        self._marathon = marathon

    # Reading --------------------------------------------------------------------------------------------------------

    @staticmethod
    def capability(_request: Request) -> Answer:
        """Say that pods are known."""
        return Answer()

    def _shown(self, pod: RunSpec) -> Document:
        return self._marathon.settings.profile.seen(pod.shown())

    def index(self, _request: Request) -> Answer:
        """List the pods."""
        return json_answer([self._shown(pod) for pod in self._marathon.root.tree.all_pods()])

    def show(self, _request: Request, pod_id: str) -> Answer:
        """Show a pod."""
        path = _valid(pod_id)
        pod = self._marathon.root.pod(path)
        if pod is None:
            # The original puts JSON into a message of JSON.
            raise Refusal(404, {"message": f'{{"message": "pod with {path} does not exist"}}', "details": []})
        return json_answer(self._shown(pod))

    def all_status(self, _request: Request) -> Answer:
        """Show the status of every pod."""
        return json_answer([_status_as_play(self.status_of(pod)) for pod in self._marathon.root.tree.all_pods()])

    def status(self, _request: Request, pod_id: str) -> Answer:
        """Show the status of a pod."""
        return json_answer(_status_as_play(self.status_of(self._pod(pod_id))))

    def versions(self, _request: Request, pod_id: str) -> Answer:
        """List the versions of a pod."""
        pod = self._pod(pod_id)
        return json_answer([written(each) for each in self._marathon.manager.store.versions(pod.id)])

    def version(self, _request: Request, pod_id: str, version: str) -> Answer:
        """Show a pod in one of its versions."""
        moment = moment_of(version)
        path = _valid(pod_id)
        found = self._marathon.manager.store.spec(path, moment)
        if found is None:
            raise unknown("Pod", path)
        return json_answer(self._shown(found))

    def _pod(self, pod_id: str) -> RunSpec:
        path = _valid(pod_id)
        pod = self._marathon.root.pod(path)
        if pod is None:
            raise unknown("Pod", path)
        return pod

    # Changing -------------------------------------------------------------------------------------------------------

    def create(self, request: Request) -> Answer:
        """Add a pod."""
        pod = typed(known(json_of(request.body), self._marathon.settings.profile), POD)
        path = absolute(pod["id"])
        document = self._intake(path).admitted(pod)

        def fresh(root: RootGroup) -> None:
            if root.pod(path) is not None:
                raise Refusal(409, {"message": f"A pod with id [{path}] already exists."})

        spec, plan = self._put(path, document, fresh, force=request.flag("force"))
        self._tell("pod_created_event", request)
        headers = {"Location": str(path), "Marathon-Deployment-Id": plan.id}
        return json_answer(self._shown(spec), 201, headers)

    def update(self, request: Request, pod_id: str) -> Answer:
        """Change a pod, or add it."""
        path = absolute(pod_id)
        pod = typed(known(json_of(request.body), self._marathon.settings.profile), POD)
        intake = self._intake(path)
        intake.check(pod)
        if absolute(pod["id"]) != path:
            raise Refusal(400, {"message": f"'{path}' does not match definition's id ('{pod['id']}')"})
        document = intake.converted(pod)
        spec, plan = self._put(path, document, lambda _root: None, force=request.flag("force"))
        self._tell("pod_updated_event", request)
        return json_answer(self._shown(spec), 200, {"Marathon-Deployment-Id": plan.id})

    def _intake(self, path: PathId) -> PodIntake:
        roles, default = self._marathon.roles_of(path)
        settings = self._marathon.settings
        return PodIntake(
            features=settings.features,
            default_network=settings.default_network_name,
            roles=roles,
            default_role=default,
        )

    def _put(self, path: PathId, document: Document, check: Any, *, force: bool) -> tuple[RunSpec, Plan]:
        manager = self._marathon.manager
        version = manager.new_version()

        def change(root: RootGroup) -> RootGroup:
            check(root)
            old = root.pod(path)
            stamps = old.stamps if old is not None else Stamps.of_new(version)
            same = old is not None and old.document == document
            spec = old if same and old is not None else RunSpec(id=path, document=document, stamps=stamps, is_pod=True)
            return root.put_spec(spec, version)

        plan = manager.update(path.parent, change, version, force=force)
        spec = self._marathon.root.pod(path)
        if spec is None:
            raise unknown("Pod", path)
        return spec, plan

    def remove(self, request: Request, pod_id: str) -> Answer:
        """Remove a pod."""
        pod = self._pod(pod_id)
        version = self._marathon.manager.new_version()
        plan = self._marathon.manager.update(
            pod.id.parent, lambda root: root.without_spec(pod.id, version), version, force=request.flag("force")
        )
        self._tell("pod_deleted_event", request)
        headers = {"Location": f"/{plan.id}", "Marathon-Deployment-Id": plan.id}
        return Answer(status=202, headers=headers, content_type=None)

    def _tell(self, kind: str, request: Request) -> None:
        self._marathon.events.publish(kind, clientIp=request.client, uri=request.uri or request.path)

    def kill_instance(self, request: Request, pod_id: str, instance_id: str) -> Answer:
        """End one instance."""
        _valid(pod_id)
        _check_instance_ids([instance_id], "/")
        killed = self._kill(request, pod_id, [instance_id])
        if not killed:
            raise unknown("Task", instance_id)
        return json_answer(killed[0])

    def kill_instances(self, request: Request, pod_id: str) -> Answer:
        """End several instances."""
        _valid(pod_id)
        ids: list[str] = typed(json_of(request.body), INSTANCE_IDS)
        _check_instance_ids(ids, "({index})")
        return json_answer(self._kill(request, pod_id, ids))

    def _kill(self, request: Request, pod_id: str, ids: list[str]) -> list[Document]:
        """End instances, of an app just as well, and return them as they were."""
        path = absolute(pod_id)
        for found in (re.fullmatch(_INSTANCE_PATTERN, each) for each in ids):
            check_uuid(found[3] if found is not None else "")
        if self._marathon.root.spec(path) is None:
            raise not_found("Path", path)
        victims = [each for each in self._marathon.supervisor.of(path) if each.id in ids]
        shown = [_shown_instance(each) for each in victims]
        self._marathon.supervisor.kill_and_replace(victims, wipe=request.flag("wipe"))
        return shown

    # Status ---------------------------------------------------------------------------------------------------------

    def status_of(self, pod: RunSpec) -> Document:
        """The status of a pod, with numbers as in its definition."""
        instances = self._marathon.supervisor.of(pod.id)
        shown = [instance_status(each) for each in instances]
        stable = sum(each["status"] == "STABLE" for each in shown) >= pod.instances
        newest = max((each.since for each in instances), default=self._marathon.timeline.now)
        return {
            "id": str(pod.id),
            "spec": self._shown(pod),
            "status": "STABLE" if stable else "DEGRADED",
            "statusSince": written(newest),
            "instances": shown,
            "terminationHistory": [],
            "lastUpdated": written(self._marathon.timeline.now),
            "lastChanged": written(newest),
        }


def _status_as_play(status: Document) -> Document:
    """The status as play-json writes it: whole numbers without a fraction, and no empty objects."""
    shown: Document = as_play(status)
    spec = dict(shown["spec"])
    scheduling = {key: item for key, item in spec["scheduling"].items() if item != {}}
    return {**shown, "spec": {**spec, "scheduling": scheduling}}


def _valid(pod_id: str) -> PathId:
    """The path in an address; refuse one that no pod can have."""
    path = absolute(pod_id)
    found = Violations()
    check_path(str(path), "/", found)
    found.raise_any()
    return path


def _check_instance_ids(ids: list[str], path: str) -> None:
    found = Violations()
    for index, each in enumerate(ids):
        holds = re.fullmatch(_INSTANCE_PATTERN, each) is not None
        where = path if path == "/" else "/" + path.format(index=index)
        found.check(holds, where, f"must fully match regular expression '{_INSTANCE_PATTERN}'")
    found.raise_any()


def _shown_instance(instance: Instance) -> Document:
    spec, agent = instance.spec, instance.agent
    info: Document = {"host": agent.hostname if agent is not None else ""}
    if agent is not None:
        info["agentId"] = agent.id
        info.update(
            (key, value) for key, value in (("region", agent.region), ("zone", agent.zone)) if value is not None
        )
    state: Document = {"condition": instance.condition, "since": written(instance.since)}
    if instance.active_since is not None:
        state["activeSince"] = written(instance.active_since)
    state["goal"] = instance.goal
    return {
        "instanceId": instance.id,
        "state": state,
        "agentInfo": {**info, "attributes": []},
        "runSpecVersion": written(spec.version),
        "unreachableStrategy": (spec.scheduling if spec.is_pod else spec.document)["unreachableStrategy"],
    }
