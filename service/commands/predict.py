"""`separatrix predict`: classes and probabilities of points, as CSV."""

import sys
from pathlib import Path

from models.datasets import points_array
from models.sent_points import SentPoints
from models.specs import InvalidInput
from service.commands import csv_points
from service.commands.workspace import open_workspace
from service.inference import predictions
from service.records import Reference
from service.registry.registry import LoadedVersion
from service.render import csv_predictions
from service.settings import Settings
from service.tables.options import TableOptions


def run(
    settings: Settings,
    *,
    model: str,
    version: Reference,
    epoch: int | None,
    csv: Path | None,
    table: TableOptions,
    points: list[str],
) -> None:
    """Writes CSV to standard output: the coordinates of each point, its label, and the probability of each class.

    The columns of a file are matched to the features of the model as `service.tables.sheet.Sheet.points` does.

    Raises:
        InvalidInput: a point is malformed, or has a different number of coordinates than the model.
        ServiceError: there is no such model or version, or the database is unavailable.
        OSError: the CSV file or the data folder cannot be read.
    """
    if csv:
        with csv_points.opened(csv, table) as sheet:
            found = _resolve(settings, model, version, epoch)
            read = sheet.points(found.card.features, found.card.feature_names, found.card.categories)
        csv_points.report(read)
        sent = SentPoints(read.xy_ND)
    else:
        sent = SentPoints(points_array([_coordinates(point) for point in points]))
        found = _resolve(settings, model, version, epoch)
    xy_ND = sent.placed(found.card.features, found.card.feature_names, found.card.categories)
    prediction = predictions.predict(found, xy_ND)
    outputs: dict[str, csv_predictions.Column] = {"labels": prediction.best_N, "probabilities": prediction.prob_NK}
    sys.stdout.write(csv_predictions.encode(found.card, xy_ND, outputs).decode())


def _resolve(settings: Settings, model: str, version: Reference, epoch: int | None) -> LoadedVersion:
    with open_workspace(settings) as workspace:
        return workspace.version(model, version, epoch)


def _coordinates(point: str) -> list[float]:
    try:
        return [float(coordinate) for coordinate in point.split(",")]
    except ValueError:
        raise InvalidInput("point", "must be numbers separated by commas, such as 0.5,-0.25") from None
