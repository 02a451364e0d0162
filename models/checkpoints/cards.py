"""A checkpoint as a serving process reads it: the card, and the weights as arrays. No torch.

A checkpoint is a folder of three files. `network.pth` is the network's `state_dict`, for anybody's torch script;
`network.safetensors` is the same state as plain arrays, which load without torch; `card.json` says how they came to be
and holds the digests of both, so that damage to any of the three is found.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from models import specs
from models.datasets import Label
from models.networks.layouts import layout
from models.networks.plans import Plan, plan_of
from models.specs import InvalidInput, NetworkSpec, TrainingSpec

FORMAT = 1
CARD_FILE = "card.json"
NETWORK_FILE = "network.pth"
ARRAYS_FILE = "network.safetensors"


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be served. The message says which file and why, in one line, without a path."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """How a checkpoint came to be.

    Attributes:
        network: the architecture.
        features: coordinates of a point.
        classes: the label of each class.
        training: every setting, resolved.
        data: the data set's specification, or `{"points": N, "features": D}` for points that somebody gave.
        data_digest: `LabelledPoints.digest`.
        low, high: the least and greatest value of each coordinate of the data, in data units.
        median: of each coordinate of the data; empty in cards that were written before there was one.
        recipe: `Recipe.digest`.
        ending, epochs, implementation: of `training.Outcome`.
        metrics: of `training.Outcome`, or None.
        restarts: `training.Restart`s as JSON, all that were trained; the checkpoint is the best of them.
        created_at: ISO 8601, UTC.
        software: versions by name.
        files: SHA-256 (hex) by file name.
    """

    network: NetworkSpec
    features: int
    classes: tuple[Label, ...]
    training: TrainingSpec
    data: dict[str, Any]
    data_digest: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    recipe: str
    ending: str
    epochs: int
    metrics: dict[str, float | None] | None
    created_at: str
    software: dict[str, str]
    files: dict[str, str]
    implementation: str = "torch"  # before there was another, cards did not say
    restarts: tuple[dict[str, Any], ...] = ()
    median: tuple[float, ...] = ()

    @property
    def middle(self) -> tuple[float, ...]:
        """A typical value of each coordinate: its median, if the card has it, else the middle of its range."""
        return self.median or tuple(low / 2 + high / 2 for low, high in zip(self.low, self.high, strict=True))

    def to_json(self) -> bytes:
        """The card as it stands in `card.json`, UTF-8."""
        fields = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        fields |= {"network": specs.asdict(self.network), "training": asdict(self.training)}
        return json.dumps({"format": FORMAT, **fields}, indent=2, allow_nan=False).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Card":
        """The card from the bytes of `card.json`.

        Raises:
            DamagedCheckpoint: not a card, or one of another format.
        """
        try:
            fields = json.loads(text)
            if fields.pop("format") != FORMAT:
                raise DamagedCheckpoint(f"{CARD_FILE}: not of format {FORMAT}")
            fields["network"] = NetworkSpec(**fields["network"])
            fields["training"] = TrainingSpec(**fields["training"])
            for key in fields.keys() & {"classes", "low", "high", "median", "restarts"}:
                fields[key] = tuple(fields[key])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedCheckpoint(f"{CARD_FILE}: not a card ({type(error).__name__})") from error


def digest(content: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def read(folder: Path, *, card_digest: str) -> tuple[Card, Plan]:
    """A checkpoint, ready to answer, after every file of it has been held against its digest.

    Raises:
        DamagedCheckpoint: a file is missing or not what was written, or the weights do not fit the network.
        OSError: a file cannot be read now, which says nothing about what is in it.
    """
    card = Card.from_json(_read_file(folder / CARD_FILE, card_digest))
    for name in (NETWORK_FILE, ARRAYS_FILE):
        if name not in card.files:
            raise DamagedCheckpoint(f"{CARD_FILE}: has no digest of {name}")
    _read_file(folder / NETWORK_FILE, card.files[NETWORK_FILE])
    arrays = _read_file(folder / ARRAYS_FILE, card.files[ARRAYS_FILE])
    try:
        state = safetensors.numpy.load(arrays)
        return card, plan_of(layout(card.network, card.features, len(card.classes)), state)
    except (safetensors.SafetensorError, InvalidInput) as error:
        raise DamagedCheckpoint(f"{ARRAYS_FILE}: {error}") from error


def _read_file(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedCheckpoint(f"{path.name}: is missing") from error
    if digest(content) != expected:
        raise DamagedCheckpoint(f"{path.name}: is not the file that was written (its SHA-256 differs)")
    return content
