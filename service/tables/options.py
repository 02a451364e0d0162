"""Options for reading a table. A value that is not given is inferred from the file; an ambiguous file is refused."""

from dataclasses import dataclass
from typing import Literal

from models.specs import InvalidInput

Missing = Literal["refuse", "drop"]
Categorical = Literal["refuse", "one-hot"]
Decimal = Literal[".", ","]

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "space": " ", "pipe": "|"}
"""Names of separators, for shells."""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How to read a table. None means to infer the value.

    Attributes:
        separator: the character between values, or its name in `SEPARATORS`.
        decimal: the decimal mark.
        header: whether the first line names the columns.
        label: name or number of the label column; numbers count from 1, and -1 is the last.
        features: names or numbers of the feature columns, separated by commas.
        drop: names or numbers of columns to leave out, separated by commas.
        missing: what to do with rows that lack a value.
        categorical: what to do with features that are text; `one-hot` makes a feature of 0 and 1 for each value.
        is_query: error messages name options as parameters of a query instead of flags of a command.
    """

    separator: str | None = None
    decimal: Decimal | None = None
    header: bool | None = None
    label: str | None = None
    features: str | None = None
    drop: str | None = None
    missing: Missing = "refuse"
    categorical: Categorical = "refuse"
    is_query: bool = False

    def spelled(self, option: str, value: str) -> str:
        """An option with a value, as the user writes it."""
        if self.is_query:
            return f"{option}={value}"
        if value in ("true", "false"):
            return f"--{option}" if value == "true" else f"--no-{option}"
        return f"--{option} {value}"

    def separator_character(self) -> str | None:
        """The separator as one character.

        Raises:
            InvalidInput: it cannot separate numbers.
        """
        if self.separator is None:
            return None
        character = SEPARATORS.get(self.separator.lower(), self.separator)
        if len(character) != 1 or character.isalnum() or character in "\"'.+-_\r\n":
            raise InvalidInput("separator", "must be one character, or one of comma, semicolon, tab, space and pipe")
        return character
