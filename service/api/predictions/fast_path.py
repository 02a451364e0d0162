"""The fast path of `POST /predict`: few points as JSON, for a small network, without options. Most requests are such.

At this size each call and each object is a noticeable share of the whole. Any other request is left to
`PredictEndpoint`, which gives the same answers and says what is wrong with a request.
"""

import msgspec
import orjson
from fastapi import FastAPI
from starlette.types import Scope

from models.inference import scalar_codegen
from service.api.deps import Services
from service.http.bodies.request_body import Headers
from service.http.metrics import Metrics
from service.http.middleware import RawResponse
from service.inference import predictions
from service.settings import Settings

MAX_BYTES = 2_000
"""Maximum length of a body that is tried."""

CONTENT_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8"})
ACCEPTS = frozenset(
    {
        None,
        b"*/*",
        b"application/json",
        b"application/json, text/plain, */*",
        b"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
    }
)
"""Values of common clients that mean JSON without any parsing."""


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a `PredictRequest` without options. Types are checked; bounds are not."""

    model: str
    points: list[list[float]]
    version: int | None = None
    alias: str | None = None


_JSON = (b"content-type", b"application/json")

_decode = msgspec.json.Decoder(_Request).decode


class PredictFastPath:
    """See `middleware.FastPath`."""

    def __init__(self, app: FastAPI, metrics: Metrics, settings: Settings) -> None:
        """`app` is the app whose lifespan makes the services."""
        self._state = app.state
        self._metrics = metrics
        self._max_bytes = min(MAX_BYTES, settings.max_body_bytes)
        self._max_points = min(scalar_codegen.MAX_POINTS, settings.max_points_per_request)

    def accepts(self, scope: Scope, headers: Headers) -> bool:
        """Whether the request has an uncompressed JSON body, wants JSON, and has no query."""
        return (
            headers.get(b"content-type") in CONTENT_TYPES
            and headers.get(b"accept") in ACCEPTS
            and b"content-encoding" not in headers
            and not scope["query_string"]
        )

    def respond(self, _: Scope, __: Headers, body: bytes) -> RawResponse | None:
        """The response, or None if the body is any other request or its model is not loaded."""
        if len(body) > self._max_bytes:
            return None
        try:
            request = _decode(body)
            services: Services = self._state.services
            alias, number = request.alias, request.version
            if body.count(b":") != 2 + (alias is not None) + (number is not None):  # a key may be repeated
                return None
            if alias is not None and number is not None:
                return None
            version = services.registry.loaded(request.model, number if alias is None else alias)
            points = request.points
            if version is None or not 0 < len(points) <= self._max_points:
                return None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        prob_NK = predictions.of_few(version, points)
        if prob_NK is None:
            return None
        self._metrics.points += len(points)
        classes = version.card.classes
        content = orjson.dumps(
            {
                "model": request.model,
                "version": version.published.version,
                "classes": classes,
                "labels": [classes[prob_K.index(max(prob_K))] for prob_K in prob_NK],
                "probabilities": prob_NK,
            }
        )
        return 200, [_JSON, (b"content-length", b"%d" % len(content))], content
