"""The options by which a client describes a file, where the file itself is not enough."""

from dataclasses import dataclass
from typing import Literal, get_args

from models.datasets import Label
from models.specs import Activation, NetworkKind

BatchNormPlace = Literal["before", "after"]
"""Where a BatchNorm layer stands: before the activation, or after it."""

BATCH_NORM_PLACES: tuple[BatchNormPlace, ...] = get_args(BatchNormPlace)


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """A description of a file. None means to infer the value, or to use a default, which is then reported.

    Attributes:
        kind: how to read the layers, where their names allow several readings.
        activation: of the hidden layers.
        batch_norm: where BatchNorm layers stand.
        entry: the name of the entry that has the weights, if several may be meant.
        inputs: the derived inputs, see `models.networks.terms`.
        classes: the label of each class.
        feature_names: the name of each coordinate.
        offset: what to subtract from each coordinate, in data units, before the network sees it.
        divisor: what to divide each coordinate by afterwards, in data units, positive.
        data_min, data_max: least and greatest value of each coordinate of the data, in data units.
    """

    kind: NetworkKind | None = None
    activation: Activation | None = None
    batch_norm: BatchNormPlace | None = None
    entry: str | None = None
    inputs: tuple[str, ...] | None = None
    classes: tuple[Label, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    offset: tuple[float, ...] | None = None
    divisor: tuple[float, ...] | None = None
    data_min: tuple[float, ...] | None = None
    data_max: tuple[float, ...] | None = None
