"""How to read a table, as query parameters and as options of the command line."""

from pydantic import BaseModel, ConfigDict, Field

from service.tables.options import Categorical, Decimal, Missing, TableOptions


class TableQuery(BaseModel):
    """How to read a table. A value that is not given is inferred; an ambiguous table is refused."""

    model_config = ConfigDict(extra="forbid")

    label: str | None = Field(
        None, description="Name or number of the column of labels. Numbers count from 1; -1 is the last column."
    )
    features: str | None = Field(
        None, description="Names or numbers of the columns of features, such as a,b. By default all other columns."
    )
    drop: str | None = Field(None, description="Names or numbers of columns to leave out, such as id,date.")
    missing: Missing | None = Field(
        None, description="What to do with rows that lack a value: `refuse`, the default, or `drop`."
    )
    categorical: Categorical | None = Field(
        None,
        description="What to do with features that are text: `refuse`, the default, or `one-hot`, which makes a "
        "feature of 0 and 1 for each value. A model knows the text columns that it was trained on.",
    )
    separator: str | None = Field(
        None, description="CSV only: what separates values: comma, semicolon, tab, space, pipe, or another character."
    )
    decimal: Decimal | None = Field(None, description="CSV only: the decimal mark.")
    header: bool | None = Field(None, description="CSV only: whether the first line names the columns.")

    def options(self) -> TableOptions:
        """The options of the reader, whose messages name query parameters."""
        given = {name: value for name in TableQuery.model_fields if (value := getattr(self, name)) is not None}
        return TableOptions(**given, is_query=True)
