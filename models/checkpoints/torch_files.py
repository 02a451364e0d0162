"""Writes checkpoints and resume states, and reads `.pth` files: `state_dict`s that any torch script can load."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from torch import Tensor, nn

from models.checkpoints import atomic
from models.checkpoints.cards import (
    ARRAYS_FILE,
    CARD_FILE,
    EPOCHS_FILE,
    EPOCHS_KEY,
    NETWORK_FILE,
    RANGE_FILE,
    Card,
    DamagedCheckpoint,
    digest,
)
from models.datasets import FloatArray
from models.networks.layouts import check_shapes, layout
from models.networks.modules import build
from models.networks.plans import check_values
from models.specs import InvalidInput, NetworkSpec
from models.training.resume_state import ResumeState
from models.training_range import TrainingRange

RESUME_STATE_FILE = "resume_state.bin"


def save(
    folder: Path,
    state: Mapping[str, FloatArray],
    card: Card,
    training_range: TrainingRange | None = None,
    *,
    states_at: Mapping[int, Mapping[str, FloatArray]] | None = None,
    durable: bool = True,
) -> str:
    """Writes a checkpoint as a new folder, atomically. Fills in `card.files`.

    Args:
        folder: the new folder.
        state: the state dict of the network, or of the ensemble.
        card: its card.
        training_range: of the training points, for `cards.read_range`.
        states_at: its state dict after some epochs of the training, for `cards.read_epoch`.
        durable: whether the files must survive a power failure.

    Returns:
        The digest of the card, for `cards.read`.

    Raises:
        FileExistsError: the folder exists.
        OSError: the disk is full or cannot be written.
    """
    contents = {NETWORK_FILE: _network_file(state), ARRAYS_FILE: safetensors.numpy.save(dict(state))}
    if training_range is not None:
        contents[RANGE_FILE] = safetensors.numpy.save(training_range.to_arrays())
    if states_at:
        contents[EPOCHS_FILE] = _epochs_file(states_at)
    card_file = replace(card, files={name: digest(content) for name, content in contents.items()}).to_json()
    atomic.write_folder(folder, contents | {CARD_FILE: card_file}, durable=durable)
    return digest(card_file)


def save_resume_state(
    folder: Path, resume_state: ResumeState, weights: Mapping[str, FloatArray], *, durable: bool = True
) -> None:
    """Writes a resume state as a new folder, atomically, together with the weights to show during the training.

    `weights` is the state dict of `resume_state.weights` in data units, see `models.networks.scaling`.

    Raises:
        FileExistsError: the folder exists.
        OSError: the disk is full or cannot be written.
    """
    contents = {NETWORK_FILE: _network_file(weights), RESUME_STATE_FILE: resume_state.to_bytes()}
    atomic.write_folder(folder, contents, durable=durable)


def load_resume_state(folder: Path) -> ResumeState:
    """Reads what `save_resume_state` wrote. Ignores the weights beside it, which are for other programs.

    Raises:
        DamagedCheckpoint: the file is missing or damaged.
        OSError: the file cannot be read at present. This says nothing about its content.
    """
    try:
        return ResumeState.from_bytes((folder / RESUME_STATE_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedCheckpoint(f"{RESUME_STATE_FILE}: is missing") from error
    except ValueError as error:
        raise DamagedCheckpoint(f"{RESUME_STATE_FILE}: {error}") from error


def load(path: Path, spec: NetworkSpec, features: int, classes: int) -> nn.Module:
    """The network whose `state_dict` is in a `.pth` file, saved by this module or by any torch script.

    Only tensors are unpickled. Keys, shapes, dtypes and finiteness are checked before any weight is copied.

    Raises:
        DamagedCheckpoint: the file is not a `state_dict`, or does not belong to such a network.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch's unpickler, zip reader and storage code raise many different exceptions
        raise DamagedCheckpoint(f"{path.name}: not a state_dict ({type(error).__name__})") from error
    if not isinstance(state, dict) or not all(_is_float32(value) for value in state.values()):
        raise DamagedCheckpoint(f"{path.name}: not a state_dict of float32 tensors")
    try:
        # shapes first: a tiny file can claim a tensor of terabytes, which would fill the memory as an array
        check_shapes(layout(spec, features, classes).shapes, {key: tuple(value.shape) for key, value in state.items()})
        check_values(_arrays(state))
    except InvalidInput as error:
        raise DamagedCheckpoint(f"{path.name}: {error}") from error
    network = build(spec, features, classes, seed=0)
    network.load_state_dict(state)
    return network


def _network_file(state: Mapping[str, FloatArray]) -> bytes:
    content = io.BytesIO()
    torch.save({key: torch.tensor(array) for key, array in state.items()}, content)
    return content.getvalue()


def _epochs_file(states_at: Mapping[int, Mapping[str, FloatArray]]) -> bytes:
    """The content of `EPOCHS_FILE`. Each weight is one array over all epochs: hundreds of arrays take milliseconds."""
    keys = next(iter(states_at.values()))
    stacked = {key: np.stack([state[key] for state in states_at.values()]) for key in keys}
    return safetensors.numpy.save({EPOCHS_KEY: np.array(list(states_at), np.int64)} | stacked)


def _is_float32(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float32 and value.layout == torch.strided


def _arrays(state: dict[str, Tensor]) -> dict[str, FloatArray]:
    return {key: value.detach().contiguous().numpy() for key, value in state.items()}
