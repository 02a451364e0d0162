"""Reads checkpoints without torch, as a serving process does: the card, and the weights as arrays.

A checkpoint is a folder of three or four files. `network.pth` is the network's `state_dict`, for any torch script.
`network.safetensors` is the same state as plain arrays, which load without torch. `card.json` describes the training
and contains the digests of the other files. `training_range.safetensors` is a `models.training_range`. The caller knows
the digest of the card, so that damage to any file is detected.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from models import categories, specs
from models.datasets import Categories, Label
from models.networks import terms
from models.networks.derived import Derived
from models.networks.layouts import layout, states_of
from models.networks.plans import AnyPlan, of_members, plan_of
from models.networks.transforms import IDENTITY, Shift, Transform
from models.recipes import Recipe
from models.specs import InvalidInput, NetworkSpec, TrainingSpec
from models.training import cost_model
from models.training.runs import StopReason
from models.training_range import TrainingRange

FORMAT = 2
"""Format 1 had other names; see `_from_format_1`."""

CARD_FILE = "card.json"
NETWORK_FILE = "network.pth"
ARRAYS_FILE = "network.safetensors"
RANGE_FILE = "training_range.safetensors"
"""Only of versions that were trained here, and not by an old release."""

EPOCHS_FILE = "epochs.safetensors"
"""Exists only if the training kept its weights after some epochs."""

EPOCHS_KEY = "epochs"
"""The name of the array of epochs in `EPOCHS_FILE`. The other arrays have a row for each of them."""


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be used. The message names the file and the reason, in one line, without a path."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """The description of a checkpoint and its training.

    A network that was imported has `imported`. What is unknown of its data and its training is None.

    Attributes:
        network: the architecture.
        features: number of coordinates of a point.
        classes: the label of each class.
        training: every setting, resolved.
        data: the dataset's specification, or `{"n_points": N, "n_features": D}` for points given by a client, with
            `feature_names` if they have some, and with `categories`, the values of each text column, if some are text.
            A separate validation set is described in `validation`.
        data_digest: `LabelledPoints.digest`.
        low, high: minimum and maximum of each coordinate of the data, in data units. Assumed values, which place
            pictures and nothing else, if `range_is_assumed`.
        median: of each coordinate of the data. Empty in old cards.
        evaluation: of the `training` points and, if there are any, of the `validation` points and in
            `cross_validation`: an `models.training.evaluation.Evaluation` as JSON for each. Empty in old cards.
        warnings: what a user should know before using the network.
        search: how the settings were chosen (`models.selection.search.Choice.search`); None if they were not.
        history: of each network that answers: `models.training.runs.History` as JSON. Empty in old cards.
        started_from: the version at whose weights the training began: its `model` and `version`, and the `digest` of
            its weights. None if it began at random ones.
        offset: what the network subtracts from each coordinate, in float64; empty if nothing.
        divisor: what it then divides each coordinate by, in float64, before it computes derived inputs; empty without.
        recipe: `Recipe.digest`.
        stop_reason, epochs, implementation, metrics: as in `models.training.runs.Outcome`.
        restarts: `models.training.runs.Restart`s as JSON, all that were trained. The checkpoint is the best of them.
        range_is_assumed: whether the range of the data is unknown.
        imported: what is known of the file of an imported network: its `format`, the `digest` and `size_bytes` of the
            file, what was `understood` (sentences), `networks` if it is an ensemble of several, and `feature_names` and
            `categories` as in `data`.
        created_at: ISO 8601, UTC.
        software: versions by name.
        files: SHA-256 (hex) by file name.
    """

    network: NetworkSpec
    features: int
    classes: tuple[Label, ...]
    training: TrainingSpec | None
    data: dict[str, Any] | None
    data_digest: str | None
    low: tuple[float, ...]
    high: tuple[float, ...]
    recipe: str | None
    stop_reason: StopReason | None
    epochs: int | None
    metrics: dict[str, float | None] | None
    created_at: str
    software: dict[str, str]
    files: dict[str, str]
    implementation: str | None = "torch"  # old cards do not name it: there was no other
    restarts: tuple[dict[str, Any], ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    median: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    divisor: tuple[float, ...] = ()
    evaluation: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    search: dict[str, Any] | None = None
    started_from: dict[str, Any] | None = None
    range_is_assumed: bool = False
    imported: dict[str, Any] | None = None

    @property
    def _points(self) -> dict[str, Any]:
        """What is known of the coordinates: of the data, or of the imported file."""
        return self.data or self.imported or {}

    @property
    def middle(self) -> tuple[float, ...]:
        """A typical value of each coordinate: its median, or in old cards the middle of its range."""
        return self.median or tuple(low / 2 + high / 2 for low, high in zip(self.low, self.high, strict=True))

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The name of each coordinate; None if they have no names."""
        names = self._points.get("feature_names")
        return tuple(names) if names else None

    @property
    def categories(self) -> Categories:
        """The values of the text columns among the features."""
        return categories.from_json(self._points.get("categories"))

    @property
    def is_generated(self) -> bool:
        """Whether the data are from a generator."""
        return self.data is not None and "dataset" in self.data

    @property
    def transform(self) -> Transform:
        """The input transform of the network.

        Raises:
            InvalidInput: the derived inputs are not terms of the coordinates.
        """
        if self.network.inputs is not None:
            names = terms.parse(self.network.inputs, self.features, self.feature_names)
            return Derived(names, self.offset, self.divisor)
        return Shift(self.offset) if self.offset else IDENTITY

    @property
    def networks(self) -> int:
        """Number of networks that answer together."""
        return self.training.ensemble if self.training else (self.imported or {}).get("networks", 1)

    @property
    def summary(self) -> dict[str, Any]:
        """What lists of versions show: the network and its widths, the name of the data or None, and the metrics."""
        data = self.data or {}
        return {
            "kind": self.network.kind,
            "networks": self.networks,
            "widths": list(layout(self.network, self.features, len(self.classes)).widths),
            "dataset": data.get("dataset") or data.get("stored"),
            "n_points": data.get("n_points"),
            "metrics": self.metrics,
        }

    def to_json(self) -> bytes:
        """The content of `card.json`, UTF-8."""
        fields = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        fields |= {"network": specs.asdict(self.network), "training": asdict(self.training) if self.training else None}
        return json.dumps({"format": FORMAT, **fields}, indent=2, allow_nan=False).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Card":
        """The card from the content of `card.json`.

        Raises:
            DamagedCheckpoint: it is not a card, or has another format.
        """
        try:
            fields = json.loads(text)
            match fields.pop("format"):
                case 1:
                    fields = _from_format_1(fields)
                case int(other) if other > FORMAT:
                    raise DamagedCheckpoint(
                        f"{CARD_FILE}: a newer release of Separatrix wrote it. Install that release"
                    )
                case other if other != FORMAT:
                    raise DamagedCheckpoint(f"{CARD_FILE}: is not of format {FORMAT} or 1")
            fields["network"] = NetworkSpec(**fields["network"])
            fields["training"] = TrainingSpec(**fields["training"]) if fields["training"] else None
            for key in fields.keys() & {
                "classes",
                "low",
                "high",
                "median",
                "offset",
                "divisor",
                "restarts",
                "history",
                "warnings",
            }:
                fields[key] = tuple(fields[key])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedCheckpoint(f"{CARD_FILE}: is not a valid card ({type(error).__name__})") from error


def _from_format_1(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a card of release 0.1 by their present names."""
    restarts = [
        {
            "seed": one["seed"],
            "stop_reason": _STOP_REASONS_1[one["ending"]],
            "epochs_run": one["epochs"],
            "metrics": one["metrics"],
        }
        for one in fields.get("restarts", [])
    ]
    data = {_DATA_1.get(name, name): value for name, value in fields["data"].items()}
    stop_reason = _STOP_REASONS_1[fields.pop("ending")]
    return fields | {"data": data, "restarts": restarts, "stop_reason": stop_reason}


_DATA_1 = {"classes": "n_classes", "points": "n_points", "features": "n_features"}
_STOP_REASONS_1 = {
    "finished": "completed",
    "stalled": "early_stopped",
    "stopped": "stopped",
    "diverged": "diverged",
}


def of_recipe(recipe: Recipe, data: dict[str, Any], data_digest: str) -> Card:
    """The card of a training whose end is not known yet. For `data` and `data_digest` see `Card`."""
    points = recipe.points
    return Card(
        network=recipe.network,
        features=points.features,
        classes=points.classes,
        training=recipe.training,
        data=data,
        data_digest=data_digest,
        low=tuple(points.xy_ND.min(axis=0).tolist()),
        high=tuple(points.xy_ND.max(axis=0).tolist()),
        median=tuple(np.median(points.xy_ND, axis=0).tolist()),
        offset=recipe.scaling.offset,
        divisor=recipe.scaling.divisor,
        recipe=recipe.digest,
        stop_reason=None,
        epochs=None,
        metrics=None,
        created_at=datetime.now(UTC).isoformat(),
        software={},
        files={},
        implementation=cost_model.implementation(recipe.layout, len(recipe.parts[0].label_N), recipe.training),
    )


def digest(content: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def read(folder: Path, *, card_digest: str) -> tuple[Card, AnyPlan]:
    """The card and the plan of a checkpoint, after comparing every file with its digest.

    Raises:
        DamagedCheckpoint: a file is missing or damaged, or the weights do not fit the network.
        OSError: a file cannot be read at present. This says nothing about its content.
    """
    card = Card.from_json(_read_file(folder / CARD_FILE, card_digest))
    for name in (NETWORK_FILE, ARRAYS_FILE):
        if name not in card.files:
            raise DamagedCheckpoint(f"{CARD_FILE}: has no SHA-256 of {name}")
    _read_file(folder / NETWORK_FILE, card.files[NETWORK_FILE])
    arrays = _read_file(folder / ARRAYS_FILE, card.files[ARRAYS_FILE])
    try:
        state = safetensors.numpy.load(arrays)
        known = layout(card.network, card.features, len(card.classes))
        members = states_of(state, card.networks)
        return card, of_members([plan_of(known, member, card.transform) for member in members])
    except (safetensors.SafetensorError, InvalidInput) as error:
        raise DamagedCheckpoint(f"{ARRAYS_FILE}: {error}") from error


def read_epoch(folder: Path, card: Card, epoch: int) -> AnyPlan | None:
    """The plan of a network after an epoch of its training; None if the checkpoint has not kept that.

    Raises:
        DamagedCheckpoint: the file is missing or damaged.
        OSError: the file cannot be read at present. This says nothing about its content.
    """
    if EPOCHS_FILE not in card.files:
        return None
    try:
        arrays = safetensors.numpy.load(_read_file(folder / EPOCHS_FILE, card.files[EPOCHS_FILE]))
        epochs = arrays.pop(EPOCHS_KEY, np.empty(0)).tolist()  # missing in files of earlier releases
        if epoch not in epochs:
            return None
        index = epochs.index(epoch)
        known = layout(card.network, card.features, len(card.classes))
        return plan_of(known, {key: array_E[index] for key, array_E in arrays.items()}, card.transform)
    except (safetensors.SafetensorError, InvalidInput) as error:
        raise DamagedCheckpoint(f"{EPOCHS_FILE}: {error}") from error


def read_range(folder: Path, expected: str) -> TrainingRange:
    """The training range of a checkpoint, after comparing its file with the digest `expected`.

    Raises:
        DamagedCheckpoint: the file is missing or damaged.
        OSError: the file cannot be read at present. This says nothing about its content.
    """
    try:
        return TrainingRange.from_arrays(safetensors.numpy.load(_read_file(folder / RANGE_FILE, expected)))
    except (safetensors.SafetensorError, KeyError) as error:
        raise DamagedCheckpoint(f"{RANGE_FILE}: {error}") from error


def _read_file(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedCheckpoint(f"{path.name}: is missing") from error
    if digest(content) != expected:
        raise DamagedCheckpoint(f"{path.name}: is not the file that was written (its SHA-256 differs)")
    return content
