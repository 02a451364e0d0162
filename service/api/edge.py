"""The outermost part of the server: every request gets an id here and is counted, and the hot paths end here.

FastAPI spends several times what a bare request costs before a route begins; what is asked for thousands of times a
second is answered before it.
"""

import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from time import perf_counter
from typing import NamedTuple

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from service.api import bodies, problems
from service.api.bodies import Headers
from service.api.metrics import Metrics

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""Ids of clients that are taken over; others are replaced by one of ours."""


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


Endpoint = Callable[[Scope, Headers, Receive], Awaitable[Answer | None]]
"""Answers a request by itself, or with None leaves it, its body unread, to the app."""


class Edge:
    """The ASGI application around `app`. `shortcuts` are endpoints by method and path, which are asked before it."""

    def __init__(self, app: FastAPI, shortcuts: Mapping[tuple[str, str], Endpoint], metrics: Metrics) -> None:
        self._app = app
        self._shortcuts = shortcuts
        self._metrics = metrics
        self._prefix = os.urandom(6).hex().encode()
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or runs the app's lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        headers = bodies.headers_of(scope)
        request_id = self._request_id(headers)
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            endpoint = self._shortcuts.get((scope["method"], scope["path"]))
            answer = await _answer(endpoint, scope, headers, receive, request_id) if endpoint else None
            if answer is None:
                await self._app(scope, receive, send_with_id)
            else:
                await send_with_id({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
                await send({"type": "http.response.body", "body": answer.body})
        except Exception:
            logger.error("request %s failed:", request_id.decode())  # the server logs how
            raise
        finally:
            self._metrics.observe(scope, status, perf_counter() - began)

    def _request_id(self, headers: Headers) -> bytes:
        given = headers.get(b"x-request-id")
        if given is not None and REQUEST_ID.fullmatch(given):
            return given
        return b"%s-%x" % (self._prefix, next(self._numbers))


async def _answer(
    endpoint: Endpoint, scope: Scope, headers: Headers, receive: Receive, request_id: bytes
) -> Answer | None:
    try:
        return await endpoint(scope, headers, receive)
    except Exception as error:
        response = problems.response(error)
        if response.status_code == 500:
            logger.exception("request %s failed", request_id.decode())
        return Answer(response.status_code, tuple(response.raw_headers), bytes(response.body))
