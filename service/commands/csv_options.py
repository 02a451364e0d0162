"""The options of the commands that read CSV files."""

from pydantic import Field

from service.http.schema import Body
from service.tables.options import Decimal, Missing


class CsvOptions(Body):
    """How to read a CSV file. A value that is not given is inferred from the file; an ambiguous file is refused."""

    label: str | None = Field(
        None, description="Name or number of the column of labels. Numbers count from 1; -1 is the last column."
    )
    features: str | None = Field(
        None, description="Names or numbers of the columns of features, such as a,b. By default all other columns."
    )
    drop: str | None = Field(None, description="Names or numbers of columns to leave out, such as id,date.")
    missing: Missing = Field("refuse", description="What to do with lines that lack a value.")
    separator: str | None = Field(
        None, description="What separates values: comma, semicolon, tab, space, pipe, or another character."
    )
    decimal: Decimal | None = Field(None, description="The decimal mark.")
    header: bool | None = Field(None, description="Whether the first line names the columns.")
