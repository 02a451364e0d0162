"""The brief question: a few points in JSON for a small network, and nothing else asked. It is what most requests are.

At that size each call and each object is a noticeable part of the whole, so that it is done in as few steps as can be,
without the parts that all other requests share. What is in any way unusual goes on to the edge and to `predictions`,
whose answers are the same, and whose schema says what is wrong.
"""

from time import perf_counter

import msgspec
import orjson
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from models.inference import scalar_codegen
from service.api.deps import Services
from service.http.metrics import Metrics
from service.http.middleware import Middleware
from service.settings import Settings

MOST_BYTES = 2_000
"""Longest body that is looked at."""

ROUTE = ("POST", "/predict")

USUAL_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8"})
USUAL_ACCEPTS = frozenset({None, b"*/*", b"application/json", b"application/json, text/plain, */*"})
"""Those of common clients, of which it takes no parsing to see that JSON is wanted."""

UNUSUAL = frozenset({b"content-encoding", b"x-request-id"})
"""Headers that the edge sees to."""


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of `PredictRequest` that such a body has, and their types; their bounds are not looked at."""

    model: str
    points: list[list[float]]
    version: int | None = None


_decoded = msgspec.json.Decoder(Question).decode

_TYPE = (b"content-type", b"application/json")


class FastPath:
    """The outermost ASGI application: answers brief questions for `app`, and leaves all else to the edge around it."""

    def __init__(self, edge: Middleware, app: FastAPI, metrics: Metrics, settings: Settings) -> None:
        self._edge = edge
        self._state = app.state
        self._metrics = metrics
        self._most_bytes = min(MOST_BYTES, settings.max_body_bytes)
        self._most_points = settings.max_points_per_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ROUTE:
            await self._edge(scope, receive, send)
            return
        began = perf_counter()
        headers = dict(scope["headers"])
        if (
            headers.get(b"content-type") not in USUAL_TYPES
            or headers.get(b"accept") not in USUAL_ACCEPTS
            or not UNUSUAL.isdisjoint(headers)
            or len(headers) != len(scope["headers"])  # one of them stands there twice
            or scope["query_string"]
        ):
            await self._edge(scope, receive, send)
            return
        message = await receive()
        content = None
        if not message.get("more_body", True) and len(message["body"]) <= self._most_bytes:
            content = self._answer(message["body"])
        if content is None:
            await self._edge(scope, _from(message, receive), send)
            return
        fields = [_TYPE, (b"content-length", b"%d" % len(content)), (b"x-request-id", self._edge.new_id())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": content})
        self._metrics.observe(ROUTE, 200, perf_counter() - began)

    def _answer(self, body: bytes) -> bytes | None:
        """The answer's body, or None if this is no such question, or its model is not known."""
        try:
            question = _decoded(body)
            services: Services = self._state.services
            version = services.registry.loaded(question.model, question.version)
            points = question.points
            if version is None or not 0 < len(points) <= self._most_points:
                return None
            function = scalar_codegen.function(version.plan)
            if function is None or len(points) > scalar_codegen.MOST_POINTS:
                return None
            prob_NK = [function(*x_D) for x_D in points]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, OverflowError):
            return None
        self._metrics.points += len(points)
        classes = version.card.classes
        return orjson.dumps(
            {
                "model": question.model,
                "version": version.published.version,
                "classes": classes,
                "labels": [classes[prob_K.index(max(prob_K))] for prob_K in prob_NK],
                "probabilities": prob_NK,
            }
        )


def _from(message: Message, receive: Receive) -> Receive:
    """What gives that message again, and then what follows it."""
    messages = [message]

    async def receive_from() -> Message:
        return messages.pop() if messages else await receive()

    return receive_from
