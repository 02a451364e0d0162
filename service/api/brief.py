"""The brief question: a few points in JSON for a small network, and nothing else asked. It is what most requests are.

Answered here in as few steps as it takes, since at that size each step is a good part of the whole. What is in any way
unusual is left to `predictions`, whose answers are the same, and to its schema, which says what is wrong.
"""

from functools import lru_cache

import msgspec
import orjson
from fastapi import FastAPI
from starlette.types import Scope

from models import plain
from service.api import bodies, formats
from service.api.bodies import Headers
from service.api.deps import Services
from service.api.edge import Answer
from service.settings import Settings

MOST_BYTES = 2_000
"""Longest body that is looked at."""


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of `PredictRequest` that such a body has, and their types; their bounds are not looked at."""

    model: str
    points: list[list[float]]
    version: int | None = None


_decoded = msgspec.json.Decoder(Question).decode

_TYPE = (b"content-type", bodies.JSON.encode())


class Brief:
    """Answers brief questions for the app whose services are running."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        """The app's lifespan makes the services."""
        self._state = app.state
        self._most_bytes = min(MOST_BYTES, settings.max_body_bytes)
        self._most_points = settings.max_points_per_request

    def answer(self, scope: Scope, headers: Headers, body: bytes) -> Answer | None:
        """The answer, or None if it is no such question, or its model is not known; see `edge.Instant`."""
        if len(body) > self._most_bytes or scope["query_string"] or b"content-encoding" in headers:
            return None
        if not _is_json(headers.get(b"content-type"), headers.get(b"accept")):
            return None
        try:
            question = _decoded(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        services: Services = self._state.services
        version = services.registry.loaded(question.model, question.version)
        points = question.points
        if version is None or not 0 < len(points) <= self._most_points:
            return None
        prob_NK = plain.probabilities(version.plan, points)
        if prob_NK is None:
            return None
        services.metrics.points += len(points)
        classes = version.card.classes
        content = orjson.dumps(
            {
                "model": question.model,
                "version": version.published.version,
                "classes": classes,
                "labels": [classes[prob_K.index(max(prob_K))] for prob_K in prob_NK],
                "probabilities": prob_NK,
            }
        )
        return Answer(200, (_TYPE, (b"content-length", b"%d" % len(content))), content)


@lru_cache(maxsize=100)
def _is_json(content_type: bytes | None, accept: bytes | None) -> bool:
    """Whether the body is said to be JSON, and the answer may be."""
    form = formats.chosen(("json", "npy", "arrow"), (accept or b"").decode("latin-1"))
    return form == "json" and bodies.media_type({b"content-type": content_type or b""}) == bodies.JSON
