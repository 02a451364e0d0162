"""Points of a CSV body of `POST /predict`."""

from dataclasses import dataclass

from models.datasets import Categories
from service.api.csv_bodies import table_errors
from service.tables.sheet import Sheet
from service.tables.table import Table


@dataclass(frozen=True, eq=False)
class CsvPoints:
    """Points of a table whose rows are read once its model is known.

    Attributes:
        sheet: the table; its rows can be read once.
        max_points: maximum number of points of one request.
    """

    sheet: Sheet
    max_points: int

    def read(self, features: int, names: tuple[str, ...] | None, categories: Categories) -> Table:
        """The points of a model with D features, their names, and the values of its text columns, if any.

        Raises:
            InvalidInput: see `service.tables.sheet.Sheet.points`.
        """
        with table_errors():
            return self.sheet.points(features, names, categories, max_rows=self.max_points)
