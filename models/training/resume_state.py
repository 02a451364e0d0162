"""Resume states: where the restarts of an unfinished training are, in one file, to continue after any interruption.

No torch.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from models.datasets import Array, FloatArray
from models.training.run_state import RunState
from models.training.runs import NO_HISTORY, History, Metrics, Outcome, Restart

FORMAT = 2

_DIGEST_BYTES, _LENGTH_BYTES = 32, 8


@dataclass(frozen=True, eq=False)
class Running:
    """A restart in progress.

    Attributes:
        epochs: how many it has started.
        state: what to resume from.
        weights: the network's state dict at that point.
        history: the figures up to there.
    """

    epochs: int
    state: RunState
    weights: dict[str, FloatArray]
    history: History = NO_HISTORY


@dataclass(frozen=True, eq=False)
class BestSoFar:
    """A network that is kept of the restarts that have ended: its number, its outcome, and its state dict."""

    restart: int
    outcome: Outcome
    weights: dict[str, FloatArray]


@dataclass(frozen=True, eq=False)
class ResumeState:
    """Where the restarts of one `TrainingSpec` are, by number. Restarts that are in no field have not started.

    Attributes:
        task: a digest of data, network and settings. Only the same training can resume from here.
        running: restarts in progress.
        ended: results of the restarts that have ended.
        best: the best of these; None if none has ended.
        members: the networks of an ensemble that have ended, the best included; empty without an ensemble.
    """

    task: str
    running: dict[int, Running]
    ended: dict[int, Restart]
    best: BestSoFar | None
    members: tuple[BestSoFar, ...] = ()

    @property
    def epochs(self) -> dict[int, int]:
        """Epochs started so far, by restart."""
        return {number: one.epochs for number, one in sorted((self.ended | self.running).items())}

    @property
    def weights(self) -> dict[str, FloatArray]:
        """A state dict to show during training: of the best so far, else the first restart in progress, else empty."""
        if self.best:
            return self.best.weights
        return self.running[min(self.running)].weights if self.running else {}

    def to_bytes(self) -> bytes:
        """The content of a resume state file. Equal resume states give equal bytes.

        That is the SHA-256 of what follows (32 bytes), the length of a JSON text (8 bytes, little-endian), the JSON
        text with all fields but the arrays, and the arrays as safetensors.
        """
        arrays = {f"best.{key}": array for key, array in (self.best.weights if self.best else {}).items()}
        for member in self.members:
            arrays |= {f"members.{member.restart}.{key}": array for key, array in member.weights.items()}
        for number, one in self.running.items():
            arrays |= {f"{number}.state.{key}": array for key, array in one.state.items()}
            arrays |= {f"{number}.weights.{key}": array for key, array in one.weights.items()}
        header = json.dumps(self._fields(), allow_nan=False).encode()
        # safetensors writes the memory of an array as it is, whatever its strides
        packed = safetensors.numpy.save({key: np.asarray(arrays[key], order="C") for key in arrays})
        content = len(header).to_bytes(_LENGTH_BYTES, "little") + header + packed
        return hashlib.sha256(content).digest() + content

    def _fields(self) -> dict[str, Any]:
        """All fields but the arrays. It has the arrays' names, because safetensors does not keep their order."""
        return {
            "format": FORMAT,
            "task": self.task,
            "running": {
                number: {
                    "epochs": one.epochs,
                    "state": [*one.state],
                    "weights": [*one.weights],
                    "history": one.history.to_json(),
                }
                for number, one in self.running.items()
            },
            "ended": {number: asdict(restart) for number, restart in self.ended.items()},
            "best": self.best and _kept_fields(self.best),
            "members": [_kept_fields(member) for member in self.members],
        }

    @classmethod
    def from_bytes(cls, content: bytes) -> "ResumeState":
        """The resume state that `to_bytes` wrote. Its arrays are read-only.

        Raises:
            ValueError: the content is damaged, or has another format. The message is one line.
        """
        digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("is not what was written (its SHA-256 differs)")
        arrays_start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        try:
            fields = json.loads(content[_LENGTH_BYTES:arrays_start])
            if fields["format"] == FORMAT:
                return _resume_state(fields, safetensors.numpy.load(content[arrays_start:]))
        except (safetensors.SafetensorError, TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"is not a resume state ({type(error).__name__})") from error
        raise ValueError(f"is not of format {FORMAT}")


def _kept_fields(kept: BestSoFar) -> dict[str, Any]:
    return {"restart": kept.restart, "outcome": asdict(kept.outcome), "weights": [*kept.weights]}


def _resume_state(fields: dict[str, Any], arrays: Mapping[str, Array]) -> ResumeState:
    return ResumeState(
        fields["task"],
        {int(number): _running(number, one, arrays) for number, one in fields["running"].items()},
        {int(number): Restart(**_with_metrics(restart)) for number, restart in fields["ended"].items()},
        _kept(fields["best"], arrays, "best") if fields["best"] else None,
        tuple(_kept(one, arrays, f"members.{one['restart']}") for one in fields.get("members", ())),
    )


def _running(number: str, fields: dict[str, Any], arrays: Mapping[str, Array]) -> Running:
    state = _arrays_of(arrays, f"{number}.state", fields["state"])
    history = History.from_json(fields.get("history", {}))  # a file of an old release has none
    return Running(fields["epochs"], state, _arrays_of(arrays, f"{number}.weights", fields["weights"]), history)


def _kept(fields: dict[str, Any], arrays: Mapping[str, Array], prefix: str) -> BestSoFar:
    weights = _arrays_of(arrays, prefix, fields["weights"])
    outcome = _with_metrics(fields["outcome"])
    history = History.from_json(outcome.get("history", {}))
    return BestSoFar(fields["restart"], Outcome(**outcome | {"history": history}), weights)


def _arrays_of(arrays: Mapping[str, Array], prefix: str, keys: Iterable[str]) -> dict[str, Array]:
    return {key: arrays[f"{prefix}.{key}"] for key in keys}


def _with_metrics(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record, with its metrics as `Metrics`."""
    return fields | {"metrics": Metrics(**fields["metrics"]) if fields["metrics"] else None}
