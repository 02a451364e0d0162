"""The fast path of `POST /v2/models/{model}/infer`: one tensor of few points, for a small network, without options.

At this size each call and each object is a noticeable share of the whole. Any other request is left to
`InferEndpoint`, which gives the same answers and says what is wrong with a request.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter_ns
from typing import Literal

import msgspec
import orjson
from fastapi import FastAPI
from starlette.types import Scope

from models.inference import scalar_codegen
from service.api.deps import Services
from service.api.inference_protocol import responses
from service.api.inference_protocol.endpoint import reference
from service.api.inference_protocol.requests import LABELS, LENGTH_HEADER, OUTPUTS, PROBABILITIES
from service.errors import VersionNotFound
from service.http.bodies.request_body import Headers
from service.http.metrics import Metrics
from service.http.middleware import RawResponse
from service.inference import predictions
from service.json_keys import repeated_key
from service.registry.registry import LoadedVersion
from service.settings import Settings

MAX_BYTES = 2_000
"""Maximum length of a body that is tried."""

MAX_FORMS = 1_000
"""Most JSON texts of requests whose form is remembered. Clients send the same text again with other numbers."""

MAX_COLUMNS = scalar_codegen.MAX_PARAMETERS
"""Maximum number of features of a network that is small enough."""

MAX_DIGITS = 10
"""Longest header that is read as a number."""


class _InputParameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data_size: int


class _Tensor(msgspec.Struct):
    name: Literal["points"]
    shape: tuple[int, int]
    datatype: Literal["FP32", "FP64"]
    parameters: _InputParameters | None = None
    data: list[float] | None = None


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data_output: bool | None = None


class _OutputParameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data: bool | None = None


class _Output(msgspec.Struct):
    name: Literal["probabilities", "labels"]
    parameters: _OutputParameters | None = None


class _Request(msgspec.Struct):
    """The fields of a `requests.Head` without options. Types are checked; bounds are not."""

    inputs: tuple[_Tensor]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


_decode = msgspec.json.Decoder(_Request).decode
_CODES = {"FP32": "f", "FP64": "d"}


@dataclass(frozen=True, eq=False, slots=True)
class _Form:
    """What a request wants, apart from the numbers after its JSON.

    Attributes:
        id: of the request.
        count, columns: the shape of the points.
        unpack: reads the numbers after the JSON; None if they are in the JSON.
        data: the numbers in the JSON.
        outputs: the names of the outputs.
        are_binary: whether their values follow the JSON.
    """

    id: str | None
    count: int
    columns: int
    unpack: Callable[[bytes], tuple[float, ...]] | None
    data: Sequence[float]
    outputs: tuple[str, ...]
    are_binary: bool


class InferFastPath:
    """See `middleware.FastPath`."""

    def __init__(self, app: FastAPI, metrics: Metrics, settings: Settings) -> None:
        """`app` is the app whose lifespan makes the services."""
        self._state = app.state
        self._metrics = metrics
        self._max_bytes = min(MAX_BYTES, settings.max_body_bytes)
        self._forms: dict[bytes, _Form] = {}
        self._max_points = min(scalar_codegen.MAX_POINTS, settings.max_points_per_request)

    def accepts(self, _: Scope, headers: Headers) -> bool:
        """Whether the request has an uncompressed body."""
        return b"content-encoding" not in headers

    def respond(self, scope: Scope, headers: Headers, body: bytes) -> RawResponse | None:
        """The response, or None if the body is any other request or its model is not loaded."""
        if len(body) > self._max_bytes:
            return None
        arrived_ns = perf_counter_ns()
        length = headers.get(LENGTH_HEADER)
        text = body if length is None else body[: _number(length)]
        form = self._forms.get(text) or self._form(text)
        if form is None or (form.unpack is None and len(text) < len(body)):
            return None
        path = scope["path_params"]
        services: Services = self._state.services
        try:
            version = services.registry.loaded(path["model"], reference(path["version"]) if "version" in path else None)
            flat = form.unpack(body[len(text) :]) if form.unpack else form.data
        except (VersionNotFound, struct.error):
            return None
        if version is None or form.columns != version.plan.features:
            return None
        columns = form.columns
        points = [flat] if form.count == 1 else [flat[i : i + columns] for i in range(0, len(flat), columns)]
        decoded_ns = perf_counter_ns()
        prob_NK = predictions.of_few(version, points)
        if prob_NK is None:
            return None
        computed_ns = perf_counter_ns()
        response = _encoded(version, form, prob_NK)
        self._metrics.points += len(points)
        statistics = services.inference_statistics.of(version)
        statistics.add(len(points), arrived_ns, decoded_ns, computed_ns, perf_counter_ns())
        return response

    def _form(self, text: bytes) -> _Form | None:
        """The form of a request, which is kept if it may come again with other numbers; None if it is any other."""
        try:
            request = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if text.count(b":") != _expected_keys(request) and repeated_key(text) is not None:
            return None
        (tensor,) = request.inputs
        count, columns = tensor.shape
        outputs = tuple(output.name for output in request.outputs or ()) or OUTPUTS
        default = bool(request.parameters and request.parameters.binary_data_output)
        parameters = [output.parameters or _OutputParameters() for output in request.outputs or ()]
        chosen = {one.binary_data for one in parameters} or {None}
        are_binary = {default if one is None else one for one in chosen}
        is_simple = 0 < count <= self._max_points and len(set(outputs)) == len(outputs) and len(are_binary) == 1
        if not is_simple or not 0 < columns <= MAX_COLUMNS:
            return None
        if tensor.parameters is None:
            if tensor.data is None or len(tensor.data) != count * columns:
                return None
            return _Form(request.id, count, columns, None, tensor.data, outputs, are_binary.pop())
        numbers = struct.Struct(f"<{count * columns}{_CODES[tensor.datatype]}")
        if tensor.data is not None or tensor.parameters.binary_data_size != numbers.size:
            return None
        form = _Form(request.id, count, columns, numbers.unpack, (), outputs, are_binary.pop())
        if request.id is None:
            if len(self._forms) >= MAX_FORMS:
                self._forms.clear()
            self._forms[text] = form
        return form


def _expected_keys(request: _Request) -> int:
    """The number of keys in the JSON of a request without repeated, null or unknown keys."""
    (tensor,), parameters = request.inputs, request.parameters
    count = 4 + (request.id is not None) + (tensor.data is not None)  # inputs, name, shape, datatype
    if tensor.parameters is not None:
        count += 2
    if parameters is not None:
        count += 1 + (parameters.binary_data_output is not None)
    if request.outputs is not None:
        count += 1 + len(request.outputs)
        for output in request.outputs:
            if output.parameters is not None:
                count += 1 + (output.parameters.binary_data is not None)
    return count


def _number(text: bytes) -> int:
    """The number that a header has; 0 if it has none, which leaves the request to the endpoint."""
    return int(text) if len(text) < MAX_DIGITS and text.isdigit() else 0


def _encoded(version: LoadedVersion, form: _Form, prob_NK: list[list[float]]) -> RawResponse:
    if form.are_binary:
        binaries = [_BINARY[name](version, prob_NK) for name in form.outputs]
        if form.id is None:
            return responses.binary_response(_template(version, form) % (*map(len, binaries),), binaries)
        values = binaries
    else:
        values = [_JSON[name](version, prob_NK) for name in form.outputs]
    heads = [_HEADS[name](version, form.count) for name in form.outputs]
    tensors = [
        responses.output_tensor(head, one, is_binary=form.are_binary) for head, one in zip(heads, values, strict=True)
    ]
    return responses.encode(version, form.id, tensors)


def _template(version: LoadedVersion, form: _Form) -> bytes:
    """The JSON of responses with binary outputs, with `%d` for the size of each. No name of a model has a `%`."""
    templates, key = responses.texts_of(version).templates, (form.outputs, form.count)
    found = templates.get(key)
    if found is None:
        heads = [_HEADS[name](version, form.count) for name in form.outputs]
        descriptions = [responses.BINARY_OUTPUT.replace(b"%d", b"%%d") % head for head in heads]
        found = templates[key] = responses.head(version, None, descriptions)
    return found


def _binary_probabilities(_: LoadedVersion, prob_NK: list[list[float]]) -> bytes:
    flat = prob_NK[0] if len(prob_NK) == 1 else [p for prob_K in prob_NK for p in prob_K]
    return _floats(len(flat)).pack(*flat)


@lru_cache(maxsize=1_000)
def _floats(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}f")


def _json_probabilities(_: LoadedVersion, prob_NK: list[list[float]]) -> bytes:
    return orjson.dumps([p for prob_K in prob_NK for p in prob_K])


def _binary_labels(version: LoadedVersion, prob_NK: list[list[float]]) -> bytes:
    binary = responses.texts_of(version).binary
    return b"".join([binary[prob_K.index(max(prob_K))] for prob_K in prob_NK])


def _json_labels(version: LoadedVersion, prob_NK: list[list[float]]) -> bytes:
    classes = version.card.classes
    return orjson.dumps([classes[prob_K.index(max(prob_K))] for prob_K in prob_NK])


_BINARY = {PROBABILITIES: _binary_probabilities, LABELS: _binary_labels}
_JSON = {PROBABILITIES: _json_probabilities, LABELS: _json_labels}
_HEADS = {PROBABILITIES: responses.probabilities_head, LABELS: responses.labels_head}
