"""`GET /models/{name}/versions/{version}/layers`: the layers of a version or a job, and their weights.

The networks of an ensemble have the same layers. A request is about one of them, so that no response has more than the
weights of one network.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from models.datasets import FloatArray
from models.exports.exported import digits
from models.limits import MAX_ENSEMBLE
from models.networks import printing
from models.networks.printing import Part
from models.specs import Activation
from service.api.deps import JobPath, ModelPath, Services, ServicesDep, VersionPath
from service.api.epochs import Epoch
from service.api.references import Named, NamedJob, NamedVersion
from service.api.schemas import left_out
from service.errors import LayerNotFound
from service.http import content_negotiation, etags
from service.http.bodies import request_body
from service.http.content_negotiation import Accept, Format
from service.http.etags import IfNoneMatch
from service.http.problems import InvalidParameter
from service.registry.networks import LoadedNetwork
from service.registry.refresh import resolve

router = APIRouter(tags=["models"])

JSON = Format("json", request_body.JSON)
TEXT = Format("text", "text/plain")
FORMATS = (JSON, TEXT)

FormatName = Annotated[str, WithJsonSchema({"type": "string", "enum": [one.name for one in FORMATS]})]
"""The name of a format. `content_negotiation.chosen` refuses every other string."""


Member = Annotated[
    int,
    Query(ge=0, lt=MAX_ENSEMBLE, description="Which network of an ensemble, counted from 0; 0 for a single network."),
]


class LayerArray(BaseModel):
    """The weights or the biases of a layer."""

    key: str = Field(description="Its key in the `state_dict`.")
    shape: list[int] = Field(description="As in the `state_dict`: (outputs, inputs) for weights of `nn.Linear`.")
    min: float = Field(description="The least value.")
    max: float = Field(description="The greatest value.")
    values: list[float] | list[list[float]] | None = Field(description="Null with `weights=false`.")


class Layer(BaseModel):
    """A layer of a network, as torch lists it: a linear one, or an activation."""

    index: int = Field(description="Its place in the network, counted from 0.")
    name: str = Field(description="The name of its module; of raw parameters the name of the weight.")
    type: str = Field(description="Its class in `torch.nn`, such as `Linear`.")
    text: str = Field(description="The layer as torch prints it.")
    n_outputs: int = Field(description="Length of its output.")
    activation: Activation | None = Field(description="What it computes, as `network.activation`; null if linear.")
    weight: LayerArray | None = Field(description="Null for an activation.")
    bias: LayerArray | None = Field(description="Null for an activation.")


class Layers(BaseModel):
    """The layers of a network, or of one network of an ensemble."""

    object: Literal["model.layers"] = "model.layers"
    model: str | None = Field(description="The name of the model; null for a job that publishes nothing.")
    version: int | None = Field(description="The number of the version; null for a job without a version.")
    job_id: str | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The job of the network, if it has no version."
    )
    epoch: int | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The epoch of the weights, if the request names one or a job."
    )
    n_networks: int = Field(description="Number of networks of the version; more than 1 for an ensemble.")
    member: int = Field(description="Which of them this is, counted from 0.")
    n_parameters: int = Field(description="Number of weights and biases of this network.")
    text: str = Field(description="The network as torch prints it.")
    layers: list[Layer] = Field(description="In the order in which torch lists them.")


_CACHING = etags.documented()
_KNOWN = etags.not_modified(_CACHING)
EpochQuery = Annotated[Epoch, Query()]
WithWeights = Annotated[bool, Query(description="Whether to return all weights: up to 4,000,000 numbers, about 48 MB.")]
FormatQuery = Annotated[
    FormatName | None, Query(alias="format", description="By default the format that `Accept` prefers, else JSON.")
]
_PRINTED = {"schema": {"type": "string", "description": "The network as torch prints it."}}


@router.get(
    "/models/{name}/versions/{version}/layers",
    response_model=Layers,
    responses={
        200: {"content": {TEXT.media_type: _PRINTED}, "headers": _CACHING},
        304: _KNOWN,
    },
)
async def list_layers(
    name: ModelPath,
    version: VersionPath,
    services: ServicesDep,
    request: Request,
    member: Member = 0,
    epoch: EpochQuery = None,
    weights: WithWeights = True,
    format_name: FormatQuery = None,
    accept: Accept = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Returns the layers of a version with their weights, or its network as torch prints it."""
    asked = _Asked(member, epoch, weights, content_negotiation.chosen(FORMATS, accept, format_name))
    return await _respond(NamedVersion(name, version), asked, services, request, if_none_match)


@router.get(
    "/jobs/{job_id}/layers",
    response_model=Layers,
    responses={200: {"content": {TEXT.media_type: _PRINTED}, "headers": _CACHING}, 304: _KNOWN},
)
async def list_job_layers(
    job_id: JobPath,
    services: ServicesDep,
    request: Request,
    member: Member = 0,
    epoch: EpochQuery = None,
    weights: WithWeights = True,
    format_name: FormatQuery = None,
    accept: Accept = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Returns the layers of the network of a job: of its version, or of the newest weights of a running job."""
    asked = _Asked(member, epoch, weights, content_negotiation.chosen(FORMATS, accept, format_name))
    return await _respond(NamedJob(job_id), asked, services, request, if_none_match)


class _Asked(NamedTuple):
    """The options of a request for layers."""

    member: int
    epoch: int | None
    weights: bool
    form: Format


async def _respond(named: Named, asked: _Asked, services: Services, request: Request, if_none_match: str) -> Response:
    member, epoch, weights, form = asked
    found = await services.answering(named, epoch, request.receive)
    _check(member, found)

    def encode() -> bytes:
        return _network(found, member, with_values=weights) if form is JSON else f"{_text(found)}\n".encode()

    if found.validator is None:
        body = await to_thread.run_sync(encode, limiter=services.heavy_threads)
        return Response(body, media_type=form.media_type, headers={"Vary": "Accept", "Cache-Control": etags.NO_STORE})
    # another release may show other fields
    tag = etags.entity_tag(request.app.version, found.answered_by, found.validator, member, weights, form.name)
    known = etags.is_known(tag, if_none_match)
    body = b"" if known else await to_thread.run_sync(encode, limiter=services.heavy_threads)
    return etags.respond(body, tag, if_none_match, media_type=form.media_type, headers={"Vary": "Accept"})


@router.get("/models/{name}/versions/{version}/layers/{layer}", response_model=Layer)
async def get_layer(
    name: ModelPath,
    version: VersionPath,
    layer: Annotated[str, Path(description="The index of a layer, such as `0`, or its name, such as `layer1`.")],
    services: ServicesDep,
    member: Member = 0,
) -> Response:
    """Returns one layer of a version with its weights: at most 1,049,600 numbers, some 13 MB."""
    found = await resolve(services.registry, name, version)
    _check(member, found)
    body = await to_thread.run_sync(_one, found, member, layer, limiter=services.heavy_threads)
    return Response(body, media_type=request_body.JSON)


def _check(member: int, version: LoadedNetwork) -> None:
    """Checks that a version has enough networks.

    Raises:
        InvalidParameter: it has fewer.
    """
    networks = len(version.exported.members)
    if member >= networks:
        raise InvalidParameter("member", f"must be less than {networks}, the number of networks of this version")


def _network(version: LoadedNetwork, member: int, *, with_values: bool) -> bytes:
    """The body of `Layers`."""
    exported = version.exported
    state = exported.state_of_member(member)
    layers = [
        _layer(i, part, exported.prefixes[member], state, with_values=with_values)
        for i, part in enumerate(_parts(version))
    ]
    network = {
        "object": "model.layers",
        **version.answered_by,
        "n_networks": len(exported.members),
        "member": member,
        "n_parameters": exported.members[member].size,
        "text": _text(version),
        "layers": layers,
    }
    return orjson.dumps(network, option=orjson.OPT_SERIALIZE_NUMPY)


def _one(version: LoadedNetwork, member: int, wanted: str) -> bytes:
    """The body of `Layer`, for the layer of an index or name. Where a name is a number, it is also the index.

    Raises:
        LayerNotFound: there is no such layer.
    """
    exported = version.exported
    for i, part in enumerate(_parts(version)):
        if wanted in (str(i), part.name):
            state = exported.state_of_member(member)
            layer = _layer(i, part, exported.prefixes[member], state, with_values=True)
            return orjson.dumps(layer, option=orjson.OPT_SERIALIZE_NUMPY)
    raise LayerNotFound.named(wanted)


def _layer(
    index: int, part: Part, prefix: str, state: Mapping[str, FloatArray], *, with_values: bool
) -> dict[str, Any]:
    """The values of the fields of `Layer`. `prefix` is what the keys of its network begin with in the state dict."""
    keys = (part.linear.weight, part.linear.bias) if part.linear else (None, None)
    weight, bias = (_array(prefix + key, state[key], with_values=with_values) if key else None for key in keys)
    return {
        "index": index,
        "name": part.name,
        "type": part.kind,
        "text": part.text,
        "n_outputs": part.units,
        "activation": part.activation,
        "weight": weight,
        "bias": bias,
    }


def _array(key: str, array: FloatArray, *, with_values: bool) -> dict[str, Any]:
    """The values of the fields of `LayerArray`."""
    values = digits(array) if with_values else None
    return {"key": key, "shape": array.shape, "min": array.min(), "max": array.max(), "values": values}


def _text(version: LoadedNetwork) -> str:
    return printing.text(version.card.network.kind, _parts(version))


def _parts(version: LoadedNetwork) -> list[Part]:
    return printing.parts(version.exported.layout)
