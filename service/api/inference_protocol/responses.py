"""Responses of `/v2/models/{model}/infer`: JSON, followed by the outputs that are sent as binary tensors."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import orjson

from models.datasets import DoubleArray, FloatArray, IntArray
from models.specs import InvalidInput
from service.api.inference_protocol.requests import LABELS, Output
from service.api.inference_protocol.tensors import TEXT, text_bytes
from service.api.predictions.responses import json_labels, json_numbers
from service.http.middleware import RawResponse
from service.inference.predictions import Prediction
from service.registry.registry import LoadedVersion

MAX_CLASSIFICATION_VALUES = 200_000
"""Maximum number of values of a classification: each is a text, which takes a microsecond."""

BINARY_OUTPUT = b'{"name":%b,"parameters":{"binary_data_size":%d}}'
"""The description of an output that follows the JSON, from its head and its size."""

_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")


class OutputTensor(NamedTuple):
    """An output of a response.

    Attributes:
        description: its part of the JSON.
        binary: its values, if they follow the JSON.
    """

    description: bytes
    binary: bytes | None


@dataclass(frozen=True)
class VersionTexts:
    """The parts that all responses of a version share.

    Attributes:
        beginning: the JSON of the fields that name the version.
        datatype: of the labels: INT64 if all are integers, else BYTES.
        binary: each label in binary.
        padded_K: the same, each padded to one length.
        is_label_K: whether each byte of `padded_K` is text, not padding; None without padding.
        templates: the JSON of responses with binary outputs, see `InferFastPath`.
    """

    beginning: bytes
    datatype: bytes
    binary: list[bytes]
    padded_K: npt.NDArray[np.void]
    is_label_K: npt.NDArray[np.void] | None
    templates: dict[tuple[tuple[str, ...], int], bytes] = field(default_factory=dict)


_texts: WeakKeyDictionary[LoadedVersion, VersionTexts] = WeakKeyDictionary()


def texts_of(version: LoadedVersion) -> VersionTexts:
    """The texts of a version."""
    found = _texts.get(version)
    if found is None:
        found = _texts[version] = _new_texts(version)
    return found


def _new_texts(version: LoadedVersion) -> VersionTexts:
    published, classes = version.published, version.card.classes
    beginning = b'"model_name":%b,"model_version":"%d",' % (orjson.dumps(published.model), published.version)
    are_integers = all(isinstance(label, int) for label in classes)
    binary = [struct.pack("<q", label) if isinstance(label, int) else text_bytes(label) for label in classes]
    length = max(map(len, binary))
    padded_K = np.frombuffer(b"".join(one.ljust(length, b"\0") for one in binary), f"V{length}")
    is_label_KB = np.arange(length) < np.array([[len(one)] for one in binary])
    is_label_K = None if is_label_KB.all() else is_label_KB.view(f"V{length}")[:, 0]
    return VersionTexts(beginning, b"INT64" if are_integers else TEXT.encode(), binary, padded_K, is_label_K)


def tensor(version: LoadedVersion, output: Output, prediction: Prediction) -> OutputTensor:
    """One output of a request.

    Args:
        version: the version that answers.
        output: what to send.
        prediction: of the points.

    Raises:
        InvalidInput: the classification has too many values.
    """
    if output.name == LABELS:
        best_N = prediction.best_N
        values = _binary_labels(texts_of(version), best_N) if output.is_binary else json_labels(version, best_N)
        return output_tensor(labels_head(version, len(best_N)), values, is_binary=output.is_binary)
    if output.classification is not None:
        return _classification(version, output, prediction.prob_NK, output.classification)
    prob_NK = prediction.prob_NK
    values = prob_NK.astype("<f4", copy=False).tobytes() if output.is_binary else json_numbers(prob_NK.reshape(-1))
    return output_tensor(probabilities_head(version, len(prob_NK)), values, is_binary=output.is_binary)


def labels_head(version: LoadedVersion, count: int) -> bytes:
    """The name, the datatype and the shape of the labels of that many points, as JSON."""
    return b'"labels","datatype":"%b","shape":[%d]' % (texts_of(version).datatype, count)


def probabilities_head(version: LoadedVersion, count: int) -> bytes:
    """The same of the probabilities."""
    return b'"probabilities","datatype":"FP32","shape":[%d,%d]' % (count, version.plan.classes)


def output_tensor(head: bytes, values: bytes, *, is_binary: bool) -> OutputTensor:
    """An output with this head and these values, in binary or as JSON."""
    if is_binary:
        return OutputTensor(BINARY_OUTPUT % (head, len(values)), values)
    return OutputTensor(b'{"name":%b,"data":%b}' % (head, values), None)


def encode(version: LoadedVersion, request_id: str | None, outputs: Sequence[OutputTensor]) -> RawResponse:
    """The response with these outputs. `request_id` is left out if it is None."""
    text = head(version, request_id, [output.description for output in outputs])
    binaries = [output.binary for output in outputs if output.binary is not None]
    if binaries:
        return binary_response(text, binaries)
    return 200, [_JSON, (b"content-length", b"%d" % len(text))], text


def head(version: LoadedVersion, request_id: str | None, descriptions: Sequence[bytes]) -> bytes:
    """The JSON of a response whose outputs are described so."""
    identity = b"" if request_id is None else b'"id":%b,' % orjson.dumps(request_id)
    return b'{%b%b"outputs":[%b]}' % (texts_of(version).beginning, identity, b",".join(descriptions))


def binary_response(text: bytes, binaries: Sequence[bytes]) -> RawResponse:
    """A response of JSON and the values that follow it."""
    body = b"".join([text, *binaries])
    length = (b"inference-header-content-length", b"%d" % len(text))
    return 200, [_BINARY, length, (b"content-length", b"%d" % len(body))], body


def _binary_labels(texts: VersionTexts, best_N: IntArray) -> bytes:
    """The labels of N points one after another: a fixed length for each is faster to copy, and padding is left out."""
    padded_N = texts.padded_K[best_N]
    if texts.is_label_K is None:
        return padded_N.tobytes()
    return padded_N.view(np.uint8)[texts.is_label_K[best_N].view(np.bool_)].tobytes()


def _classification(
    version: LoadedVersion, output: Output, prob_NK: FloatArray | DoubleArray, wanted: int
) -> OutputTensor:
    """The likeliest classes of each point as `value:index:label`, in descending order; the first of equals first."""
    count, classes = len(prob_NK), version.card.classes
    most = min(wanted, len(classes))
    if count * most > MAX_CLASSIFICATION_VALUES:
        raise InvalidInput(
            "outputs.probabilities",
            f"must have at most {MAX_CLASSIFICATION_VALUES:,} classification values in one request",
        )
    index_NC = np.argsort(-prob_NK, axis=1, kind="stable")[:, :most]
    value_NC = np.take_along_axis(prob_NK, index_NC, axis=1).astype(np.float32)
    pairs = zip(value_NC.ravel(), index_NC.ravel().tolist(), strict=True)
    texts = [f"{value!s}:{index}:{classes[index]}" for value, index in pairs]
    values = b"".join(map(text_bytes, texts)) if output.is_binary else orjson.dumps(texts)
    head = b'"probabilities","datatype":"BYTES","shape":[%d,%d]' % (count, most)
    return output_tensor(head, values, is_binary=output.is_binary)
