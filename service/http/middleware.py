"""Around FastAPI: every request but the brief ones gets an id here and is counted, and the hot paths end here.

FastAPI spends several times what a bare request costs before a route begins; what is asked for thousands of times a
second is answered before it. Around the edge is `brief` alone.
"""

import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from time import perf_counter
from typing import NamedTuple, Self

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from service.http import problems, request_body
from service.http.metrics import Metrics
from service.http.request_body import Headers

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""Ids of clients that are taken over; others are replaced by one of ours."""


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    @classmethod
    def of(cls, media_type: bytes, body: bytes, *more: tuple[bytes, bytes]) -> Self:
        """A whole one of that kind, with further headers."""
        return cls(200, [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *more], body)


Endpoint = Callable[[Scope, Headers, Receive], Awaitable[Answer | None]]
"""Answers a request by itself, or with None leaves it, its body unread, to the app."""


class Middleware:
    """The ASGI application around `app`. `endpoints`, by method and path, are asked before it."""

    def __init__(self, app: FastAPI, endpoints: Mapping[tuple[str, str], Endpoint], metrics: Metrics) -> None:
        self._app = app
        self._endpoints = endpoints
        self._metrics = metrics
        self._prefix = os.urandom(6).hex().encode()
        self._numbers = count(1)

    def new_id(self) -> bytes:
        """An id for a request that has none."""
        return b"%s-%x" % (self._prefix, next(self._numbers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or runs the app's lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # the server leaves out the body
            scope = {**scope, "method": "GET"}
            receive, send = _without_body(receive, send)
        began = perf_counter()
        headers = request_body.headers_of(scope)
        if len(headers) < len(scope["headers"]):
            scope["headers"] = [*headers.items()]  # whoever looks for one of them finds all of it
        request_id = headers.get(b"x-request-id")
        if request_id is None or not REQUEST_ID.fullmatch(request_id):
            request_id = self.new_id()
        route = scope["method"], scope["path"]
        endpoint = self._endpoints.get(route)
        try:
            answer = await endpoint(scope, headers, receive) if endpoint else None
        except Exception as error:
            answer = _refusal(error, request_id)
        if answer is None:
            status = await self._pass_on(scope, receive, send, request_id)
            route = self._metrics.route(scope)
        else:
            status, fields, body = answer
            fields = [*fields, (b"x-request-id", request_id)]
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body})
        self._metrics.observe(route, status, perf_counter() - began)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> int:
        """Has the app answer; gives the status that it answered with."""
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception("request %s failed", request_id.decode())  # the app has answered with 500
        return status


def _without_body(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """A request of which the head of the answer is wanted alone: nobody listens any more once that is sent."""
    sent = False

    async def receive_until_sent() -> Message:
        return {"type": "http.disconnect"} if sent else await receive()

    async def send_head(message: Message) -> None:
        nonlocal sent
        if message["type"] == "http.response.start":
            await send(message)
        elif not sent:
            sent = True
            await send({"type": "http.response.body", "body": b""})

    return receive_until_sent, send_head


def _refusal(error: Exception, request_id: bytes) -> Answer:
    response = problems.response(error)
    if response.status_code == 500:
        logger.error("request %s failed", request_id.decode(), exc_info=error)
    return Answer(response.status_code, response.raw_headers, bytes(response.body))
