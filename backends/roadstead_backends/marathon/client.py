"""Asks a Marathon, whichever of its instances answers: failover, redirects, credentials, and answers as our structs.

Followers pass requests on to the leader, so any instance will do; one that cannot be reached, or that knows no leader,
is passed over for the next. A write goes on to the next only if it certainly reached nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from requests.auth import AuthBase

from roadstead.errors import BackendError, Forbidden, OutcomeUnknown, Retryable, Unreachable
from roadstead.spi.asked import Request
from roadstead_backends.marathon import messages as say
from roadstead_backends.marathon.faults import NotFound, failure, refusal
from roadstead_backends.marathon.options import MarathonOptions, is_private
from roadstead_backends.marathon.transport import Answer, Instance, Limits, Missed, Refused, Token, basic

__all__ = ["Client", "elsewhere", "sign_in"]

T = TypeVar("T")
Query = Mapping[str, str | Sequence[str]]
_MOST_HOPS: Final = 3
_REDIRECTS: Final = frozenset({302, 307, 308})
_WITH: Final = ("apps.tasks", "apps.lastTaskFailure", "apps.deployments")


def sign_in(options: MarathonOptions) -> AuthBase | None:
    """Return what signs our requests, read from its file now; raises :class:`ValueError` for a file without it."""
    if options.token_file is not None:
        return Token(_secret(options.token_file.read_text(encoding="utf-8"), str(options.token_file)))
    if options.user is not None and options.password_file is not None:
        password = _secret(options.password_file.read_text(encoding="utf-8"), str(options.password_file))
        return basic(options.user, password)
    return None


def _secret(text: str, file: str) -> str:
    found = text.strip()
    if not found or len(found.splitlines()) != 1:
        raise ValueError(f"{file} is not one line; write the secret into it and nothing else")
    return found


class Client:
    """Asks one Marathon; safe to use from any thread, one request at a time.

    Every call raises a :class:`roadstead.errors.BackendError` for anything but success.
    """

    def __init__(self, options: MarathonOptions, *, cluster: str, limits: Limits | None = None) -> None:
        self._options = options
        self._cluster = cluster
        self._limits = limits
        self._lock = threading.Lock()
        self._instances: dict[str, Instance] = {}
        self._first = options.urls[0]

    # ---- what is asked ----

    def info(self) -> say.Info:
        """Return which version it is, who leads, and where Mesos is."""
        return self._read("/v2/info", say.Info)

    def apps(self, *, label: str) -> list[say.App]:
        """Return all apps that a label selector finds."""
        return self._read("/v2/apps", say.AppList, query={"label": label}).apps

    def definitions(self, *, label: str) -> list[msgspec.Raw]:
        """Return all apps that a label selector finds, in full and with their tasks, as they were answered."""
        return self._read("/v2/apps", say.Definitions, query={"label": label, "embed": _WITH}).apps

    def documents(self) -> list[dict[str, Any]]:
        """Return all apps of everybody, in full, as they were answered."""
        return [msgspec.json.decode(one) for one in self._read("/v2/apps", say.Definitions).apps]

    def definition(self, app_id: str) -> msgspec.Raw | None:
        """Return an app in full, with its tasks, as it was answered; ``None`` where there is none."""
        try:
            return self._read(f"/v2/apps{quote(app_id)}", say.Definition, subject=app_id).app
        except NotFound:
            return None

    def app(self, app_id: str) -> say.App | None:
        """Return an app with its tasks; ``None`` where there is none."""
        try:
            return self._read(f"/v2/apps{quote(app_id)}", say.Wrapped, subject=app_id).app
        except NotFound:
            return None

    def tasks(self) -> list[say.Task]:
        """Return the tasks of all apps."""
        return self._read("/v2/tasks", say.TaskList).tasks

    def deployments(self) -> list[say.Deployment]:
        """Return what it is carrying out."""
        return self._read("/v2/deployments", list[say.Deployment])

    def queue(self) -> list[say.QueueItem]:
        """Return what waits to be started, and why."""
        return self._read("/v2/queue", say.Queue).queue

    def create(self, app: Mapping[str, Any], *, force: bool = False) -> say.Created:
        """Make an app; one of that name is :class:`~roadstead_backends.marathon.faults.AlreadyExists`."""
        query = {"force": _flag(force)}
        return self._write("POST", "/v2/apps", say.Created, body=app, query=query, subject=str(app["id"]))

    def scale(self, app_id: str, instances: int, *, force: bool = False) -> say.Deployed:
        """Ask for another number of tasks: the one change that restarts none."""
        return self._write(
            "PUT",
            f"/v2/apps{quote(app_id)}",
            say.Deployed,
            body={"instances": instances},
            query={"force": _flag(force)},
            subject=app_id,
        )

    def replace(self, app: Mapping[str, Any], *, force: bool = False) -> say.Deployed:
        """Have an app be what this says and nothing else; all its tasks are replaced, as it says itself."""
        app_id = str(app["id"])
        query = {"force": _flag(force), "partialUpdate": "false"}
        return self._write("PUT", f"/v2/apps{quote(app_id)}", say.Deployed, body=app, query=query, subject=app_id)

    def delete(self, app_id: str, *, force: bool = False) -> say.Deployed | None:
        """Remove an app and stop its tasks; ``None`` where there is none. Marathon's own default would be force."""
        try:
            return self._write(
                "DELETE", f"/v2/apps{quote(app_id)}", say.Deployed, query={"force": _flag(force)}, subject=app_id
            )
        except NotFound:
            return None

    def kill(self, tasks: tuple[str, ...], *, scale: bool, wipe: bool = False, force: bool = False) -> say.Deployed:
        """Stop tasks; with ``scale`` they are not replaced, by a deployment. Those that are gone already are fine.

        With ``wipe`` they are forgotten, one that cannot be reached at once, and nothing comes back in their places.
        """
        query = {"scale": _flag(scale), "force": _flag(force)} | ({"wipe": _flag(wipe)} if wipe else {})
        return self._write("POST", "/v2/tasks/delete", say.Deployed, body={"ids": list(tasks)}, query=query)

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            for instance in self._instances.values():
                instance.close()
            self._instances.clear()

    # ---- how it is asked ----

    def _read(self, path: str, kind: type[T], *, query: Query | None = None, subject: str = "") -> T:
        request = Request(cluster=self._cluster, method="GET", path=path, subject=subject)
        return _understood(request, self._ask(request, query, None), kind)

    def _write(  # a request has so many parts
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: Mapping[str, Any] | None = None,
        query: Query | None = None,
        subject: str = "",
    ) -> T:
        request = Request(cluster=self._cluster, method=method, path=path, subject=subject)
        data = msgspec.json.encode(body) if body is not None else None
        return _understood(request, self._ask(request, query, data), kind)

    def _ask(self, request: Request, query: Query | None, body: bytes | None) -> Answer:
        with self._lock:
            urls = [self._first, *(url for url in self._options.urls if url != self._first)]
            last: BackendError | None = None
            for url in urls:
                try:
                    answer = self._answer(url, request, query, body)
                except (Unreachable, Retryable) as error:
                    last = error  # the next one may know better
                else:
                    self._first = url
                    return answer
            assert last is not None
            raise last

    def _answer(self, url: str, request: Request, query: Query | None, body: bytes | None) -> Answer:
        """Ask one instance, or whom it names instead; once more where it refuses credentials that are new by now."""
        renewed = False
        for _ in range(_MOST_HOPS):
            try:
                return self._instance(url, request).ask(request.method, request.path, query=query, body=body)
            except Missed as error:
                raise failure(request, error.cause) from error.cause
            except Refused as error:
                refused = error.answer
            if refused.status == 401 and not renewed:
                renewed = True
                self._instances.clear()
                continue
            target = elsewhere(refused, reads=request.reads, from_=url)
            if target is None or (self._options.signs_in and not is_private(target)):
                raise refusal(request, refused.status, refused.headers, refused.body)
            url = target
        raise Retryable(
            "Marathon's instances send us around in circles", cluster=request.cluster, subject=request.subject
        )

    def _instance(self, url: str, request: Request) -> Instance:
        found = self._instances.get(url)
        if found is not None:
            return found
        options = self._options
        try:
            auth = sign_in(options)
        except (OSError, ValueError) as error:
            raise Forbidden(
                f"the credentials cannot be read: {error}",
                cluster=self._cluster,
                subject=request.subject,
                hint="see token_file and password_file in the cluster's options",
            ) from error
        certificate = options.client_certificate, options.client_key
        made = Instance(
            url,
            auth=auth,
            verify=str(options.ca) if options.ca is not None else True,
            certificate=(str(certificate[0]), str(certificate[1])) if options.client_certificate is not None else None,
            limits=self._limits,
        )
        self._instances[url] = made
        return made


def elsewhere(refused: Answer, *, reads: bool, from_: str) -> str | None:
    """Return the address of the instance that an answer sends us to; never from TLS to none."""
    if refused.status not in _REDIRECTS or (refused.status == 302 and not reads):
        return None
    target = urlsplit(refused.headers.get("Location", ""))
    if target.scheme not in ("http", "https") or not target.hostname:
        return None
    if urlsplit(from_).scheme == "https" and target.scheme != "https":
        return None
    return f"{target.scheme}://{target.netloc}"


def _understood(request: Request, answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        # A write was carried out all the same.
        lost = Unreachable if request.reads else OutcomeUnknown
        raise lost(
            f"its answer to {request.method} {request.path} is not understood: {error}",
            cluster=request.cluster,
            subject=request.subject,
            hint="see whether something else than Marathon answers at `urls`",
        ) from error


def _flag(value: bool) -> str:  # noqa: FBT001  # its only argument
    return "true" if value else "false"
