"""Where several trainings stand: kept on the disk, they go on from there after whatever ended them. No torch."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from models.datasets import Array, FloatArray
from models.training.run_state import RunState
from models.training.runs import Metrics, Outcome, Restart

FORMAT = 1

_NO_DIGEST = "0" * 64
_DIGEST = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')  # as it stands in JSON within JSON


@dataclass(frozen=True, eq=False)
class Running:
    """One of the trainings, in progress: passes begun, what it goes on from, and its network's state dict by then."""

    epochs: int
    state: RunState
    weights: dict[str, FloatArray]


@dataclass(frozen=True, eq=False)
class Leading:
    """The best of those that ended: which it is, how it ended, and its network's state dict."""

    restart: int
    outcome: Outcome
    weights: dict[str, FloatArray]


@dataclass(frozen=True, eq=False)
class ResumeState:
    """Where the restarts of one `TrainingSpec` stand, by number; those that are not in it have yet to begin.

    Attributes:
        task: a digest of what is trained, with what and how; nothing else can go on from here.
        running: those in progress.
        ended: what came of the others.
        leading: the best of these; None if none has ended.
    """

    task: str
    running: dict[int, Running]
    ended: dict[int, Restart]
    leading: Leading | None

    @property
    def passes(self) -> dict[int, int]:
        """Epochs begun by each restart so far."""
        return {number: one.epochs for number, one in sorted((self.ended | self.running).items())}

    @property
    def weights(self) -> dict[str, FloatArray]:
        """A state dict to show meanwhile: of the best that ended, else of the first in progress; empty without any."""
        if self.leading:
            return self.leading.weights
        return self.running[min(self.running)].weights if self.running else {}

    def to_bytes(self) -> bytes:
        """As a safetensors file, with a digest of it all; the same standing always gives the same bytes."""
        arrays = {f"leading.{key}": array for key, array in (self.leading.weights if self.leading else {}).items()}
        for number, one in self.running.items():
            arrays |= {f"{number}.state.{key}": array for key, array in one.state.items()}
            arrays |= {f"{number}.weights.{key}": array for key, array in one.weights.items()}
        metadata = {"standing": json.dumps(self._fields(), allow_nan=False)}
        # it is memory as it lies that is written
        content = safetensors.numpy.save({key: np.asarray(arrays[key], order="C") for key in arrays}, metadata)
        return content.replace(_NO_DIGEST.encode(), hashlib.sha256(content).hexdigest().encode(), 1)

    def _fields(self) -> dict[str, Any]:
        """All but the arrays, of which it has the names, since safetensors keeps them in an order of its own.

        The digest is that of the file with this place for it.
        """
        return {
            "format": FORMAT,
            "sha256": _NO_DIGEST,
            "task": self.task,
            "running": {
                number: {"epochs": one.epochs, "state": [*one.state], "weights": [*one.weights]}
                for number, one in self.running.items()
            },
            "ended": {number: asdict(restart) for number, restart in self.ended.items()},
            "leading": self.leading
            and {
                "restart": self.leading.restart,
                "outcome": asdict(self.leading.outcome),
                "weights": [*self.leading.weights],
            },
        }

    @classmethod
    def from_bytes(cls, content: bytes) -> "ResumeState":
        """The standing that `to_bytes` wrote; its arrays cannot be written to.

        Raises:
            ValueError: it is damaged, or of another format. The message says why, in one line.
        """
        _check_digest(content)
        try:
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            fields = json.loads(header["__metadata__"]["standing"])
            if fields["format"] == FORMAT:
                return _resume_state(fields, safetensors.numpy.load(content))
        except (safetensors.SafetensorError, TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"is not a standing ({type(error).__name__})") from error
        raise ValueError(f"is not of format {FORMAT}")


def _check_digest(content: bytes) -> None:
    found = _DIGEST.search(content)
    if found is None:
        raise ValueError("has no SHA-256")
    digest = hashlib.sha256(content[: found.start(1)])
    digest.update(_NO_DIGEST.encode())
    digest.update(content[found.end(1) :])
    if digest.hexdigest().encode() != found[1]:
        raise ValueError("is not what was written (its SHA-256 differs)")


def _resume_state(fields: dict[str, Any], arrays: Mapping[str, Array]) -> ResumeState:
    return ResumeState(
        fields["task"],
        {int(number): _running(number, one, arrays) for number, one in fields["running"].items()},
        {int(number): Restart(**_measured(restart)) for number, restart in fields["ended"].items()},
        _leading(fields["leading"], arrays) if fields["leading"] else None,
    )


def _running(number: str, fields: dict[str, Any], arrays: Mapping[str, Array]) -> Running:
    state = _taken(arrays, f"{number}.state", fields["state"])
    return Running(fields["epochs"], state, _taken(arrays, f"{number}.weights", fields["weights"]))


def _leading(fields: dict[str, Any], arrays: Mapping[str, Array]) -> Leading:
    weights = _taken(arrays, "leading", fields["weights"])
    return Leading(fields["restart"], Outcome(**_measured(fields["outcome"])), weights)


def _taken(arrays: Mapping[str, Array], prefix: str, keys: Iterable[str]) -> dict[str, Array]:
    return {key: arrays[f"{prefix}.{key}"] for key in keys}


def _measured(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record with its metrics as such."""
    return fields | {"metrics": Metrics(**fields["metrics"]) if fields["metrics"] else None}
