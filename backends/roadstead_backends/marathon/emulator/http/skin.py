"""What stands between the wire and the resources: authentication, negotiation, headers, and Jetty's own answers."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.http.apps import Apps
from roadstead_backends.marathon.emulator.http.groups import Groups
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, html_error, json_answer
from roadstead_backends.marathon.emulator.http.negotiation import accepted, fits
from roadstead_backends.marathon.emulator.http.negotiation import sent as media_sent
from roadstead_backends.marathon.emulator.http.pods import Pods
from roadstead_backends.marathon.emulator.http.routes import routes
from roadstead_backends.marathon.emulator.http.routing import Method, Route, Router
from roadstead_backends.marathon.emulator.http.system import Elections, System
from roadstead_backends.marathon.emulator.http.views import Views
from roadstead_backends.marathon.emulator.http.wadl import allowed, wadl
from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.refusals import Refusal

__all__ = ["Skin"]

_SAFE: Final = {"X-Frame-Options": "DENY", "X-XSS-Protection": "1; mode=block"}
_FRESH: Final = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}
_SERVLETS: Final = ("/ui/", "/public/", "/api-console/")
_KNOWN_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
EVENTS: Final = "/v2/events"


class Skin:
    """Answers requests to one Marathon, as the instance at ``address`` does."""

    def __init__(self, marathon: Marathon, elections: Elections, *, address: str, started: str = "") -> None:
        views = Views(marathon)
        pods = Pods(marathon)
        self._marathon = marathon
        self._address = address
        self._started = started
        self._router = Router(
            routes(
                Apps(marathon, views),
                Groups(marathon, views, pods.status_of),
                pods,
                System(marathon, views, elections),
            )
        )

    def answer(self, request: Request) -> Answer:
        """Answer a request with everything that belongs to it but what HTTP itself adds."""
        refused = self._unauthorized(request)
        if refused is not None:
            return refused
        answer = self._inner(request)
        dressed = self._dressed(request, answer)
        if request.method == "HEAD":
            return attrs.evolve(dressed, body=b"", length=len(dressed.body))
        return dressed

    def is_stream(self, request: Request) -> bool:
        """Whether the request is for the stream of events, and may have it."""
        asked = request.path == EVENTS and request.method == "GET"
        return asked and request.header("accept") == "text/event-stream" and self._unauthorized(request) is None

    def refusal_of_stream(self, request: Request) -> Answer | None:
        """The answer to one who may not have the stream."""
        return self._unauthorized(request)

    def common(self) -> dict[str, str]:
        """The headers of every answer of the leader."""
        return {"X-Marathon-Leader": f"http://{self._address}", **_SAFE, **_FRESH}

    # Who may ask ----------------------------------------------------------------------------------------------------

    def _unauthorized(self, request: Request) -> Answer | None:
        credentials = self._marathon.settings.credentials
        if credentials is None:
            return None
        expected = "Basic " + base64.b64encode(credentials.encode()).decode()
        if request.header("authorization") == expected:
            return None
        challenge = {"WWW-Authenticate": 'basic realm="null"'}
        if request.method == "OPTIONS":
            return Answer(status=401, headers=challenge, content_type=None)
        page = html_error(401, request.uri or request.path)
        return attrs.evolve(page, headers={**challenge, **page.headers})

    # What is answered -----------------------------------------------------------------------------------------------

    def _inner(self, request: Request) -> Answer:
        jetty = self._by_jetty(request)
        if jetty is not None:
            return jetty
        found = self._router.find(request)
        if found is None:
            return json_answer({"message": "URI not found"}, 500)
        route, taken = found
        if request.method == "OPTIONS":
            return self._described(request, route)
        method = route.method(request.method) if request.method in _KNOWN_METHODS else None
        if method is not None and method.name == "patchGroup" and not self._marathon.settings.profile.roles:
            method = None
        if method is None:
            return json_answer({"message": "Method Not Allowed"}, 405)
        return self._negotiated(request, method) or self._called(request, method, taken)

    def _called(self, request: Request, method: Method, taken: Mapping[str, str]) -> Answer:
        try:
            return method.handler(request, *taken.values())
        except Refusal as refusal:
            return json_answer(refusal.body, refusal.status)

    @staticmethod
    def _negotiated(request: Request, method: Method) -> Answer | None:
        """The answer to a request whose media types do not fit."""
        sent = request.header("content-type")
        if method.consumes_json and sent is not None:
            media = media_sent(sent)
            if media is None:
                return html_error(400, request.uri or request.path)
            if not fits([media], "application/json"):
                return json_answer({"message": "Unsupported Media Type"}, 415)
        ranges = accepted(request.header("accept"))
        if "*/*" in method.produces or any(fits(ranges, kind) for kind in method.produces):
            return None
        return json_answer({"message": "Not Acceptable"}, 406)

    def _described(self, request: Request, route: Route) -> Answer:
        """The answer to OPTIONS."""
        base = f"http://{self._address}/"
        path = request.path.rstrip("/") or "/"
        body = wadl(base, path, route, self._router.below)
        headers = {"Allow": allowed(route)}
        if self._started:
            headers["Last-Modified"] = self._started
        return Answer(headers=headers, body=body.encode(), content_type="application/vnd.sun.wadl+xml")

    def _by_jetty(self, request: Request) -> Answer | None:
        """What other servlets answer."""
        path, uri = request.path, request.uri or request.path
        if path == EVENTS:
            return self._events(request, uri)
        if path in ("/ui", "/api-console", "/public"):
            return Answer(status=302, headers={"Location": f"{path}/"}, content_type=None, relative=True)
        if path.startswith(_SERVLETS):
            if request.method == "OPTIONS":
                return Answer(headers={"Allow": "GET, HEAD, OPTIONS"}, content_type=None)
            return html_error(404, uri)
        return None

    @staticmethod
    def _events(request: Request, uri: str) -> Answer:
        """What the servlet of events says to those who do not ask for a stream."""
        if request.method == "OPTIONS":
            return Answer(headers={"Allow": "GET, HEAD, OPTIONS"}, content_type=None)
        if request.method == "TRACE":
            return Answer(status=405, headers={"Cache-Control": "", "Expires": ""}, content_type=None)
        verb = "GET" if request.method == "HEAD" else request.method
        page = html_error(405, uri, f"HTTP method {verb} is not supported by this URL")
        return attrs.evolve(page, headers={**page.headers, "Expires": ""})

    # Headers --------------------------------------------------------------------------------------------------------

    def _dressed(self, request: Request, answer: Answer) -> Answer:
        headers: dict[str, str] = {**self.common(), **self._cors(request), **answer.headers}
        location = headers.get("Location")
        if location is not None and location.startswith("/") and not answer.relative:
            headers["Location"] = f"http://{self._address}{location}"
        body = answer.body
        if answer.status == 200 and body and not answer.headers.get("Allow"):
            headers["Vary"] = "Accept-Encoding, User-Agent"
            if "gzip" in (request.header("accept-encoding") or ""):
                body = gzip.compress(body, 6, mtime=0)
                headers["Content-Encoding"] = "gzip"
        headers = {name: value for name, value in headers.items() if value or name.startswith("Access-")}
        return attrs.evolve(answer, headers=headers, body=body)

    def _cors(self, request: Request) -> dict[str, str]:
        origins = self._marathon.settings.allow_origin
        if not origins:
            return {}
        return {
            "Access-Control-Allow-Origin": ", ".join(origins),
            "Access-Control-Allow-Headers": request.header("access-control-request-headers") or "",
            "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
            "Access-Control-Max-Age": "86400",
        }
