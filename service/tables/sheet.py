"""A table whose notation and columns are inferred from its first rows, before all rows are read."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import IO

from models import feature_names
from models.categories import columns
from models.datasets import Categories
from models.limits import MAX_POINTS
from models.specs import InvalidInput
from service.tables import headings, separators, text
from service.tables.cells import decimal_mark, is_number, may_be_thousands
from service.tables.choice import Choice
from service.tables.columns import Column, describe, in_one_line, select
from service.tables.headings import Row
from service.tables.labels import labels_of
from service.tables.model_columns import by_name, by_position
from service.tables.options import TableOptions
from service.tables.rows import Form, fitted, lacks_all, read, unequal
from service.tables.table import Table, make_table

_WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*")
_DIGITS = re.compile(r"[0-9]+\s*")

_HEAD_CHARACTERS = 2**20
_HEAD_LINES = 4_000
"""The columns are inferred from the first lines. Later lines that contradict them are refused."""


def understand(stream: IO[bytes], name: str, options: TableOptions) -> "Sheet":
    """Reads the first rows of a CSV file, and infers what separates its values.

    Args:
        stream: the file, at its start. It need not be seekable.
        name: how messages name the file.
        options: of the user.

    Raises:
        InvalidInput: the file is not a table, or can be read in several ways.
        OSError: the stream cannot be read.
    """
    source = _Lines(text.lines(stream, name))
    head = source.head()
    written = [line for line in head if line.strip()]
    declared = separators.declared(written[0]) if written else None
    if declared:
        head[head.index(written[0])] = "\n"
        del written[0]
    separator = options.separator_character() or declared or _separator(written, name, options)
    source.quoted = separators.single_quotes(written, [separator])
    head = [*map(source.in_double_quotes, head)]
    rows = _rows(head, separator, is_complete=source.is_complete)
    full = [row for row in rows if not separators.is_empty(row[1])]
    if not full:
        raise InvalidInput(name, "has no points")
    empty = [row for row in rows if separators.is_empty(row[1])]
    return Sheet(name, options, source, head, full, empty, separator)


@dataclass(frozen=True)
class Sheet:
    """A CSV file whose first rows are known. Its rows can be read once.

    Only then is it decided whether the first row is a heading, because the names of a model may tell.

    Attributes:
        name: how messages name the file.
        options: of the user.
        source: the lines after the first ones.
        head: the first lines.
        rows: the cells of these.
        empty: those of its rows that have no value.
        separator: the character between values.
    """

    name: str
    options: TableOptions
    source: "_Lines"
    head: list[str]
    rows: list[Row]
    empty: list[Row]
    separator: str

    def labelled(self, *, max_rows: int | None = MAX_POINTS, folder: Path | None = None) -> Table:
        """Reads points and labels. For `folder` see `Collector`.

        Raises:
            InvalidInput: a value is missing or is not a number, there are too many rows, or the heading or the columns
                are ambiguous.
            OSError: the file cannot be read, or the folder cannot be written.
        """
        sheet = self._with_heading_in_comment()
        return sheet._columns(headings.find(sheet.rows, sheet.options)).labelled(max_rows, folder)

    def points(
        self,
        features: int,
        names: Sequence[str] | None = None,
        categories: Categories | None = None,
        *,
        max_rows: int | None = None,
    ) -> Table:
        """Reads points of `features` features, without a label or an index.

        Args:
            features: the number of features of the model.
            names: their names, if they have some. Columns are then matched by their headings, if there are headings.
            categories: the values of the text columns among them.
            max_rows: maximum number of points.

        Raises:
            InvalidInput: a value is missing or is not a number, or the heading or the columns of features are
                ambiguous.
        """
        texts = categories or {}

        def wanted(given: Collection[str]) -> Sequence[str]:
            return columns(names or (), texts, given)

        sheet = self._with_heading_in_comment(wanted)._spelled_like({*(names or ()), *texts})
        heading = headings.find(sheet.rows, sheet.options, wanted)
        return sheet._columns(heading).points(features, names, texts, max_rows)

    def _with_heading_in_comment(self, wanted: headings.Wanted | None = None) -> "Sheet":
        """The file with its heading as the first row if a comment has it, see `headings.in_comment`."""
        comments = self.source.first_comments
        heading = headings.in_comment(comments, self.rows[0], self.separator, self.options, wanted)
        if heading is None:
            return self
        self.source.comments -= 1
        return replace(self, rows=[heading, *self.rows], options=replace(self.options, header=True))

    def _spelled_like(self, wanted: Collection[str]) -> "Sheet":
        """The file with names in its first row that are composed as the wanted ones."""
        line, first = self.rows[0]
        given = [in_one_line(cell) for cell in first]
        like = feature_names.spelled_like(given, wanted)
        cells = [cell if name == old else name for cell, old, name in zip(first, given, like, strict=True)]
        return replace(self, rows=[(line, cells), *self.rows[1:]])

    def _columns(self, heading: headings.Heading) -> "_Columns":
        """The columns of the table below its heading.

        Raises:
            InvalidInput: there are no rows, or they contradict the heading or each other.
        """
        name, options, source, separator, rows = self.name, self.options, self.source, self.separator, self.rows
        body = rows[heading.rows :]
        if not body:
            source.refuse_rows_as_comments(separator, len(rows[0][1]), after=rows[0][0])
            raise InvalidInput(name, "has no points, only a heading")
        if heading.adds_row_names and separator == ",":
            _refuse_decimal_commas(self.head, rows[0], body, options)
        width, names = _width(rows[0][0], body, heading)
        body = [(line, fitted(line, row, width)) for line, row in body]
        source.refuse_rows_as_comments(separator, width, after=rows[0][0])
        mark, is_certain = decimal_mark(body, options)
        found = [describe(i, names[i] if names else None, [row[i] for _, row in body], mark) for i in range(width)]
        notes = list(heading.notes)
        if source.quoted:
            notes.append("single quotes around values are left out")
        if options.decimal is None and separator == ";" and mark == ".":
            _refuse_thousands(body, options)
        warnings = list(heading.warnings)
        if separator == "," and not names and width >= 5 and width % 2 and all(column.is_whole for column in found):
            warnings.append(
                "all values are whole numbers: if the file has decimal commas, write another separator between the "
                "values"
            )
        first = body[0][0]
        if heading.rows:  # an empty row above the first point is a row too
            empty = (line for line, row in self.empty if lacks_all(row, width) and rows[heading.rows - 1][0] < line)
            first = min([first, *empty])
        return _Columns(
            name=name,
            options=options,
            columns=found,
            form=Form(name, separator, mark, is_certain, width, options),
            heading_line=rows[0][0] if names else None,
            source=source,
            lines=chain(self.head[first - 1 :], source),
            first_line=first,
            notes=notes,
            warnings=warnings,
        )


@dataclass(kw_only=True)
class _Columns(Choice):
    """A CSV file whose columns are known. Its rows can be read once."""

    has_separator = True

    form: Form
    heading_line: int | None
    source: "_Lines"
    lines: Iterator[str]
    first_line: int

    def labelled(self, max_rows: int | None, folder: Path | None) -> Table:
        """See `Sheet.labelled`."""
        features, label, reason = self.features_and_label()
        return self._read(features, label, reason, max_rows, folder, None)

    def points(self, features: int, names: Sequence[str] | None, texts: Categories, max_rows: int | None) -> Table:
        """See `Sheet.points`."""
        chosen = self.given_features()
        if not chosen:
            others = self.usable()
            if self.options.label is not None:
                label = select(self.columns, self.options.label, "label")
                others = [column for column in others if column != label]
            if names is None or self.heading_line is None:
                chosen = by_position(others, features, self.options, self.name)
            else:
                wanted = columns(names, texts, {column.feature_name for column in others})
                chosen = by_name(others, wanted, self.options, self.name)
        if sum(len(texts.get(column.feature_name, ("",))) for column in chosen) != features:
            raise InvalidInput("features", f"must name {features} columns, as many as the model has features")
        self.note_unused(chosen)
        self.check(chosen, None, texts=texts)
        return self._read(chosen, None, "", max_rows, None, texts)

    def _read(
        self,
        features: Sequence[Column],
        label: Column | None,
        reason: str,
        max_rows: int | None,
        folder: Path | None,
        texts: Categories | None,
    ) -> Table:
        form = self.form
        values = read(
            form,
            self.lines,
            self.first_line,
            features,
            label,
            max_rows=max_rows,
            folder=folder,
            categories=texts,
        )
        if self.source.comments:
            lines = "1 comment line is" if self.source.comments == 1 else f"{self.source.comments:,} comment lines are"
            self.notes.append(f"{lines} left out")
        heading = f"heading in line {self.heading_line}" if self.heading_line else "no heading"
        return make_table(
            values,
            name=self.name,
            label=label,
            label_reason=reason,
            labels=labels_of([str(text) for text in values.spellings], form.decimal) if label else (),
            notation=f"separated by {separators.named(form.separator)}, decimal mark '{form.decimal}', {heading}",
            has_names=self.heading_line is not None,
            notes=self.notes,
            warnings=self.warnings,
        )


class _Lines:
    """The lines of a file with empty lines in place of comments, so the other lines keep their numbers.

    Attributes:
        comments: the number of comments so far.
        first_comments: the comments among the first lines, with their line numbers.
        is_complete: whether `head` has returned all lines.
        quoted: what matches values in single quotes, if the file has these; lines then get double quotes.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.comments = 0
        self.is_complete = False
        self.quoted: re.Pattern[str] | None = None
        self._number = 0
        self._is_in_quotes = False
        self.first_comments: list[tuple[int, str]] = []
        self._form: tuple[str, int] | None = None

    def head(self) -> list[str]:
        """The first lines."""
        head, characters = [], 0
        for line in self:
            head.append(line)
            characters += len(line)
            if characters > _HEAD_CHARACTERS or len(head) >= _HEAD_LINES:
                return head
        self.is_complete = True
        return head

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        if not self._is_in_quotes and separators.is_comment(line):
            self.comments += 1
            if self._form is None:
                self.first_comments.append((self._number, line))
            else:
                _refuse_row(self._number, line, *self._form)
            return "\n"
        self._is_in_quotes ^= line.count('"') % 2 == 1
        return self.in_double_quotes(line)

    def refuse_rows_as_comments(self, separator: str, width: int, *, after: int) -> None:
        """Refuses comments after the line `after` that may be rows of a table of `width` columns.

        Raises:
            InvalidInput: one of the first lines is such a comment. Reading a later one raises too.
        """
        self._form = separator, width
        for number, line in self.first_comments:
            if number > after:
                _refuse_row(number, line, separator, width)

    def in_double_quotes(self, line: str) -> str:
        """A line with double quotes in place of single ones, if the file has single ones around values."""
        return separators.in_double_quotes(line, self.quoted) if self.quoted else line


def _refuse_row(number: int, comment: str, separator: str, width: int) -> None:
    """Refuses a comment that may be a row: as many values as the table has columns, and no blank after `#`."""
    if comment.lstrip()[1:2].isspace() or width < 2 or comment.count(separator) != width - 1:
        return
    raise InvalidInput(
        f"line {number}",
        "may be a comment or a row of the table: write a blank after '#' in a comment, or quotes around the first "
        "value of a row",
    )


def _separator(lines: list[str], name: str, options: TableOptions) -> str:
    if quoted := separators.single_quotes(lines, separators.CANDIDATES):
        lines = [separators.in_double_quotes(line, quoted) for line in lines]
    return separators.find(lines, name, options)


def _rows(head: list[str], separator: str, *, is_complete: bool) -> list[Row]:
    rows: list[Row] = []
    try:
        rows.extend(separators.numbered(separators.rows(head, separator), 1))
    except InvalidInput:
        if is_complete or not rows:
            raise
        # the first lines may end within quotes
    return rows


def _width(heading_line: int, body: Sequence[Row], heading: headings.Heading) -> tuple[int, tuple[str, ...] | None]:
    """The number of columns, and their names, both without what only a separator at the end of each line adds."""
    width, names = len(body[0][1]), heading.names
    is_open = names is None or len(names) == width - 1 or (len(names) == width and not names[-1])
    if is_open and headings.is_trailing([row for _, row in body], width):
        width -= 1
    if names and len(names) > width and not any(names[width:]):
        names = names[:width]
    if names and len(names) != width:
        hint = f". Remove line {heading_line} if it does not name the columns"
        raise unequal(body[0][0], width, len(names), f"the heading in line {heading_line}", hint)
    return width, names


def _refuse_decimal_commas(head: Sequence[str], heading: Row, body: Sequence[Row], options: TableOptions) -> None:
    """Refuses rows of one value more than the heading has names, unless the first value clearly is a row name.

    R writes row names without a heading, in quotes. A decimal comma between unquoted digits adds a value too.
    """
    if options.decimal is not None or head[body[0][0] - 1].lstrip().startswith('"'):
        return
    columns = [*zip(*(cells for _, cells in body), strict=False)]
    if any(all(map(_WHOLE.fullmatch, a)) and all(map(_DIGITS.fullmatch, b)) for a, b in pairwise(columns)):
        line, names = heading
        raise InvalidInput(
            f"line {line}",
            f"has {len(names)} names, but the rows have {len(names) + 1} values: if these have decimal commas, write "
            "another separator between the values; if the first value is the name of its row, confirm it with "
            f"{options.spelled('decimal', '.')}",
        )


def _refuse_thousands(body: Sequence[Row], options: TableOptions) -> None:
    """Refuses a table whose numbers with a point may all be whole numbers with a thousands separator.

    Semicolons separate values where the comma is the decimal mark, and there the point separates thousands.
    """
    cells = [(line, cell) for line, row in body for cell in row if "." in cell and is_number(cell)]
    if cells and all(may_be_thousands(cell) for _, cell in cells):
        line, cell = cells[0]
        raise InvalidInput(
            f"line {line}",
            f"{cell.strip()!r} may have a decimal point or a thousands separator, as may all numbers with a point: "
            f"choose with {options.spelled('decimal', '.')} or {options.spelled('decimal', ',')}",
        )
