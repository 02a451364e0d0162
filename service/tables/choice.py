"""Which columns of a table, whatever its format, are the features and which is the label."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from models.limits import MAX_CATEGORIES, MAX_FEATURES
from models.specs import InvalidInput
from models.wording import listed
from service.tables.cells import is_number
from service.tables.columns import Column, guess_label, is_row_index, select, select_several
from service.tables.options import TableOptions


@dataclass(kw_only=True)
class Choice:
    """The columns of a table, and what the user says about them.

    Attributes:
        name: how messages name the table.
        options: of the user.
        columns: all columns.
        notes, warnings: for the report on the table; `note_unused` adds to them.
    """

    has_separator: ClassVar[bool] = False
    """Whether the table is text, whose columns a character separates."""

    name: str
    options: TableOptions
    columns: list[Column]
    notes: list[str]
    warnings: list[str]

    def features_and_label(self) -> tuple[list[Column], Column, str]:
        """The columns of features and the column of labels, with the reason for its choice.

        Raises:
            InvalidInput: the choice is ambiguous, or a column of features holds no numbers.
        """
        others = self.usable()
        given = self.given_features()
        if self.options.label is not None:
            label, reason = select(self.columns, self.options.label, "label"), "as given"
            if label in self._dropped():
                raise InvalidInput("label", f"{label.title} is the label, so it cannot be left out with drop")
        else:
            if len(others) < 2:
                raise self._too_few(others)
            label, reason = guess_label(others, self.options, self.name)
            if label in given:
                spelled = self.options.spelled("label", "NAME")
                raise InvalidInput("label", f"{label.title} looks like the label: choose it with {spelled}")
        features = given or [column for column in others if column != label]
        if label in features:
            raise InvalidInput("label", f"{label.title} is the label, so it cannot be a feature")
        self.note_unused([*features, label])
        one_hot = self.options.categorical == "one-hot"
        texts = [column.feature_name for column in features if one_hot and column.kind == "text"]
        self.check(features, label, texts=texts)
        return features, label, reason

    def _too_few(self, columns: Sequence[Column]) -> InvalidInput:
        """The error for fewer columns than a label and a feature."""
        need = "needs a column of labels and at least one of features"
        if len(columns) < len(self.columns):
            return InvalidInput(self.name, f"{need}, but has {len(columns)} besides those that are left out")
        if not self.has_separator:
            return InvalidInput(self.name, f"{need}, but has {len(columns)}")
        spelled = self.options.spelled("separator", "CHARACTER")
        return InvalidInput(
            self.name,
            f"{need}, but has {len(columns)}: is another character between the values? Choose it with {spelled}",
        )

    def given_features(self) -> list[Column]:
        """The columns of features that the user names, in the user's order.

        Raises:
            InvalidInput: an option names a column that does not exist, or both features and drop name one.
        """
        given, dropped = select_several(self.columns, self.options.features, "features"), self._dropped()
        for column in given:
            if column in dropped:
                raise InvalidInput("features", f"{column.title} is in drop too: remove it from one of the two")
        return given

    def _dropped(self) -> list[Column]:
        return select_several(self.columns, self.options.drop, "drop")

    def usable(self) -> list[Column]:
        """The columns without an index, and without those that the user drops or that are empty and have no name."""
        dropped = self._dropped()
        return [
            column
            for column in self.columns
            if column not in dropped and not is_row_index(column) and (column.is_named or column.kind != "empty")
        ]

    def note_unused(self, used: Sequence[Column]) -> None:
        """Reports the columns that are left out."""
        for column in self.columns:
            if column in used:
                continue
            if column.is_index:
                self.notes.append(f"{column.title} is left out: it is the index of the table")
            elif is_row_index(column):
                self.notes.append(f"{column.title} is left out: it has no heading and numbers or names the rows")
            elif not column.is_named and column.kind == "empty":
                self.notes.append(f"{column.title} is left out: it is empty")
            else:
                self.notes.append(f"{column.title} is left out")

    def check(self, features: Sequence[Column], label: Column | None, *, texts: Collection[str] = ()) -> None:
        """Checks that the columns can be read. `texts` are the names of features that may be text.

        Without a label they are the features of a model, none of which can be left out.

        Raises:
            InvalidInput: there are none or too many, two have the same name, or one holds no numbers.
        """
        if not features:
            raise InvalidInput(self.name, "has no column of features")
        if len(features) > MAX_FEATURES:
            raise InvalidInput(self.name, f"must have at most {MAX_FEATURES:,} columns of features")
        names: dict[str, Column] = {}
        for column in [*features, *([label] if label else [])]:
            if (other := names.setdefault(column.feature_name, column)) is not column:
                raise InvalidInput(
                    column.title,
                    f"occurs twice, as column {other.index + 1} and {column.index + 1}: rename one, or leave one out "
                    f"with {self.options.spelled('drop', str(column.index + 1))}",
                )
        wrong = [c for c in features if c.kind in ("text", "empty") and c.feature_name not in texts]
        if wrong and label is None:
            raise self._no_numbers_of_features(wrong)
        if wrong:
            raise self._not_numbers(wrong)

    def _no_numbers_of_features(self, columns: Sequence[Column]) -> InvalidInput:
        """The error for columns that hold no numbers, although they are features of a model that are numbers."""
        column = columns[0]
        choose = f"or choose other columns with {self.options.spelled('features', 'A,B')}"
        if column.kind == "empty":
            return InvalidInput(column.title, f"has no values, but is a feature of the model: write them, {choose}")
        text, unit = _example(column), column.unit
        if unit:
            return InvalidInput(
                column.title, f"has '{unit}' beside its numbers, such as {text}: write the numbers alone, {choose}"
            )
        return InvalidInput(
            column.title,
            f"is text, such as {text}, but this feature of the model is a number: write numbers, {choose}",
        )

    def _not_numbers(self, columns: Sequence[Column]) -> InvalidInput:
        """The error for columns that hold no numbers. It names all of them, so that one option can leave them out."""
        drop = self.options.spelled("drop", ",".join(column.selector for column in columns))
        title, verb, them = columns[0].title, "is", "the column"
        if len(columns) > 1:
            names = [column.title.removeprefix("column ") for column in columns]
            title, verb, them = f"columns {', '.join(names[:-1])} and {names[-1]}", "are", "them"
        texts = [column for column in columns if column.kind == "text"]
        if not texts:
            return InvalidInput(title, f"{'has' if verb == 'is' else 'have'} no values: leave {them} out with {drop}")
        one_hot = ""
        if any(len(column.values) <= MAX_CATEGORIES for column in texts):
            spelled = self.options.spelled("categorical", "one-hot")
            one_hot = f", let each {'of its values' if verb == 'is' else 'value'} become a feature with {spelled}"
        units = {column: unit for column in texts if (unit := column.unit)}
        if units and len(columns) == 1:
            what = f"has '{units[texts[0]]}' beside its numbers, such as {_example(texts[0])}"
            return InvalidInput(title, f"{what}: write the numbers alone, or leave the column out with {drop}")
        without = listed(f"'{unit}' in {column.title}" for column, unit in units.items())
        return InvalidInput(
            title,
            f"{verb} text, such as {_example(texts[0])}, but features must be numbers: leave {them} out with {drop}"
            f"{one_hot}, or write numbers in place of the text{f', without {without}' if units else ''}",
        )


def _example(column: Column) -> str:
    """A text of a column, for messages."""
    text = min(column.values, key=lambda value: (is_number(value), value))  # numbers may be written as text
    return column.example or f"'{text[:40]}'"
