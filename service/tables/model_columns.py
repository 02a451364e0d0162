"""Which columns of a table are the features of a model: by name if both have names, else by position."""

from collections.abc import Sequence

from models import feature_names
from models.specs import InvalidInput
from service.tables.columns import Column, named_label
from service.tables.options import TableOptions


def by_name(columns: Sequence[Column], wanted: Sequence[str], options: TableOptions, name: str) -> list[Column]:
    """The column of each feature by its heading. One more column is left out if it looks like the label.

    Raises:
        InvalidInput: a feature is missing or occurs twice, or there are other columns.
    """
    labels = _labels([column for column in columns if column.feature_name not in wanted])
    others = [column for column in columns if len(labels) != 1 or column is not labels[0]]
    given = [column.feature_name for column in others]
    if len(given) == len(wanted) and set(given) == set(wanted):
        return [others[given.index(one)] for one in wanted]
    extra = [column for column in others if column.feature_name not in wanted]
    if set(wanted) <= set(given) and len(given) == len(wanted) + len(extra):
        dropped = options.spelled("drop", ",".join(column.selector for column in extra[:10]))
        advice = f"leave out a column with {dropped}"
    else:
        advice = f"rename the columns, or choose them in this order with {options.spelled('features', 'A,B')}"
    raise InvalidInput(name, f"{feature_names.difference(given, wanted)}; {advice}")


def by_position(columns: Sequence[Column], features: int, options: TableOptions, name: str) -> list[Column]:
    """The columns in their order. One more column is left out if it looks like the label.

    Raises:
        InvalidInput: the number of columns is wrong, or their headings contradict their order.
    """
    named = [column for column in named_label(columns) if column.name and column.name.casefold() != "y"]
    labels = named or _texts(columns)
    if len(columns) == features and not named:
        chosen = list(columns)
    elif len(columns) == features + 1 and len(labels) == 1:
        chosen = [column for column in columns if column != labels[0]]
    else:
        count = f"{len(columns)} column{'s' * (len(columns) != 1)}"
        reason = f", and {named[0].title} looks like a label" if len(columns) == features else ""
        raise InvalidInput(
            name,
            f"has {count}, but the model has {features} feature{'s' * (features != 1)}{reason}: choose the columns "
            f"with {options.spelled('features', 'A,B')}, or leave out a label with {options.spelled('label', 'NAME')}",
        )
    headings = [column.feature_name for column in chosen if column.is_named]
    if len(headings) == len(chosen) and feature_names.are_out_of_order(headings):
        raise InvalidInput(
            name,
            f"has the columns {feature_names.quoted(headings)} in this order, but the features of the model have no "
            f"names: choose the order with {options.spelled('features', 'A,B')}",
        )
    return chosen


def _labels(columns: Sequence[Column]) -> list[Column]:
    return named_label(columns) or _texts(columns)


def _texts(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.kind == "text"]
