"""`separatrix predict`: classes and probabilities of points, as CSV."""

import csv
import sys
from pathlib import Path

from models.datasets import DoubleArray, points_array
from models.specs import InvalidInput
from service.commands import csv_points
from service.commands.workspace import open_workspace
from service.inference import predictions
from service.registry.registry import LoadedVersion
from service.settings import Settings
from service.tables.options import TableOptions


def run(
    settings: Settings, *, model: str, version: int | None, csv: Path | None, table: TableOptions, points: list[str]
) -> None:
    """Writes CSV to standard output: the coordinates of each point, its label, and the probability of each class.

    Raises:
        InvalidInput: a point is malformed, or has a different number of coordinates than the model.
        ServiceError: there is no such model or version, or the database is unavailable.
        OSError: the CSV file or the data folder cannot be read.
    """
    if csv:
        with csv_points.opened(csv, table) as sheet:
            found = _resolve(settings, model, version)
            read = sheet.points(found.card.features)
        csv_points.report(read)
        xy_ND = read.xy_ND
    else:
        xy_ND = points_array([_coordinates(point) for point in points])
        found = _resolve(settings, model, version)
    _write(xy_ND, found.card.classes, predictions.predict(found, xy_ND))


def _resolve(settings: Settings, model: str, version: int | None) -> LoadedVersion:
    with open_workspace(settings) as workspace:
        return workspace.registry.resolve(model, version)


def _coordinates(point: str) -> list[float]:
    try:
        return [float(coordinate) for coordinate in point.split(",")]
    except ValueError:
        raise InvalidInput("point", "must be numbers separated by commas, such as 0.5,-0.25") from None


def _number(value: float) -> str:
    """The shortest text that is read as the same number."""
    return repr(float(value)).removesuffix(".0")


def _write(xy_ND: DoubleArray, classes: tuple[int | str, ...], prediction: predictions.Prediction) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [f"x{i + 1}" for i in range(xy_ND.shape[1])]
    writer.writerow([*names, "label", *(f"p({label})" for label in classes)])
    for x_D, k, prob_K in zip(xy_ND, prediction.best_N, prediction.prob_NK, strict=True):
        writer.writerow([*(_number(x) for x in x_D), classes[k], *(f"{p:.6f}" for p in prob_K)])
