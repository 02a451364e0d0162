"""The options of CSV files, for the command line and for request bodies in CSV."""

from pydantic import Field

from service.http.schema import Body
from service.tables.options import Decimal, Missing


class CsvOptions(Body):
    """How to read a CSV file. Whatever is left out is found out, and refused if it is not sure."""

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
