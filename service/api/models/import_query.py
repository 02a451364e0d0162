"""How to read a checkpoint, as query parameters and as options of the command line."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from models.datasets import Label
from models.imports.options import BatchNormPlace, ImportOptions
from models.limits import (
    MAX_CLASSES,
    MAX_COORDINATE,
    MAX_FEATURES,
    MAX_INPUT_LENGTH,
    MAX_LABEL_LENGTH,
    MAX_NAME_LENGTH,
)
from models.specs import Activation, InvalidInput, NetworkKind
from service.http.query_parameters import list_of
from service.inference import features

_WHOLE = re.compile("0|-?[1-9][0-9]{0,15}")

MAX_TEXTS = {"feature_names": 900, "inputs": 400}
"""Maximum number of items of a list of texts in a query: the HTTP server refuses a query of more than 64 KB."""

# `features.items` splits the lists, because a text may contain a comma
_Labels = Annotated[
    list[str], list_of({"type": "string", "minLength": 1, "maxLength": MAX_LABEL_LENGTH}, maxItems=MAX_CLASSES)
]
_Names = Annotated[
    list[str],
    list_of({"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH}, maxItems=MAX_TEXTS["feature_names"]),
]
_Terms = Annotated[
    list[str], list_of({"type": "string", "minLength": 1, "maxLength": MAX_INPUT_LENGTH}, maxItems=MAX_TEXTS["inputs"])
]
_Numbers = Annotated[
    list[str],
    list_of({"type": "number", "minimum": -MAX_COORDINATE, "maximum": MAX_COORDINATE}, maxItems=MAX_FEATURES),
]


class ImportQuery(BaseModel):
    """What a checkpoint does not say. A value that is not given is inferred; an ambiguous checkpoint is refused."""

    model_config = ConfigDict(extra="forbid")

    activation: Activation | None = Field(
        None,
        description="Activation of the hidden layers. Needed for a state dict, which does not contain it. `gelu` is "
        "the form with tanh.",
    )
    kind: NetworkKind | None = Field(
        None, description="Kind of network. By default inferred from the names of the layers."
    )
    classes: _Labels | None = Field(None, description="The label of each class, such as red,blue. By default 0, 1, ...")
    feature_names: _Names | None = Field(None, description="The name of each feature, such as length,width.")
    offset: _Numbers | None = Field(
        None, description="What to subtract from each feature before the network sees it, such as the means: 5.8,3.1."
    )
    divisor: _Numbers | None = Field(
        None, description="What to divide each feature by afterwards, such as the standard deviations: 0.8,0.4."
    )
    data_min: _Numbers | None = Field(
        None, description="Least value of each feature in the data. With `data_max` it places pictures."
    )
    data_max: _Numbers | None = Field(None, description="Greatest value of each feature in the data.")
    inputs: _Terms | None = Field(
        None,
        description="Derived inputs of the network, such as x,y,x^2,x*y, computed after `offset` and `divisor`.",
    )
    batch_norm: BatchNormPlace | None = Field(
        None, description="Whether BatchNorm stands before or after the activation, if the names do not say it."
    )
    entry: str | None = Field(
        None, max_length=256, description="The entry that has the weights, if several do, such as ema."
    )

    def options(self) -> ImportOptions:
        """The options of the reader.

        Raises:
            InvalidInput: a number is not one, or out of bounds.
        """
        given: dict[str, Any] = {name: value for name, value in self if value is not None}
        for name in ("offset", "divisor", "data_min", "data_max"):
            if name in given:
                given[name] = features.numbers(name, [text.strip() for text in features.items(given[name])])
        for name in ("feature_names", "inputs"):
            if name in given:
                given[name] = tuple(map(_text, features.items(given[name])))
                if len(given[name]) > MAX_TEXTS[name]:
                    raise InvalidInput(name, f"must be at most {MAX_TEXTS[name]} in a query")
        if "classes" in given:
            given["classes"] = _labels([_text(item) for item in features.items(given["classes"])])
        return ImportOptions(**given)


LISTS = ("classes", "feature_names", "offset", "divisor", "data_min", "data_max", "inputs")
"""The fields that are lists."""


def _text(item: str) -> str:
    """An item of a list without blanks and quotes around it."""
    text = item.strip()
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"') if is_quoted else text


def _labels(texts: list[str]) -> tuple[Label, ...]:
    """The labels: whole numbers if all of them are, else texts."""
    if all(map(_WHOLE.fullmatch, texts)):
        return tuple(map(int, texts))
    return tuple(texts)
