"""Trainings that begin at the weights of a version: its settings as defaults, and its weights kept with the job.

The weights are a file of the job, so that an accepted job can be trained after the version was deleted.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from models import feature_names, specs
from models.checkpoints.cards import ARRAYS_FILE, Card, digest
from models.corrections import corrected_part
from models.datasets import LabelledPoints
from models.inference import dispatch, numpy_forward
from models.networks.layouts import member_states
from models.networks.plans import AnyPlan, of_members, plan_of
from models.networks.starting_weights import FIELD, StartingWeights
from models.recipes import Recipe
from models.specs import InvalidInput, NetworkSpec, TrainingSpec, resolve_training
from models.training.evaluation import Evaluation
from models.wording import listed
from service.errors import VersionBroken
from service.registry.registry import LoadedVersion
from service.store.files import Files
from service.store.points_file import DamagedData

_OF_OPTIMIZER = ("epochs", "learning_rate", "momentum", "batch_size", "implementation")
"""Settings that suit only the optimizer that they were chosen for."""

_NOT_KEPT: dict[str, Any] = {"restarts": 1, "validation_fraction": 0.0, "validation_folds": None}
"""Settings of a version that a training from it does not take over. One network begins at the weights of the version,
and points held out now were not held out from the version."""


@dataclass(frozen=True)
class Start:
    """A version at whose weights a training begins.

    Attributes:
        version: the version.
        weights: its weights.
        file: the file of its weights.
        corrections: the points of the training that correct points of the version, see `service.jobs.corrections`; None
            if it is not a training on corrections.
    """

    version: LoadedVersion
    weights: StartingWeights
    file: Path
    corrections: dict[str, int] | None = None


def start_of(version: LoadedVersion, files: Files) -> Start:
    """Reads the weights of a version.

    Raises:
        VersionBroken: its file is missing or damaged.
    """
    card, file = version.card, files.checkpoint_folder(version.published.checkpoint_id) / ARRAYS_FILE
    try:
        weights = _read(file, card.files[ARRAYS_FILE], card.offset, card.divisor)
    except (DamagedData, OSError) as error:
        raise VersionBroken("The weights of the version cannot be read. Start from another version.") from error
    return Start(version, weights, file)


def _read(file: Path, expected: str, offset: tuple[float, ...], divisor: tuple[float, ...]) -> StartingWeights:
    """The weights in a file.

    Raises:
        DamagedData: the file is missing, or is not the expected one.
        OSError: the file cannot be read now.
    """
    try:
        content = file.read_bytes()
        if digest(content) == expected:
            return StartingWeights(safetensors.numpy.load(content), offset, divisor, expected)
    except (FileNotFoundError, NotADirectoryError, safetensors.SafetensorError) as error:
        raise DamagedData("The weights that the job starts from are missing from the data folder.") from error
    raise DamagedData("The weights that the job starts from are not the ones that it was submitted with.")


def describe(start: Start) -> dict[str, Any]:
    """The version and its weights as they stand in the row of a job: all that `load` needs beside the file."""
    published, weights = start.version.published, start.weights
    return {
        "model": published.model,
        "version": published.version,
        "digest": weights.digest,
        "offset": list(weights.offset),
        "divisor": list(weights.divisor),
        "corrections": start.corrections,
    }


def load(files: Files, job_id: str, known: dict[str, Any] | None) -> StartingWeights | None:
    """Returns the weights that a job starts from, by what `describe` says of them; None if it starts from random ones.

    Raises:
        DamagedData: the file is missing or damaged.
        OSError: the file cannot be read now.
    """
    if known is None:
        return None
    transform = tuple(known["offset"]), tuple(known["divisor"])
    return _read(files.starting_weights_file(job_id), known["digest"], *transform)


def network(card: Card, given: dict[str, Any]) -> NetworkSpec:
    """The network of a version, with the scale and the feature weights of `given`.

    Raises:
        InvalidInput: `given` describes another network.
    """
    own = specs.asdict(card.network)
    for name, value in given.items():
        if name in ("scale", "feature_weights") and card.network.inputs is None:
            continue
        known = own.get(name)
        if value != known:
            shown = listed(known) if isinstance(known, list) else known
            raise InvalidInput(
                f"network.{name}", f"must be left out, or be as in the version in {FIELD}: {shown or 'none'}"
            )
    return NetworkSpec(**own | given)


def training(card: Card, given: dict[str, Any], *, as_version: bool) -> TrainingSpec:
    """The settings in `given`, completed by the settings of a version, or of the tutorial if it was imported.

    Raises:
        InvalidInput: a value is out of bounds.
    """
    if not as_version or card.training is None:
        return resolve_training(card.network.kind, {"ensemble": card.networks} | given)
    own = asdict(card.training) | _NOT_KEPT
    if given.get("optimizer", own["optimizer"]) != own["optimizer"]:
        own = {name: value for name, value in own.items() if name not in _OF_OPTIMIZER}
    return resolve_training(card.network.kind, own | given)


def plan_before(recipe: Recipe) -> AnyPlan | None:
    """Returns the version that a training starts from; None if it starts from random weights."""
    if recipe.start is None:
        return None
    states = member_states(recipe.start.state)
    return of_members([plan_of(recipe.layout, state, recipe.scaling.transform) for state in states])


def compare(
    before: AnyPlan, after: AnyPlan, recipe: Recipe, corrections: dict[str, int] | None
) -> dict[str, Any] | None:
    """Compares the version that a training started from with the one that it made, as JSON.

    Returns:
        For the `training` points and the `validation` points, if any, the figures `before` and `after`; the share of
        the training points whose labels differ, `disagreement`; and how many `corrections` each gets right. None if an
        output of the old version overflows on the new points.
    """
    try:
        logits = [dispatch.logits(plan, recipe.points.xy_ND) for plan in (before, after)]
        shown: dict[str, Any] = {
            kind: points and {name: _figures(plan, points) for name, plan in (("before", before), ("after", after))}
            for kind, points in zip(("training", "validation"), recipe.parts, strict=True)
        }
    except InvalidInput:
        return None
    label_before_N, label_after_N = (numpy_forward.predicted(numpy_forward.probabilities(one)) for one in logits)
    shown["disagreement"] = float((label_before_N != label_after_N).mean())
    shown["corrections"] = corrections and _corrections(before, after, recipe, corrections)
    return shown


def _figures(plan: AnyPlan, points: LabelledPoints) -> dict[str, float]:
    evaluation = Evaluation.of(plan, points)
    return {"log_loss": evaluation.log_loss, "accuracy": evaluation.accuracy}


def _corrections(before: AnyPlan, after: AnyPlan, recipe: Recipe, corrections: dict[str, int]) -> dict[str, int]:
    points = corrected_part(recipe.points, corrections["count"], corrections["repeat"])
    right = [int(Evaluation.of(plan, points).confusion_KK.trace()) for plan in (before, after)]
    return {"count": corrections["count"], "correct_before": right[0], "correct_after": right[1]}


def warnings(recipe: Recipe) -> list[str]:
    """Returns a warning if points are held out that the version may have been trained on."""
    if recipe.start is None or not recipe.training.validation_fraction:
        return []
    return ["The version that the training started from may have been trained on the validation points."]


def check_data(card: Card, points: LabelledPoints) -> None:
    """Checks that points have the features and the classes of a version.

    Raises:
        InvalidInput: they do not.
    """
    if points.features != card.features:
        raise InvalidInput(
            FIELD,
            "must be a version with as many features as the data: "
            f"the version has {card.features}, the data have {points.features}",
        )
    if points.feature_names and card.feature_names:
        _check_names(feature_names.spelled_like(points.feature_names, card.feature_names), card.feature_names)
    if points.classes != card.classes:
        own, given = (listed(map(repr, classes)) for classes in (card.classes, points.classes))
        raise InvalidInput(
            FIELD, f"must be a version with the classes of the data: the version has {own}, the data have {given}"
        )


def _check_names(given: Sequence[str], own: Sequence[str]) -> None:
    """Checks that the names of the data, `given`, are those of a version, in its order."""
    if [*given] == [*own]:
        return
    if sorted(given) == sorted(own):
        raise InvalidInput(
            FIELD,
            f"must be a version with the features in the order of the data, {feature_names.quoted(given)}, but has the "
            f"order {feature_names.quoted(own)}: reorder the data",
        )
    raise InvalidInput(
        FIELD,
        "must be a version with the features of the data. For this version, the data "
        f"{feature_names.difference(given, own)}",
    )
