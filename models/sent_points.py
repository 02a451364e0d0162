"""Points as a client sends them: by position or by name, before it is known which features they are for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models import feature_names
from models.categories import code, columns, indicators
from models.categories import names as feature_names_of
from models.datasets import Categories, PointArray
from models.specs import InvalidInput


@dataclass(frozen=True, eq=False)
class SentPoints:
    """Points whose columns are not yet matched to features.

    Attributes:
        array: float32 or float64, within bounds: (N, C), one point in each row; or (C,), numbers without such rows.
        names: the name of each of the C columns; None if they have none.
        have_order: whether the client chose the order of the columns, as in a table; records have none.
        texts: the N values of each further column that is text, by its name.
        indices: the names of columns that the table itself calls its index; used only if features have these names.
    """

    array: PointArray
    names: tuple[str, ...] | None = None
    have_order: bool = True
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    indices: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """The number of points, if numbers without rows are one point."""
        return len(self.array) if self.array.ndim == 2 else 1

    def placed(
        self, features: int, names: Sequence[str] | None, categories: Categories, *, field: str = "points"
    ) -> PointArray:
        """The points (N, D) of a network with D features, their names, and the values of its text columns, if any.

        Columns are matched by name if both sides have names, else by position.

        Raises:
            InvalidInput: a name is missing or unknown, a text has no feature, or the number of columns is wrong.
        """
        if self.names is not None and names is not None:
            like = self._spelled_like({*names, *categories})
            if like is not self:
                return like.placed(features, names, categories, field=field)
        if self.indices:
            return self._without(self.indices - {*(names or ()), *categories}).placed(
                features, names, categories, field=field
            )
        if self.names is not None and names is not None and (categories or self.texts):
            given = [*self.names, *self.texts]
            feature_names.positions(given, columns(names, categories, given), field=field)
        if self.texts or categories:
            return self._with_numbers(categories, field)._placed(features, names, field)
        return self._placed(features, names, field)

    def _spelled_like(self, wanted: Collection[str]) -> "SentPoints":
        """The points with names that are composed as the wanted ones; itself if they are so already."""
        names, texts = self.names or (), [*self.texts]
        given, texts_given = feature_names.spelled_like(names, wanted), feature_names.spelled_like(texts, wanted)
        if (given, texts_given) == ([*names], texts):
            return self
        if len({*given, *texts_given}) < len(given) + len(texts_given):
            return self  # both spellings are there: which one is meant is not known
        return replace(self, names=tuple(given), texts=dict(zip(texts_given, self.texts.values(), strict=True)))

    def _without(self, left_out: frozenset[str]) -> "SentPoints":
        """The points without the columns of these names, and without any more indices."""
        names = self.names or ()
        kept = [i for i, name in enumerate(names) if name not in left_out]
        texts = {name: texts for name, texts in self.texts.items() if name not in left_out}
        return SentPoints(self.array[:, kept], tuple(names[i] for i in kept), self.have_order, texts)

    def _with_numbers(self, categories: Categories, field: str) -> "SentPoints":
        """The points with the features of text columns in place of these."""
        for name in self.names or ():
            if name in categories:
                known = feature_names.quoted(categories[name])
                raise InvalidInput(field, f"must have text in {feature_names.quoted([name])}: one of {known}")
        if not self.texts:
            return self
        parts, found = [self.array.astype(np.float64)], [*(self.names or ())]
        for column, texts in self.texts.items():
            values = categories.get(column)
            if values is None:
                shown = feature_names.quoted([texts[0]])
                raise InvalidInput(field, f"must have numbers in {feature_names.quoted([column])}, not {shown}")
            code_N = np.array([code(text, column, values, field=f"{field}.{i}") for i, text in enumerate(texts)])
            parts.append(indicators(code_N, range(len(values))))
            found.extend(feature_names_of(column, values))
        return SentPoints(np.hstack(parts), tuple(found), self.have_order)

    def _placed(self, features: int, names: Sequence[str] | None, field: str) -> PointArray:
        if self.names is not None and names is not None:
            columns = feature_names.positions(self.names, names, field=field)
            if columns != [*range(features)]:
                ordered_ND: PointArray = self.array[:, columns]
                return ordered_ND
            return self.array
        if self.names is not None and not self.have_order:
            raise InvalidInput(
                field,
                "must be lists of numbers, in the order of the training data: the features of the model have no names",
            )
        if self.names is not None and feature_names.are_out_of_order(self.names):
            raise InvalidInput(
                field,
                f"must have the columns in the order of the training data, not {feature_names.quoted(self.names)}: "
                "the features of the model have no names",
            )
        return self._by_position(features, field)

    def labelled(self, labels: int, names: Sequence[str] | None) -> tuple[PointArray, Sequence[str] | None]:
        """The points (N, D) that so many labels are for, and the names of their features.

        Args:
            labels: the number of labels.
            names: of the features, if the client gave a list of them; columns with names are then put in its order.

        Raises:
            InvalidInput: the points and labels differ in number and the points look transposed, names differ, or
                some points have text.
        """
        if self.texts:
            raise InvalidInput(
                "data.points",
                f"must have numbers in {feature_names.quoted([*self.texts])}, not text. To train on text, store the "
                "points as a dataset: POST /datasets/NAME?categorical=one-hot",
            )
        array = self.array
        if array.ndim == 1:  # with as many labels, each number is a point; another number of labels is refused later
            array = array[:, np.newaxis] if len(array) == labels else array[np.newaxis]
        if len(array) != labels == array.shape[1]:
            raise InvalidInput(
                "data.labels",
                f"must have one label for each point, but there are {labels} labels for {len(array)} points. If the "
                f"points are transposed, send {labels} points of {len(array)} coordinates",
            )
        if names is None:
            return array, self.names
        if self.names is None:
            return array, names
        columns = feature_names.positions(self.names, names, field="data.points")
        return array[:, columns], names

    def _by_position(self, features: int, field: str) -> PointArray:
        each = f"{features} coordinate{'s' * (features != 1)}"
        if self.array.ndim == 1:
            if len(self.array) != features:
                one = f"[{', '.join(['0.5'] * min(features, 3))}{', ...' if features > 3 else ''}]"
                raise InvalidInput(
                    field, f"must be a list of points of {each} each, such as [{one}, {one}], or one such point"
                )
            return self.array[np.newaxis]
        count, columns = self.array.shape
        if columns != features:
            looks = f". They look transposed: send {columns} points of {each}" if count == features else ""
            raise InvalidInput(field, f"must have {each} each, but these have {columns}{looks}")
        return self.array
