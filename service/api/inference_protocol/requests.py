"""Requests of `/v2/models/{model}/infer`: JSON, alone or followed by binary tensors, read into points and options."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from models import feature_names
from models.datasets import PointArray, bounded
from models.limits import MAX_FEATURES
from models.sent_points import SentPoints
from models.specs import InvalidInput
from service.api.inference_protocol import tensors
from service.api.inference_protocol.tensors import Parameters, Size, Tensor
from service.http.bodies import request_body
from service.registry.registry import LoadedVersion

POINTS = "points"
"""The name of the input that has all features."""

POINTS_DATATYPE = "FP32"
"""The datatype of the points that the metadata name, and of a body that is the points alone."""

PROBABILITIES = "probabilities"
LABELS = "labels"
OUTPUTS = (PROBABILITIES, LABELS)

LENGTH_HEADER = b"inference-header-content-length"

_LENGTH = re.compile("[0-9]{1,10}")
_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`")
MIN_THRESHOLD, MAX_THRESHOLD = 1e-6, 1 - 1e-6


class WantedOutput(msgspec.Struct):
    """An output that a request names."""

    name: str
    parameters: Parameters | None = None


class Head(msgspec.Struct):
    """The JSON of a request. Fields that the protocol does not have are ignored."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[WantedOutput] | None = None


def _size(_: type[Size], sent: Any) -> Size:
    found = tensors.whole(sent)
    if found is None:
        raise ValueError("must be a whole number")
    return Size(found)


_decode = msgspec.json.Decoder(Head, dec_hook=_size).decode


@dataclass(frozen=True)
class Output:
    """An output to send.

    Attributes:
        is_binary: whether its values follow the JSON.
        classification: how many of the likeliest classes of each point to name in place of the values; None for values.
    """

    name: str
    is_binary: bool
    classification: int | None = None


@dataclass(frozen=True, eq=False)
class InferRequest:
    """A request whose tensors are not yet read.

    Attributes:
        binaries: the bytes of each input; None if its values are in the JSON.
    """

    head: Head
    binaries: list[memoryview | None]

    def points(self, version: LoadedVersion, *, max_points: int) -> PointArray:
        """The points (N, D) in the order of the version's features.

        They are one tensor `points` of shape [N, D], or one tensor of shape [N] or [N, 1] for each feature, by its
        name. A text column of the training data is one tensor of datatype BYTES.

        Raises:
            InvalidInput: the tensors do not fit each other, the model or the bounds.
        """
        sent = self._sent(version, max_points)
        card = version.card
        return sent.placed(version.plan.features, card.feature_names, card.categories, field="inputs")

    def _sent(self, version: LoadedVersion, max_points: int) -> SentPoints:
        inputs = self.head.inputs
        for tensor in inputs:
            tensors.count(tensor)
            if tensor.shape[0] > max_points:
                raise InvalidInput(tensor.field, f"must have at most {max_points:,} points in one request")
        names = [tensor.name for tensor in inputs]
        known = version.card.feature_names
        if names == [POINTS] and (len(inputs[0].shape) == 2 or known is None or POINTS not in known):
            return SentPoints(bounded(tensors.numbers(inputs[0], self.binaries[0]), field=POINTS))
        if known is None:
            raise InvalidInput("inputs", f"must be one tensor named {POINTS}: the features of the model have no names")
        if POINTS in names and POINTS not in known:
            raise InvalidInput("inputs", f"must be either one tensor named {POINTS} or one tensor for each feature")
        return self._by_name(names)

    def _by_name(self, names: list[str]) -> SentPoints:
        first = self.head.inputs[0]
        numbers: dict[str, PointArray] = {}
        texts: dict[str, list[str]] = {}
        for tensor, binary in zip(self.head.inputs, self.binaries, strict=True):
            if tensor.shape[0] != first.shape[0] or tensor.shape[1:] not in ([], [1]):
                raise InvalidInput(
                    tensor.field, f"must have the shape [N] or [N, 1] with one N, which is {first.shape[0]:,} at first"
                )
            if names.count(tensor.name) > 1:
                raise InvalidInput("inputs", f"must have {feature_names.quoted([tensor.name])} only once")
            if tensor.datatype == tensors.TEXT:
                texts[tensor.name] = tensors.texts(tensor, binary)
            else:
                numbers[tensor.name] = tensors.numbers(tensor, binary).reshape(-1)
        array = np.empty((first.shape[0], len(numbers)), np.result_type(np.float32, *numbers.values()))
        for column, values in enumerate(numbers.values()):
            array[:, column] = values
        return SentPoints(bounded(array, field="inputs"), tuple(numbers), have_order=False, texts=texts)

    @property
    def outputs(self) -> list[Output]:
        """The outputs to send; all if the request names none.

        Raises:
            InvalidInput: an output is unknown or repeated, or has a wrong parameter.
        """
        parameters = self.head.parameters or {}
        default = _flag(parameters, "binary_data_output", "parameters")
        if not self.head.outputs:
            return [Output(name, is_binary=bool(default)) for name in OUTPUTS]
        found = [_output(wanted, default) for wanted in self.head.outputs]
        if len({one.name for one in found}) < len(found):
            raise InvalidInput("outputs", "must name each output only once")
        return found

    @property
    def threshold(self) -> float | None:
        """The parameter `threshold`, see `PredictionRequest`.

        Raises:
            InvalidInput: it is not a probability.
        """
        found = (self.head.parameters or {}).get("threshold")
        if found is None:
            return None
        if isinstance(found, bool | str) or not MIN_THRESHOLD <= found <= MAX_THRESHOLD:
            raise InvalidInput("parameters.threshold", f"must be a number from {MIN_THRESHOLD:g} to 1 - 1e-06")
        return float(found)


def parse(body: bytes, length: str, *, features: int) -> InferRequest:
    """Reads the JSON of a request, and finds the binary tensors after it.

    Args:
        body: as it came, decompressed.
        length: the header `Inference-Header-Content-Length`: how long the JSON is. Empty if the body is JSON alone, 0
            if it is the points alone.
        features: of the model.

    Raises:
        InvalidInput: the body is not such a request.
    """
    if length == "":
        return _parsed(request_body.without_mark(body), memoryview(b""))
    if not _LENGTH.fullmatch(length) or int(length) > len(body):
        raise InvalidInput(
            "Inference-Header-Content-Length", "must be the length of the JSON, at most the length of the body"
        )
    if int(length) == 0:
        return _points_alone(body, features)
    return _parsed(body[: int(length)], memoryview(body)[int(length) :])


def _points_alone(body: bytes, features: int) -> InferRequest:
    size = features * np.dtype(tensors.NUMBERS[POINTS_DATATYPE]).itemsize
    if not body or len(body) % size:
        raise InvalidInput(
            "body", f"must have {size:,} bytes for each point, {features:,} numbers of datatype {POINTS_DATATYPE}"
        )
    tensor = Tensor(POINTS, [Size(len(body) // size), Size(features)], POINTS_DATATYPE)
    return InferRequest(Head([tensor], parameters={"binary_data_output": True}), [memoryview(body)])


def _parsed(text: bytes, rest: memoryview) -> InferRequest:
    request_body.check_size(text)
    try:
        head = _decode(text)
    except msgspec.ValidationError as error:
        found = _PLACE.fullmatch(str(error))
        reason, place = (found[1], found[2]) if found else (str(error), "body")
        raise InvalidInput(place.replace("[", ".").replace("]", ""), _lower(reason)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = (
            str(error) if isinstance(error, msgspec.DecodeError) else "it is not Unicode text, or is nested too deeply"
        )
        raise InvalidInput("body", f"must be JSON, up to its Inference-Header-Content-Length: {reason}") from None
    request_body.check_keys(text)
    if not 1 <= len(head.inputs) <= MAX_FEATURES:
        raise InvalidInput("inputs", f"must be 1 to {MAX_FEATURES:,} tensors")
    return InferRequest(head, _binaries(head, rest))


def _lower(reason: str) -> str:
    return reason[:1].lower() + reason[1:]


def _binaries(head: Head, rest: memoryview) -> list[memoryview | None]:
    binaries: list[memoryview | None] = []
    start = 0
    for tensor in head.inputs:
        size = tensor.binary_size
        binaries.append(None if size is None else rest[start : start + size])
        start += size or 0
    if start != len(rest):
        raise InvalidInput(
            "body",
            f"must have as many bytes after the JSON as the inputs have in binary_data_size: {start:,}, not "
            f"{len(rest):,}. The header Inference-Header-Content-Length is the length of the JSON",
        )
    return binaries


def _output(wanted: WantedOutput, default: bool | None) -> Output:
    if wanted.name not in OUTPUTS:
        raise InvalidInput("outputs", f"must be among {' and '.join(OUTPUTS)}")
    parameters, field = wanted.parameters or {}, f"outputs.{wanted.name}"
    own = _flag(parameters, "binary_data", field)
    classification = parameters.get("classification")
    if classification is not None:
        if wanted.name != PROBABILITIES:
            raise InvalidInput(field, f"must not have classification: only {PROBABILITIES} can be classified")
        classification = tensors.whole(classification)
        if classification is None or classification < 1:
            raise InvalidInput(field, "must have a number of classes, 1 or more, as its classification")
    return Output(wanted.name, bool(default if own is None else own), classification)


def _flag(parameters: Parameters, name: str, field: str) -> bool | None:
    found = parameters.get(name)
    if found is not None and not isinstance(found, bool):
        raise InvalidInput(field, f"must have true or false as {name}")
    return found
