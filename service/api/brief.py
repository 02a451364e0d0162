"""The brief question: a few points in JSON for a small network, and nothing else asked. It is what most requests are.

Answered here in as few steps as it takes, since at that size each step is a good part of the whole. What is in any way
unusual is left to `predictions`, whose answers are the same, and to its schema, which says what is wrong.
"""

import msgspec
import orjson

from models import plain
from service.api.deps import Services
from service.api.edge import Answer


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of `PredictRequest` that such a body has, and their types; their bounds are not looked at."""

    model: str
    points: list[list[float]]
    version: int | None = None


_DECODER = msgspec.json.Decoder(Question)

MOST_BYTES = 2_000
"""Longest body that is looked at."""


def answer(services: Services, body: bytes) -> Answer | None:
    """The answer, or None if the body is no such question, or its model is not known."""
    limits = services.settings
    if len(body) > min(MOST_BYTES, limits.max_body_bytes):
        return None
    try:
        question = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    version = services.registry.loaded(question.model, question.version)
    points = question.points
    if version is None or not 0 < len(points) <= limits.max_points_per_request:
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
    return Answer(200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))], content)
