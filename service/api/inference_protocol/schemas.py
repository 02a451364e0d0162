"""The schemas of the protocol, for its responses and for the OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.json_schema import SkipJsonSchema

Datatype = (
    Literal["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"]
    | Literal["FP16", "BF16", "FP32", "FP64", "BYTES"]
)
TensorParameters = dict[str, str | int | float | bool]


class ProtocolError(BaseModel):
    """Why a request of the Open Inference Protocol failed."""

    error: str = Field(description="What is wrong with this request and what to do about it.")


class ServerHealth(BaseModel):
    """Whether the server answers, and whether to send requests to it."""

    live: bool = Field(description="The process answers requests.")
    ready: bool = Field(description="The service is ready for requests.")


class ServerMetadata(BaseModel):
    """The name of the server, and the extensions of the protocol that it has."""

    name: str = Field(description="`separatrix`.")
    version: str = Field(description="The version of the program.")
    extensions: list[str] = Field(description="Extensions of the protocol, by Triton's names.")


class TensorMetadata(BaseModel):
    """An input or an output of a model."""

    name: str = Field(description="The name in requests and responses.")
    datatype: Datatype = Field(description="The datatype of its values.")
    shape: list[int] = Field(description="Its sizes; -1 is the number of points.")


class ModelMetadata(BaseModel):
    """The inputs and outputs of a model."""

    name: str = Field(description="The name of the model.")
    versions: list[str] = Field(description="The versions that are served, by number.")
    platform: str = Field(description="`separatrix_safetensors`.")
    inputs: list[TensorMetadata] = Field(
        description="One tensor of all features. A request may have one tensor for each feature instead, by its name."
    )
    outputs: list[TensorMetadata] = Field(description="What the model answers.")


class ModelReady(BaseModel):
    """The model answers requests."""

    name: str = Field(description="The name of the model.")
    ready: bool = Field(description="Always true: a model that is not ready is an error.")


class ConfigTensor(BaseModel):
    """An input or an output in a model configuration."""

    name: str = Field(description="The name in requests and responses.")
    data_type: str = Field(description="`TYPE_` and the datatype; `TYPE_STRING` for BYTES.")
    dims: list[int] = Field(description="Its sizes; -1 is the number of points.")


class VersionPolicy(BaseModel):
    """Which versions are served."""

    all: dict[str, Any] = Field(description="Empty: all of them.")


class ConfigText(BaseModel):
    """A text of a model configuration."""

    string_value: str = Field(description="A list of texts or numbers as JSON.")


class ModelConfig(BaseModel):
    """The configuration of a model, in the form that Triton gives it."""

    name: str = Field(description="The name of the model.")
    platform: str = Field(description="`separatrix_safetensors`.")
    backend: str = Field(description="`separatrix`.")
    version_policy: VersionPolicy
    max_batch_size: int = Field(description="0: the sizes of tensors include the number of points.")
    input: list[ConfigTensor] = Field(description="The inputs.")
    output: list[ConfigTensor] = Field(description="The outputs.")
    parameters: dict[str, ConfigText] = Field(
        description="`classes`, the labels in the order of the probabilities, and `feature_names`, if they have names."
    )


class InputTensor(BaseModel):
    """An input tensor."""

    name: str = Field(description="`points`, or the name of a feature.")
    shape: list[int] = Field(description="[N, D] for `points`; [N] or [N, 1] for a feature.")
    datatype: Datatype = Field(description="Numbers of any type become float32 or float64.")
    parameters: TensorParameters | None = Field(
        None, description="`binary_data_size`: how many bytes after the JSON are its values."
    )
    data: list[Any] | None = Field(
        None, description="The values, in one list or nested as the shape, unless they follow the JSON."
    )


class RequestedOutput(BaseModel):
    """An output to return."""

    name: Literal["probabilities", "labels"] = Field(description="The name of the output.")
    parameters: TensorParameters | None = Field(
        None,
        description="`binary_data`: whether its values follow the JSON. `classification`: return this many of the "
        "likeliest classes of each point, as texts `value:index:label`.",
    )


class InferRequest(BaseModel):
    """The points to classify. Fields that are not listed here are ignored."""

    model_config = ConfigDict(extra="allow")

    id: str | None = Field(None, description="Returned in the response.")
    parameters: TensorParameters | None = Field(
        None,
        description="`binary_data_output`: whether the values of all outputs follow the JSON. `threshold`: as in "
        "`POST /predict`. Others are ignored.",
    )
    inputs: list[InputTensor] = Field(
        description="One tensor `points`, or one tensor for each feature by its name.",
        examples=[[{"name": "points", "shape": [2, 2], "datatype": "FP32", "data": [0.5, -0.25, 2.0, 1.0]}]],
    )
    outputs: list[RequestedOutput] | None = Field(None, description="What to return; by default all outputs.")


class OutputTensor(BaseModel):
    """An output tensor."""

    name: str = Field(description="`probabilities` or `labels`.")
    datatype: Datatype = Field(description="Labels are INT64, or BYTES if they are texts.")
    shape: list[int] = Field(description="The number of points, and for probabilities the number of classes.")
    parameters: TensorParameters | SkipJsonSchema[None] = Field(
        None, description="`binary_data_size`: how many bytes after the JSON are its values."
    )
    data: list[float] | list[int] | list[str] | SkipJsonSchema[None] = Field(
        None, description="The values, row by row, unless they follow the JSON."
    )


class InferResponse(BaseModel):
    """The outputs for each point."""

    model_name: str = Field(description="The model that answered.")
    model_version: str = Field(description="The number of the version that answered.")
    id: str | SkipJsonSchema[None] = Field(None, description="The id of the request, if it has one.")
    outputs: list[OutputTensor] = Field(description="The requested outputs.")


class IndexRequest(BaseModel):
    """Which versions to list."""

    ready: bool = Field(False, description="Whether to list only those that answer requests.")


class IndexEntry(BaseModel):
    """A version of a model."""

    name: str = Field(description="The name of the model.")
    version: str = Field(description="The number of the version.")
    state: Literal["READY", "UNAVAILABLE"] = Field(description="Whether it answers requests.")
    reason: str = Field(description="Why it does not; empty if it does.")


class RepositoryIndex(RootModel[list[IndexEntry]]):
    """The versions of all models, by name and number."""


class CountAndTime(BaseModel):
    """How often something happened, and how long it took in total."""

    count: int = Field(description="How often.")
    ns: int = Field(description="The total time in nanoseconds.")


class InferenceTimes(BaseModel):
    """The times of inference requests."""

    success: CountAndTime
    fail: CountAndTime
    queue: CountAndTime
    compute_input: CountAndTime
    compute_infer: CountAndTime
    compute_output: CountAndTime
    cache_hit: CountAndTime
    cache_miss: CountAndTime


class ModelStatistics(BaseModel):
    """The statistics of one version in the process that answers, since its start."""

    name: str = Field(description="The name of the model.")
    version: str = Field(description="The number of the version.")
    last_inference: int = Field(description="When it last answered, in milliseconds since the epoch; 0 if never.")
    inference_count: int = Field(description="How many points it has classified.")
    execution_count: int = Field(description="How many requests it has answered.")
    inference_stats: InferenceTimes
    batch_stats: list[dict[str, Any]] = Field(description="Empty: requests are not joined.")


class ModelStatisticsList(BaseModel):
    """The statistics of some versions."""

    model_stats: list[ModelStatistics] = Field(description="The versions that this process was asked for.")


class RepositoryRequest(BaseModel):
    """How to load or unload a model."""

    parameters: dict[str, Any] | None = Field(None, description="Not supported when loading, ignored when unloading.")


class NothingMore(BaseModel):
    """An empty object: it is done."""
