"""The schemas of networks as JSON, which `models.exports.json_weights` writes, see docs/decisions/0028."""

from typing import Literal

from pydantic import BaseModel, Field

from models.specs import Activation
from service.api.schemas import ResolvedNetwork


class DerivedInput(BaseModel):
    """An input of the first layer, computed from the coordinates."""

    function: Literal["product", "sin", "cos"] = Field(description="What it computes.")
    of: list[int] = Field(description="The coordinates, counted from 0: one or two of a product, else one.")


class InputTransform(BaseModel):
    """What happens to the coordinates of a point before the first layer, in double precision, in this order."""

    offset: list[float] | None = Field(description="What is subtracted from each coordinate; null if nothing.")
    divisor: list[float] | None = Field(description="What each coordinate is then divided by; null if nothing.")
    terms: list[DerivedInput] | None = Field(description="The inputs of the first layer; null for the coordinates.")


class DenseLayer(BaseModel):
    """A linear layer and its activation: `activation(weight @ x + bias)`."""

    name: str = Field(description="As in `.../layers`.")
    activation: Activation = Field(description="Applied to its output.")
    weight: list[list[float]] = Field(description="(outputs, inputs).")
    bias: list[float] = Field(description="(outputs,).")


class MemberNetwork(BaseModel):
    """The weights of a network."""

    layers: list[DenseLayer] = Field(description="First to last.")
    skip: DenseLayer | None = Field(
        description="A layer from the inputs directly to the output, for `residual`; null otherwise."
    )


class _Description(BaseModel):
    format: Literal["separatrix-network"] = "separatrix-network"
    format_version: Literal[1] = 1
    model: str = Field(description="The name of the model.")
    version: int = Field(description="The number of the version.")
    n_networks: int = Field(description="Number of networks; more than 1 for an ensemble.")
    network: ResolvedNetwork
    n_features: int = Field(description="Number of coordinates of a point.")
    feature_names: list[str] | None = Field(description="The name of each coordinate; null without names.")
    categories: dict[str, list[str]] | None = Field(
        description="The values of each text column, whose features are named `column=value`; null without any."
    )
    classes: list[int] | list[str] = Field(description="The classes, in the order of the outputs.")
    transform: InputTransform


class NetworkDocument(MemberNetwork, _Description):
    """A network with all its weights."""


class EnsembleDocument(_Description):
    """An ensemble with the weights of all its networks. It answers with the mean of their probabilities."""

    members: list[MemberNetwork] = Field(description="The networks, two or more, all of the same shape.")
