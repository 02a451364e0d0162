"""The ASGI application that the server runs: one middleware around FastAPI.

It gives each request an id, lets the guard check it, and times, counts and sends its response. FastAPI costs several
times what the server costs before a route begins, so a request goes first to the fast path of its route, then to its
endpoint, then to the app.
"""

import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from time import perf_counter
from typing import Protocol

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from service import logs, tracing
from service.http import problems
from service.http.bodies import request_body
from service.http.bodies.request_body import Headers
from service.http.front import compression
from service.http.front.guard import SAFE_METHODS, Guard
from service.http.metrics import Metrics, Route
from service.tracing import Span, Tracer

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""Request ids that are taken over from clients; any other is replaced by a new one."""

CACHE_BUSTER = re.compile(rb"(?:^|(?<=&))_=[^&]*")
"""The query parameter `_`, which jQuery adds to requests that no cache may answer. It is ignored."""

RawResponse = tuple[int, Sequence[tuple[bytes, bytes]], bytes]
"""A complete response: status, headers and body."""

Endpoint = Callable[[Scope, Headers, Receive], Awaitable[RawResponse | None]]
"""Answers a request without FastAPI. None leaves the request, its body unread, to the app."""


class FastPath(Protocol):
    """Answers the simplest requests of a route, with the same responses as its endpoint but in fewer steps."""

    def accepts(self, scope: Scope, headers: Headers, /) -> bool:
        """Whether to try the body of a request with this head."""

    def respond(self, scope: Scope, headers: Headers, body: bytes, /) -> RawResponse | None:
        """The response to a request that was accepted; None leaves it to the endpoint."""


def ok(media_type: bytes, body: bytes, *headers: tuple[bytes, bytes]) -> RawResponse:
    """A response of status 200, with further headers."""
    return 200, [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *headers], body


class Middleware:
    """Serves `app`. Fast paths and endpoints, by method and path, are tried in this order before the app.

    A path may have parameters, such as `/v2/models/{model}/infer`; their values are in `scope["path_params"]`.

    `__call__` is one long function on purpose: each further call shows in a request of 50 us.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        fast_paths: Mapping[Route, FastPath],
        endpoints: Mapping[Route, Endpoint],
        metrics: Metrics,
        guard: Guard,
        max_body_bytes: int,
        tracer: Tracer | None = None,
    ) -> None:
        self._app = app
        self._guard = guard
        self._max_body_bytes = max_body_bytes
        self._tracer = tracer
        self._fast_paths = fast_paths
        self._endpoints = endpoints
        self._patterns = [
            (method, re.compile(re.sub("{([a-z]+)}", "(?P<\\1>[^/]+)", path)).fullmatch, path)
            for method, path in {**fast_paths, **endpoints}
            if "{" in path
        ]
        self._metrics = metrics
        self._id_prefix = os.urandom(6).hex().encode()
        self._id_numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or runs the app's lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        if scope["method"] == "HEAD":
            scope, receive, send = _as_get(scope, receive, send)
        headers: Headers = dict(scope["headers"])
        if len(headers) < len(scope["headers"]):
            headers = request_body.headers_of(scope)
            scope["headers"] = [*headers.items()]  # the app then also sees repeated headers joined
        request_id = headers.get(b"x-request-id")
        if request_id is None or not REQUEST_ID.fullmatch(request_id):
            request_id = b"%s-%x" % (self._id_prefix, next(self._id_numbers))
        logs.request_id.set(request_id)
        traceparent, span = headers.get(b"traceparent"), None
        if traceparent is not None or self._tracer is not None:
            span = self._begin_span(scope["method"], traceparent)
        route = scope["method"], scope["path"]
        if route not in self._endpoints:
            for method, pattern, path in self._patterns:
                if method == route[0] and (found := pattern(route[1])):
                    route, scope["path_params"] = (method, path), found.groupdict()
                    break
        response = caller = None
        status = 499  # stays if the client goes away before there is a response
        try:
            try:
                self._guard.admit(scope, headers)
                fast_path = self._fast_paths.get(route)
                if (
                    fast_path is not None
                    and fast_path.accepts(scope, headers)
                    and request_body.declared_bytes(headers) <= self._max_body_bytes  # else refused by the route
                ):
                    message = await receive()
                    if not message.get("more_body", True):
                        response = fast_path.respond(scope, headers, message["body"])
                    if response is None:
                        receive = _replay(message, receive)
                if response is None:
                    caller = self._guard.begin(scope)
                    if b"_=" in scope["query_string"] and scope["method"] == "GET":
                        scope = {**scope, "query_string": CACHE_BUSTER.sub(b"", scope["query_string"]).strip(b"&")}
                    endpoint = self._endpoints.get(route)
                    response = await endpoint(scope, headers, receive) if endpoint else None
            except Exception as error:
                response = _problem(error, scope["path"], request_id)
                if route not in self._endpoints:  # refused by the guard; metrics have the paths of routes only
                    route = self._metrics.route(scope)
            is_write = scope["method"] not in SAFE_METHODS and route not in self._endpoints
            if response is None:
                status = await self._forward(scope, receive, send, headers, request_id)
                route = self._metrics.route(scope)
            else:
                status, fields, body = response
                if (len(body) >= compression.MIN_BYTES or not body) and compression.concerns(status, fields):
                    fields, body = await compression.negotiated(status, fields, body, headers)
                fields = [*fields, (b"x-request-id", request_id)]
                await send({"type": "http.response.start", "status": status, "headers": fields})
                await send({"type": "http.response.body", "body": body})
        finally:
            if caller is not None:
                self._guard.end(caller)
            if span is not None:
                about = {"http.request.method": scope["method"], "http.route": route[1]}
                about |= {"http.response.status_code": status, "separatrix.request_id": request_id.decode()}
                span.end(" ".join(route), has_failed=status >= 500, attributes=about)
        self._metrics.observe(route, status, perf_counter() - started)
        if is_write:
            self._guard.audit(scope, status, request_id)

    def _begin_span(self, method: str, traceparent: bytes | None) -> Span | None:
        """Begins the span of a request if tracing is on, and sets the trace for the log and for submitted jobs."""
        parent, span = tracing.parse(traceparent), None
        if self._tracer is not None:
            span = self._tracer.begin(method, "server", parent=parent)
            parent = span.traceparent
        logs.traceparent.set(parent)
        return span

    async def _forward(self, scope: Scope, receive: Receive, send: Send, headers: Headers, request_id: bytes) -> int:
        """Lets the app answer; returns the status of its response."""
        status = 500
        start: Message = {}

        async def send_with_id(message: Message) -> None:
            nonlocal status, start
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                if compression.concerns(status, message["headers"]):
                    start = message  # its headers depend on the body
                    return
            elif start:
                if not message.get("more_body", False):
                    start["headers"], message["body"] = await compression.negotiated(
                        status, start["headers"], message["body"], headers
                    )
                await send(start)
                start = {}
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception("request %s failed", request_id.decode())  # the app has sent the 500 before it raised
        return status


def _replay(message: Message, receive: Receive) -> Receive:
    """Receives `message` once more, then what follows it."""
    messages = [message]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def _as_get(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """A HEAD request as the GET request whose response it describes; the body of the response is not sent."""
    is_sent = False

    async def receive_until_sent() -> Message:
        return {"type": "http.disconnect"} if is_sent else await receive()

    async def send_head(message: Message) -> None:
        nonlocal is_sent
        if message["type"] == "http.response.start":
            await send(message)
        elif not is_sent:
            is_sent = True
            await send({"type": "http.response.body", "body": b""})

    return {**scope, "method": "GET"}, receive_until_sent, send_head


def _problem(error: Exception, path: str, request_id: bytes) -> RawResponse:
    response = problems.response(error, path)
    if response.status_code == 500:
        logger.error("request %s failed", request_id.decode(), exc_info=error)
    return response.status_code, response.raw_headers, bytes(response.body)
