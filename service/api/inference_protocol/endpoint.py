"""`POST /v2/models/{model}/infer`: the endpoint that answers it in place of FastAPI."""

import re
from functools import partial
from time import perf_counter_ns
from typing import NamedTuple

from fastapi import FastAPI
from starlette.types import Receive, Scope

from service.api.deps import MAX_VERSION, Services
from service.api.inference_protocol import requests, responses
from service.api.inference_protocol.requests import LENGTH_HEADER
from service.errors import VersionNotFound
from service.http.bodies import request_body
from service.http.bodies.request_body import Headers
from service.http.middleware import RawResponse
from service.inference import predictions
from service.inference.predictions import PredictionRequest
from service.records import ALIAS_PATTERN, Reference
from service.registry import refresh
from service.registry.registry import LoadedVersion

PATHS = ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer")

SHORTEST_VALUE_BYTES = 2
"""Minimum length of a value in a body: a digit and a comma. Tensors of single bytes are rare and half as cheap to
read."""

_NUMBER = re.compile("[1-9][0-9]{0,9}")


def reference(text: str | None) -> Reference:
    """What a path names as the version: a number, or an alias, which starts with a letter. None is the latest.

    Raises:
        VersionNotFound: there can be no such version.
    """
    if text is None or re.fullmatch(ALIAS_PATTERN, text):
        return text
    if not _NUMBER.fullmatch(text) or int(text) > MAX_VERSION:
        raise VersionNotFound
    return int(text)


class InferEndpoint:
    """Answers inference requests; see `middleware.Endpoint`."""

    def __init__(self, app: FastAPI) -> None:
        """`app` is the app whose lifespan makes the services."""
        self._state = app.state

    async def __call__(self, scope: Scope, headers: Headers, receive: Receive) -> RawResponse:
        """The response to one request. Its `Content-Type` and `Accept` do not matter.

        Raises:
            ServiceError, InvalidInput, ClientDisconnect: `problems` has a response for each.
        """
        services: Services = self._state.services
        body = await request_body.content(headers, receive, services.bodies)
        arrived_ns = perf_counter_ns()
        parameters = scope["path_params"]
        named = reference(parameters.get("version"))
        version = await refresh.resolve(services.registry, parameters["model"], named)
        length = request_body.header(headers, LENGTH_HEADER)
        most = services.settings.max_points_per_request
        statistics = services.inference_statistics.of(version)
        answer = partial(_answer, version, body, length, max_points=most)
        try:
            if predictions.is_large(version, len(body) // (SHORTEST_VALUE_BYTES * version.plan.features)):
                found = await services.heavy(answer, receive)
            else:
                found = answer()
        except Exception:
            statistics.add_failure(perf_counter_ns() - arrived_ns)
            raise
        services.metrics.points += found.points
        statistics.add(found.points, arrived_ns, *found.times_ns)
        return found.response


class _Answer(NamedTuple):
    """A response and what to count.

    Attributes:
        points: how many points were classified.
        times_ns: when the request was decoded, computed, and encoded.
    """

    response: RawResponse
    points: int
    times_ns: tuple[int, int, int]


def _answer(version: LoadedVersion, body: bytes, length: str, *, max_points: int) -> _Answer:
    request = requests.parse(body, length, features=version.plan.features)
    outputs, prediction_request = request.outputs, PredictionRequest(threshold=request.threshold)
    xy_ND = request.points(version, max_points=max_points)
    decoded_ns = perf_counter_ns()
    prediction = predictions.predict_like_json(version, xy_ND, prediction_request)
    computed_ns = perf_counter_ns()
    tensors = [responses.tensor(version, output, prediction) for output in outputs]
    response = responses.encode(version, request.head.id, tensors)
    return _Answer(response, len(xy_ND), (decoded_ns, computed_ns, perf_counter_ns()))
