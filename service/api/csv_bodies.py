"""Request bodies that are CSV, `text/csv`."""

from collections.abc import Iterator
from contextlib import contextmanager

from models.specs import InvalidInput
from service.api.table_query import TableQuery
from service.http.problems import InvalidParameter

MEDIA_TYPE = "text/csv"

BODY = "body"
"""How the messages of the reader name a body."""


@contextmanager
def csv_errors() -> Iterator[None]:
    """Raises each error of the reader as one of a query parameter, or of the body with the place in its text.

    Raises:
        InvalidInput: as `service.tables` raises it, with a field of the request.
    """
    try:
        yield
    except InvalidInput as error:
        if error.field in TableQuery.model_fields:
            raise InvalidParameter(error.field, error.reason) from None
        raise InvalidInput(BODY, error.reason if error.field == BODY else f"{error.field}: {error.reason}") from None
